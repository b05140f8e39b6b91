"""Errors as problem documents (RFC 9457) with the HTTP status that fits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from tsavo.rest.exchange import Reply
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

__all__ = ["method_not_allowed", "problem", "status_of"]

_PROBLEM: Final = b"application/problem+json"

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


def problem(error: TsavoError) -> Reply:
    """The reply (``application/problem+json``); the connection is closed after a body that was not read."""
    status, title = status_of(error)
    body: dict[str, Any] = {"type": f"tsavo:{error.kind}", "title": title, "status": status} | error.as_dict()
    # The Open Inference Protocol's clients read this member of an error, and nothing else.
    body["error"] = body["detail"]
    headers: list[tuple[bytes, bytes]] = []
    if status == 413:
        headers.append((b"connection", b"close"))
    if error.retry_after is not None:
        headers.append((b"retry-after", b"%d" % max(1, round(error.retry_after))))
    return Reply(msgspec.json.encode(body), status, _PROBLEM, tuple(headers))


def method_not_allowed(methods: Sequence[str]) -> Reply:
    """The reply where an address takes other methods only."""
    told = ", ".join(["GET", "HEAD"] if methods == ["GET"] else methods)
    body = {
        "type": "tsavo:invalid",
        "title": "Method not allowed",
        "status": 405,
        "detail": f"use {told}",
        "error": f"this address takes {told} only",
    }
    return Reply(msgspec.json.encode(body), 405, _PROBLEM, ((b"allow", told.encode()),))
