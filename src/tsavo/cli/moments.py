"""Moments as people write them on a command line."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

from tsavo.vocabulary import Invalid

__all__ = ["read_moment"]

_BACK: Final = re.compile(r"(\d{1,6})([smhdw])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def read_moment(text: str | None, field: str) -> datetime | None:
    """A time such as ``2026-01-01T00:00Z``, or how long ago: ``90m``, ``24h``, ``7d``; without a zone it is UTC.

    Raises
    ------
    Invalid
        When it is neither; `field` is named.

    >>> read_moment("2026-01-01T00:00Z", "since") == read_moment("2026-01-01", "since")
    True
    """
    if text is None:
        return None
    back = _BACK.fullmatch(text)
    if back is not None:
        return datetime.now(UTC) - timedelta(**{_UNITS[back[2]]: int(back[1])})
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise Invalid(
            "not a moment",
            field=field,
            found=text,
            expected="a time such as 2026-01-01T00:00Z, or how long ago, such as 24h or 7d",
        ) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
