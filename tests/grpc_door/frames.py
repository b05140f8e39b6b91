"""HTTP/2 by hand, for what no client library would send.

Specification: RFC 9113, sections 4.1 (frames) and 6 (their types); RFC 7541, section 6.2.2 (a header in full); gRPC
over HTTP/2 (a message after a zero byte and its length in four).
"""

from __future__ import annotations

import socket
import struct
from types import TracebackType

DATA, HEADERS, RST_STREAM, SETTINGS, PING = 0, 1, 3, 4, 6
END_STREAM, END_HEADERS, ACK = 1, 4, 1
CANCEL = 8
_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_SERVICE = b"/inference.GRPCInferenceService/"


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def _field(name: bytes, value: bytes) -> bytes:
    assert max(len(name), len(value)) < 127  # lengths of one byte
    return b"".join((b"\0", bytes((len(name),)), name, bytes((len(value),)), value))


class Connection:
    """A connection that is open for calls; `calls` are streams by their numbers, 1, 3, 5 and so on."""

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), timeout=20)
        self._socket.sendall(_PREFACE + frame(SETTINGS, 0, 0))
        self._next = 1

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def call(self, method: str, *, ends: bool = False) -> int:
        """Begin a call, and end it without a message where `ends`."""
        stream, self._next = self._next, self._next + 2
        fields = {
            b":method": b"POST",
            b":scheme": b"http",
            b":path": _SERVICE + method.encode(),
            b":authority": b"here",
            b"content-type": b"application/grpc",
            b"te": b"trailers",
        }
        flags = END_HEADERS | (END_STREAM if ends else 0)
        payload = b"".join(_field(name, value) for name, value in fields.items())
        self._socket.sendall(frame(HEADERS, flags, stream, payload))
        return stream

    def send(self, stream: int, message: bytes, length: int | None = None, *, ends: bool = False) -> None:
        """Send a message, or only its beginning where `length` says that it is longer."""
        prefix = b"\0" + struct.pack(">I", len(message) if length is None else length)
        self._socket.sendall(frame(DATA, END_STREAM if ends else 0, stream, prefix + message))

    def rest(self, stream: int, message: bytes) -> None:
        """Send the rest of a message that was begun, and end the call."""
        self._socket.sendall(frame(DATA, END_STREAM, stream, message))

    def cancel(self, stream: int) -> None:
        self._socket.sendall(frame(RST_STREAM, 0, stream, struct.pack(">I", CANCEL)))
