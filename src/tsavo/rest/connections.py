"""Connections of clients that are slow, or only pretend to be clients: they are closed before they add up.

Nothing of this costs a request more than reading the clock once: the connections are looked through once a second.
"""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar, Final

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["ConnectionLimits", "patient_protocol"]

_EVERY_SECONDS: Final = 1.0
_MOST_HEADER_BYTES: Final = 64 << 10
_FULL: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain; charset=utf-8\r\nretry-after: 1\r\n"
    b"connection: close\r\ncontent-length: 21\r\n\r\ntoo many connections\n"
)


class ConnectionLimits(msgspec.Struct, frozen=True):
    """What a client may take.

    Attributes
    ----------
    connections
        Open ones at the same time; who comes later gets a 503.
    head_seconds
        From the start of a request to the end of its headers; the first request counts from the connection on.
    body_seconds
        From the start of a request to the end of its body.
    answer_seconds
        How long a client may leave its answer unread.
    """

    connections: int = 10_000
    head_seconds: float = 15.0
    body_seconds: float = 60.0
    answer_seconds: float = 60.0


class _Patient(HttpToolsProtocol):
    """uvicorn's protocol with an end to its patience."""

    limits: ClassVar[ConnectionLimits]
    _looking: ClassVar[bool] = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection, or say that there are too many."""
        super().connection_made(transport)
        self._since = self.loop.time()
        self._in_head = True
        self._head_bytes = 0
        self._unread_since: float | None = None
        if len(self.connections) > self.limits.connections:
            transport.write(_FULL)
            transport.close()
            return
        cls = type(self)
        if not cls._looking:
            cls._looking = True
            self.loop.call_later(_EVERY_SECONDS, cls._look, self.loop, self.connections)

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        # The first one began with the connection.
        if not self._in_head:
            self._since = self.loop.time()
            self._in_head = True
        self._head_bytes = 0

    def on_url(self, url: bytes) -> None:
        """A piece of the address."""
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._count(len(name) + len(value))
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """The headers are here."""
        self._in_head = False
        super().on_headers_complete()

    def _count(self, more: int) -> None:
        self._head_bytes += more
        if self._head_bytes > _MOST_HEADER_BYTES:
            self.transport.abort()

    def _is_too_slow(self, now: float) -> bool:
        waited = now - self._since
        # Where reading has stopped it is we who are slow: an earlier request of this connection is not answered yet.
        reading = self.flow is not None and not self.flow.read_paused
        if reading and self._in_head and not self._is_idle():
            return waited > self.limits.head_seconds
        cycle = self.cycle
        if reading and cycle is not None and not cycle.response_complete and cycle.more_body:
            return waited > self.limits.body_seconds
        if self.flow is not None and self.flow.write_paused:
            if self._unread_since is None:
                self._unread_since = now
            return now - self._unread_since > self.limits.answer_seconds
        self._unread_since = None
        return False

    def _is_idle(self) -> bool:
        """Whether it is between two requests, which is what uvicorn itself watches."""
        return self.timeout_keep_alive_task is not None

    @classmethod
    def _look(cls, loop: asyncio.AbstractEventLoop, connections: set[Any]) -> None:
        now = loop.time()
        for connection in list(connections):
            if isinstance(connection, _Patient) and connection._is_too_slow(now):
                connection.transport.abort()
        if connections:
            loop.call_later(_EVERY_SECONDS, cls._look, loop, connections)
        else:
            cls._looking = False


def patient_protocol(limits: ConnectionLimits) -> type[HttpToolsProtocol]:
    """The protocol class for uvicorn (``Config(http=...)``) that keeps these limits."""
    return type("PatientProtocol", (_Patient,), {"limits": limits, "_looking": False})
