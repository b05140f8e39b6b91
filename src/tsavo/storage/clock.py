"""The clock, passed in wherever time matters so that tests decide what time it is."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol

__all__ = ["Clock", "SystemClock", "from_nanoseconds"]


class Clock(Protocol):
    """Tells the time in UTC."""

    def now(self) -> datetime:
        """The present moment, timezone-aware in UTC."""
        ...

    def nanoseconds(self) -> int:
        """Nanoseconds since 1970 UTC."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """The present moment, timezone-aware in UTC."""
        return datetime.now(UTC)

    def nanoseconds(self) -> int:
        """Nanoseconds since 1970 UTC."""
        return time.time_ns()


def from_nanoseconds(nanoseconds: int) -> datetime:
    """A moment as a datetime in UTC, cut to microseconds.

    >>> from_nanoseconds(1_700_000_000_123_456_789).isoformat()
    '2023-11-14T22:13:20.123456+00:00'
    """
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest // 1000)
