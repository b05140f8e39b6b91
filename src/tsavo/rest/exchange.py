"""One request and its reply, as the roads of this door see them."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple, TypeAlias

import msgspec

from tsavo.endpoints import DataPlane
from tsavo.rest.admission import Admission
from tsavo.rest.asgi import Receive, Scope
from tsavo.rest.bodies import read_body
from tsavo.rest.compression import decompressed

__all__ = ["JSON", "Exchange", "Handler", "Reply", "Road", "road"]

JSON: Final = b"application/json"
_CALLER: Final = b"x-tsavo-caller"


class Reply(msgspec.Struct, frozen=True, gc=False):
    """What goes back; the length is added where it is sent."""

    body: bytes
    status: int = 200
    content_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Exchange:
    """A request whose body was not read yet.

    Parameters
    ----------
    plane
        Scores.
    limit
        Bytes that the body may have.
    admission
        Counts what is held.

    Attributes
    ----------
    held
        Bytes of the body that `admission` counts.
    """

    __slots__ = ("_admission", "_headers", "_limit", "_receive", "held", "plane", "scope")

    def __init__(
        self, scope: Scope, receive: Receive, plane: DataPlane, limit: int, admission: Admission
    ) -> None:
        self._admission = admission
        self.held = 0
        self.scope = scope
        self.plane = plane
        self._receive = receive
        self._limit = limit
        self._headers: dict[bytes, bytes] = dict(scope["headers"])

    async def body(self) -> bytes:
        """The whole body, unpacked, within the limit; see `read_body` and `decompressed` for what they raise."""
        body = await read_body(self.scope, self._receive, self._limit, self._take)
        encoding = self._headers.get(b"content-encoding")
        if encoding is None:
            return body
        unpacked = await decompressed(body, encoding, self._limit)
        self._take(max(0, len(unpacked) - len(body)))
        return unpacked

    def _take(self, size: int) -> None:
        self._admission.take(size)
        self.held += size

    def header(self, name: bytes) -> bytes | None:
        """A header by its name in lower case; the last when there are several."""
        return self._headers.get(name)

    @property
    def caller(self) -> str:
        """Who calls, as far as the caller says (until keys come): kept with the decision, cut to 100 characters."""
        said = self.header(_CALLER)
        return "" if said is None else said[:100].decode("latin-1")


Handler: TypeAlias = Callable[..., Awaitable[Reply]]


class Road(NamedTuple):
    """An address of this door: its method, its path, and what answers there.

    The handler gets the `Exchange`, and the named groups of the path by name.
    """

    method: str
    path: re.Pattern[str]
    handle: Handler


def road(method: str, path: str, handle: Handler) -> Road:
    """A road whose path has ``{names}`` for parts without a slash.

    >>> road("GET", "/v2/models/{endpoint}", print).path.pattern
    '/v2/models/(?P<endpoint>[^/]+)'
    """
    pattern = re.sub(r"\\\{(\w+)\\\}", r"(?P<\1>[^/]+)", re.escape(path))
    return Road(method, re.compile(pattern), handle)
