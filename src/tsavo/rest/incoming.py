"""A request while it is arriving: its body in pieces, for whoever answers it."""

from __future__ import annotations

import asyncio
from typing import Protocol
from urllib.parse import unquote

import httptools

from tsavo.rest.asgi import Message, Scope

__all__ = ["IncomingRequest", "Line", "address_of"]


class Line(Protocol):
    """The connection, as far as a request needs it."""

    loop: asyncio.AbstractEventLoop
    gone: bool

    def go_on(self) -> None:
        """Tell a client that waits for it to send its body."""
        ...

    def let_read(self) -> None:
        """Read on."""
        ...


class IncomingRequest:
    """A request from the end of its headers to the end of its reply."""

    __slots__ = (
        "_body",
        "_connection",
        "_waiter",
        "complete",
        "expects",
        "keep_alive",
        "old",
        "over",
        "scope",
    )

    def __init__(self, connection: Line, scope: Scope, keep_alive: bool, old: bool) -> None:
        self._connection = connection
        self.scope = scope
        self.keep_alive = keep_alive
        # HTTP/1.0, where staying connected is to be said.
        self.old = old
        self.expects = False
        self.complete = False
        self.over = False
        self._body: list[bytes] = []
        self._waiter: asyncio.Future[None] | None = None

    @property
    def held(self) -> int:
        """Bytes that have come and were not asked for."""
        return sum(map(len, self._body))

    def feed(self, part: bytes) -> None:
        """Some more of the body."""
        if not self.over:
            self._body.append(part)
            self.wake()

    def end(self) -> None:
        """The reply is sent: what has come of the body is thrown away, and what still comes."""
        self.over = True
        self._body.clear()

    def wake(self) -> None:
        """Somebody may be waiting for what has changed."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def receive(self) -> Message:
        """The next part of the body, as ASGI has it."""
        connection = self._connection
        while not self._body and not self.complete:
            if connection.gone:
                return {"type": "http.disconnect"}
            if self.expects:
                self.expects = False
                connection.go_on()
            self._waiter = connection.loop.create_future()
            connection.let_read()
            await self._waiter
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        self._body.clear()
        return {"type": "http.request", "body": body, "more_body": not self.complete}


def address_of(url: bytes) -> tuple[str, bytes]:
    """The path, its percent-encoding undone, and the query of a request target.

    >>> address_of(b"/v2/models/a%20b?x=1"), address_of(b"http://host/v2"), address_of(b"*")
    (('/v2/models/a b', b'x=1'), ('/v2', b''), ('*', b''))
    """
    if not url.startswith(b"/") and url != b"*":
        try:
            parsed = httptools.parse_url(url)
        except httptools.HttpParserInvalidURLError:
            return url.decode("latin-1"), b""
        path, query = parsed.path or b"/", parsed.query or b""
    else:
        path, _, query = url.partition(b"?")
    text = path.decode("latin-1")
    return (unquote(text) if "%" in text else text), query
