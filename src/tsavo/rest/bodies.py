"""Request bodies, read with a limit and never longer than that."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from tsavo.rest.asgi import Receive, Scope
from tsavo.vocabulary import Overloaded, TooLarge, Unreadable

__all__ = ["Disconnected", "read_body"]

# A body that is too large is read to its end and thrown away, so that the client sees the answer instead of a
# broken connection; beyond this it is cut off.
_MOST_DISCARDED: Final = 512 * 1024 * 1024
_DISCARD_SECONDS: Final = 30.0


class Disconnected(Exception):
    """The client went away before its request was complete."""


async def read_body(
    scope: Scope, receive: Receive, limit: int, take: Callable[[int], None] = lambda _: None
) -> bytes:
    """The whole body.

    Parameters
    ----------
    take
        Told of the bytes before they are held; what it raises comes through once the rest was thrown away.

    Raises
    ------
    TooLarge
        When it is longer than `limit` bytes.
    Disconnected
        When the client went away.
    """
    announced = _announced_length(scope)
    if announced > limit:
        await _discard(receive, announced)
        raise _too_large(announced, limit)
    if announced:
        await _taken(receive, take, announced, announced)
    message = await receive()
    if message["type"] != "http.request":
        raise Disconnected
    body: bytes = message.get("body", b"")
    if not announced:
        await _taken(receive, take, len(body), 0)
    if not message.get("more_body"):
        return _within(body, limit)
    parts, length = [body], len(body)
    while message.get("more_body"):
        message = await receive()
        if message["type"] != "http.request":
            raise Disconnected
        part = message.get("body", b"")
        length += len(part)
        if length > limit:
            await _discard(receive, length)
            raise _too_large(length, limit)
        if not announced:
            await _taken(receive, take, len(part), 0)
        parts.append(part)
    return b"".join(parts)


async def _taken(receive: Receive, take: Callable[[int], None], size: int, announced: int) -> None:
    try:
        take(size)
    except Overloaded:
        # What is read is not kept, and the client sees the answer instead of a broken connection.
        await _discard(receive, announced)
        raise


def _within(body: bytes, limit: int) -> bytes:
    if len(body) > limit:
        raise _too_large(len(body), limit)
    return body


def _announced_length(scope: Scope) -> int:
    for name, value in scope["headers"]:
        if name == b"content-length":
            if not value.isdigit() or len(value) > 15:
                raise Unreadable("not a length", field="Content-Length", found=value.decode("latin-1"))
            return int(value)
    return 0


async def _discard(receive: Receive, announced: int) -> None:
    if announced > _MOST_DISCARDED:
        return
    length = 0
    try:
        async with asyncio.timeout(_DISCARD_SECONDS):
            while length <= _MOST_DISCARDED:
                message = await receive()
                length += len(message.get("body", b""))
                if message["type"] != "http.request" or not message.get("more_body"):
                    return
    except TimeoutError:
        return


def _too_large(length: int, limit: int) -> TooLarge:
    return TooLarge(
        "the request is too large",
        field="body",
        found=f"{length} bytes or more",
        expected=f"at most {limit} bytes",
        next_step="send fewer rows in each request",
    )
