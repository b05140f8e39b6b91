"""Errors as problem documents (RFC 9457) with the HTTP status that fits."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from tsavo.vocabulary import (
    Conflict,
    Forbidden,
    NotFound,
    Overloaded,
    Refused,
    TooLarge,
    TsavoError,
    Unavailable,
    Unreadable,
)

__all__ = ["problem", "status_of"]

# The first class that fits decides, so the special ones come first.
_STATUS: Final[tuple[tuple[type[TsavoError], int, str], ...]] = (
    (Unreadable, 400, "Bad request"),
    (TooLarge, 413, "Too large"),
    (NotFound, 404, "Not found"),
    (Conflict, 409, "Conflict"),
    (Forbidden, 403, "Forbidden"),
    (Overloaded, 429, "Too many requests"),
    (Unavailable, 503, "Unavailable"),
    (Refused, 422, "Refused"),
)


def status_of(error: TsavoError) -> tuple[int, str]:
    """HTTP status and title for an error.

    >>> status_of(NotFound("there is no such endpoint"))
    (404, 'Not found')
    """
    for kind, status, title in _STATUS:
        if isinstance(error, kind):
            return status, title
    return (422, "Invalid") if error.kind in ("invalid", "bad-input") else (500, "Failure")


def problem(error: TsavoError) -> tuple[int, bytes]:
    """Status and body (``application/problem+json``)."""
    status, title = status_of(error)
    body: dict[str, Any] = {"type": f"tsavo:{error.kind}", "title": title, "status": status} | error.as_dict()
    return status, msgspec.json.encode(body)
