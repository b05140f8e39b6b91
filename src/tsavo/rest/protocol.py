"""HTTP/1.1 on one connection: httptools reads it, the gateway answers, one write sends the reply.

uvicorn listens, counts and shuts down; this takes the place of its own protocol class, which spends more on a request
than a small model does, because it speaks ASGI with any application. Here is one application, whose replies are whole.

Specification: RFC 9112 (HTTP/1.1); the parser is llhttp, in its strict mode.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from http import HTTPStatus
from typing import Any, ClassVar, Final, Protocol, cast

import httptools

from tsavo.rest.asgi import Receive, Scope
from tsavo.rest.connections import ConnectionLimits
from tsavo.rest.exchange import Reply
from tsavo.rest.incoming import IncomingRequest, address_of
from tsavo.rest.problems import problem
from tsavo.vocabulary import Unreadable

__all__ = ["Responder", "patient_protocol"]

_EVERY_SECONDS: Final = 1.0
_MOST_HEADER_BYTES: Final = 64 << 10
# So much of a body is held for a gateway that has not asked for it yet; then the client waits.
_HIGH_WATER: Final = 64 << 10
# Requests of one connection that wait for their turn; then the client waits.
_MOST_WAITING: Final = 32
# Requests of one connection that may ask for another protocol.
_MOST_WISHES: Final = 20
_METHODS: Final = {method.encode(): method for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS")}
_STATUS_LINES: Final = {
    status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus
}
_NO_CONTENT: Final = 204
_FULL: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: text/plain; charset=utf-8\r\nretry-after: 1\r\n"
    b"connection: close\r\ncontent-length: 21\r\n\r\ntoo many connections\n"
)


class Responder(Protocol):
    """The gateway, as far as a connection needs it."""

    async def respond(self, scope: Scope, receive: Receive) -> Reply | None:
        """The reply to a request, or ``None`` when the client is gone; raises nothing."""
        ...


class HttpConnection(asyncio.Protocol):
    """One connection, with an end to its patience (see `ConnectionLimits`).

    The parameters are those with which uvicorn makes its own protocols.
    """

    limits: ClassVar[ConnectionLimits]
    _looking: ClassVar[bool] = False
    _date: ClassVar[tuple[Any, bytes]] = (None, b"")

    def __init__(
        self,
        config: Any,
        server_state: Any,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        self._responder: Responder = config.app
        self._state = server_state
        self.loop = _loop or asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport
        self._waiting: deque[IncomingRequest] = deque()
        self._answering: IncomingRequest | None = None
        self._arriving: IncomingRequest | None = None
        self._headers: list[tuple[bytes, bytes]] = []
        self._url = b""
        # The first request begins with the connection.
        self._in_head = True
        self._head_bytes = 0
        self._since = self.loop.time()
        self._reading = True
        self._writable = True
        self._unread_since: float | None = None
        # No further request is answered; no further one can come.
        self._closing = False
        self._ended = False
        # The request that is arriving asks for another protocol.
        self._wishes = False
        self._wished = 0
        self.gone = False

    # What asyncio calls.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or say that there are too many."""
        # uvloop's transports are of no class of asyncio's.
        self._transport = transport = cast(asyncio.Transport, transport)
        connections = self._state.connections
        connections.add(self)
        if len(connections) > self.limits.connections:
            transport.write(_FULL)
            self._close()
            return
        cls = type(self)
        if not cls._looking:
            cls._looking = True
            self.loop.call_later(_EVERY_SECONDS, cls._look, self.loop, connections)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is there any more; what is being answered is finished all the same."""
        self.gone = True
        self._state.connections.discard(self)
        self._waiting.clear()
        for request in (self._answering, self._arriving):
            if request is not None:
                request.wake()

    def eof_received(self) -> bool:
        """The client sends no more; it may still wait for its answers."""
        self._ended = True
        if self._arriving is not None and not self._arriving.complete:
            return False
        return self._answering is not None

    def data_received(self, data: bytes) -> None:
        """Some bytes; what belongs to headers that do not end is counted."""
        if self._closing and self._answering is None:
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as wish:
            self._stay(data[wish.args[0] :])
            return
        except httptools.HttpParserError as error:
            self._refuse(str(error))
            return
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > _MOST_HEADER_BYTES:
                self._transport.abort()

    def pause_writing(self) -> None:
        """The client does not read its answers as quickly as they are made."""
        self._writable = False

    def resume_writing(self) -> None:
        """It has read them."""
        self._writable = True
        self._unread_since = None
        self._turn()

    # What the parser calls.

    def on_message_begin(self) -> None:
        """A request begins."""
        if not self._in_head:
            self._since = self.loop.time()
            self._in_head = True
        self._head_bytes = 0
        self._headers = []
        self._url = b""

    def on_url(self, url: bytes) -> None:
        """A piece of the address."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header; what trails the body is left alone."""
        if self._in_head:
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """The headers are here: the request is answered, or waits for its turn."""
        self._in_head = False
        if self._wishes:
            # Of a request that is here already.
            self._wishes = False
            return
        parser = self._parser
        method: bytes = parser.get_method()
        path, query = address_of(self._url)
        scope: Scope = {
            "type": "http",
            "method": _METHODS.get(method) or method.decode("latin-1"),
            "path": path,
            "query_string": query,
            "headers": self._headers,
        }
        self._wishes = parser.should_upgrade()
        request = IncomingRequest(self, scope, parser.should_keep_alive(), parser.get_http_version() == "1.0")
        for name, value in self._headers:
            if name == b"expect" and value.lower() == b"100-continue":
                request.expects = True
        self._arriving = request
        self._state.total_requests += 1
        if self._answering is None and self._writable:
            self._begin(request)
        else:
            self._waiting.append(request)
            if len(self._waiting) >= _MOST_WAITING:
                self._pause()

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        request = self._arriving
        assert request is not None  # noqa: S101 -- bodies come behind headers
        request.feed(body)
        if request.held > _HIGH_WATER:
            self._pause()

    def on_message_complete(self) -> None:
        """The request is whole."""
        if self._wishes:
            # What follows is its body all the same.
            return
        request = self._arriving
        assert request is not None  # noqa: S101 -- an end comes behind a beginning
        request.complete = True
        request.scope["received"] = time.time_ns()
        request.wake()
        if request.over:
            self._turn()

    # What a request and uvicorn call.

    def go_on(self) -> None:
        """Tell a client that waits for it to send its body."""
        self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def let_read(self) -> None:
        """Read on."""
        if not self._reading and not self.gone and len(self._waiting) < _MOST_WAITING:
            self._reading = True
            self._transport.resume_reading()

    def shutdown(self) -> None:
        """Finish what is being answered, and close."""
        self._closing = True
        if self._answering is None:
            self._close()

    def _begin(self, request: IncomingRequest) -> None:
        self._answering = request
        task = self.loop.create_task(self._answer(request))
        tasks = self._state.tasks
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def _answer(self, request: IncomingRequest) -> None:
        reply: Reply | None = None
        try:
            reply = await self._responder.respond(request.scope, request.receive)
        finally:
            request.end()
            if reply is None:
                # Nobody waits for it, or there is no time left for it.
                self._close()
            elif not self.gone:
                self._send(request, reply)
            self._turn()

    def _send(self, request: IncomingRequest, reply: Reply) -> None:
        closes = self._closing or not request.keep_alive
        body = reply.body
        parts = [_STATUS_LINES[reply.status], self._date_line()]
        if reply.status != _NO_CONTENT:
            parts.append(b"content-type: %b\r\ncontent-length: %d\r\n" % (reply.content_type, len(body)))
        # A value with a line break in it would be taken for another header.
        parts += [b"%b: %b\r\n" % (name, value) for name, value in reply.headers if b"\n" not in value]
        if closes:
            parts.append(b"connection: close\r\n")
        elif request.old:
            parts.append(b"connection: keep-alive\r\n")
        parts.append(b"\r\n")
        if request.scope["method"] != "HEAD":
            parts.append(body)
        self._transport.write(b"".join(parts))
        if closes:
            self._closing = True
            # Closed with some of it unread, the connection would be reset, and the reply lost on its way.
            if request.complete:
                self._close()

    def _turn(self) -> None:
        """Go on with the next request, once the last one is over from both sides."""
        request = self._answering
        if request is not None:
            if not request.over:
                return
            if not request.complete:
                # The rest of its body is thrown away first.
                self.let_read()
                return
            self._answering = None
            self._since = self.loop.time()
        if self.gone or not self._writable:
            return
        if self._closing or (self._ended and not self._waiting):
            self._close()
            return
        if self._waiting:
            self._begin(self._waiting.popleft())
        self.let_read()

    def _stay(self, rest: bytes) -> None:
        """Go on with HTTP/1.1 where a client would rather have another protocol, as RFC 9110, section 7.8 allows.

        Java's client asks for HTTP/2 with its first request. The parser stops there; another one goes on, and is told
        first how long the body is.
        """
        self._wished += 1
        if self._wished > _MOST_WISHES:
            self._refuse("it asks for another protocol again and again")
            return
        self._parser = httptools.HttpRequestParser(self)
        framing = [line for line in self._headers if line[0] in {b"content-length", b"transfer-encoding"}]
        lines = b"".join(b"%b: %b\r\n" % line for line in framing)
        self.data_received(b"POST / HTTP/1.1\r\n" + lines + b"\r\n" + rest)

    def _refuse(self, why: str) -> None:
        """Say that this is no HTTP, unless answers to what came before are still due."""
        self._closing = True
        self._pause()
        if self._answering is not None:
            if not self._answering.complete:
                self._transport.abort()
            return
        error = Unreadable(f"not an HTTP request: {why}"[:200], field="request", expected="HTTP/1.1")
        refused = IncomingRequest(self, {"method": "GET"}, keep_alive=False, old=False)
        refused.complete = True
        self._send(refused, problem(error))

    def _date_line(self) -> bytes:
        # uvicorn makes a new list once a second.
        lines = self._state.default_headers
        if type(self)._date[0] is not lines:
            type(self)._date = (lines, b"".join(b"%b: %b\r\n" % line for line in lines))
        return type(self)._date[1]

    def _pause(self) -> None:
        if self._reading and not self.gone:
            self._reading = False
            self._transport.pause_reading()

    def _close(self) -> None:
        self._closing = True
        if not self.gone:
            self._transport.close()

    def _is_too_slow(self, now: float) -> bool:
        limits = self.limits
        if not self._writable:
            if self._unread_since is None:
                self._unread_since = now
            return now - self._unread_since > limits.answer_seconds
        waited = now - self._since
        # Where reading has stopped it is we who are slow.
        if not self._reading:
            return False
        if self._in_head:
            return self._answering is None and waited > limits.head_seconds
        if self._arriving is not None and not self._arriving.complete:
            return waited > limits.body_seconds
        return self._answering is None and waited > limits.idle_seconds

    @classmethod
    def _look(cls, loop: asyncio.AbstractEventLoop, connections: set[Any]) -> None:
        now = loop.time()
        for connection in list(connections):
            if isinstance(connection, HttpConnection) and connection._is_too_slow(now):
                connection._transport.abort()
        if connections:
            loop.call_later(_EVERY_SECONDS, cls._look, loop, connections)
        else:
            cls._looking = False


def patient_protocol(limits: ConnectionLimits) -> type[HttpConnection]:
    """The protocol class for uvicorn (``Config(http=...)``) that keeps these limits."""
    return type("PatientConnection", (HttpConnection,), {"limits": limits, "_looking": False})
