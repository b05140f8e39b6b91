"""The clock, passed in wherever time matters so that tests decide what time it is."""

from __future__ import annotations

import ctypes
import sys
import time
from datetime import UTC, datetime
from typing import Final, Protocol

__all__ = ["Clock", "SystemClock", "clock_source", "from_nanoseconds"]

# The kernel's struct timex is smaller; the state of the clock is what adjtimex(2) returns.
_TIMEX_BYTES: Final = 512
_TIME_ERROR: Final = 5


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


def clock_source() -> str:
    """Where the time comes from, and whether the kernel knows it to be in step with others' (adjtimex(2))."""
    if sys.platform != "linux":
        return "system clock"
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))
    except (OSError, AttributeError):
        return "system clock"
    if state < 0:
        return "system clock"
    return f"system clock, {'not ' if state == _TIME_ERROR else ''}synchronised"
