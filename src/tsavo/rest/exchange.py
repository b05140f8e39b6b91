"""One request and its reply, as the roads of this door see them."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple, TypeAlias, TypeVar

import msgspec

from tsavo.endpoints import Answer, DataPlane, InputTensor
from tsavo.endpoints.origins import Origin, request_digest
from tsavo.endpoints.traces import Trace
from tsavo.journal import KeptReply
from tsavo.rest.admission import Admission
from tsavo.rest.asgi import Receive, Scope
from tsavo.rest.bodies import read_body
from tsavo.rest.compression import WORTH_PACKING, compressed, decompressed

__all__ = ["JSON", "Exchange", "Handler", "Reply", "Road", "Write", "road"]

JSON: Final = b"application/json"
A = TypeVar("A")

_CALLER: Final = b"x-tsavo-caller"
_SUBJECT: Final = b"x-tsavo-subject"
_SPLIT_KEY: Final = b"x-tsavo-key"
_MOST_CHARACTERS: Final = 100


class Reply(msgspec.Struct, frozen=True, gc=False):
    """What goes back; the length is added where it is sent."""

    body: bytes
    status: int = 200
    content_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()

    def telling(self, headers: tuple[tuple[bytes, bytes], ...]) -> Reply:
        """The same reply with these headers too."""
        return Reply(self.body, self.status, self.content_type, self.headers + headers)


Write: TypeAlias = Callable[[Answer], Awaitable[Reply]]
"""Makes the reply that an answer is told in."""


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
    headers
        By their names in lower case; the last where there are several of a name.
    held
        Bytes of the body that `admission` counts.
    trace
        That the request belongs to.
    """

    __slots__ = (
        "_admission",
        "_begun",
        "_body",
        "_digest",
        "_keep",
        "_limit",
        "_receive",
        "headers",
        "held",
        "plane",
        "scope",
        "trace",
    )

    def __init__(
        self, scope: Scope, receive: Receive, plane: DataPlane, limit: int, admission: Admission
    ) -> None:
        self._admission = admission
        self.held = 0
        self.scope = scope
        self.plane = plane
        self._receive = receive
        self._limit = limit
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self._body: bytes | None = None
        self._begun = 0
        self._digest = b""
        self._keep: Callable[[Reply], KeptReply] | None = None
        self.trace: Trace | None = None

    async def body(self) -> bytes:
        """The whole body, unpacked, within the limit; see `read_body` and `decompressed` for what they raise."""
        if self._body is not None:
            return self._body
        body = await read_body(self.scope, self._receive, self._limit, self._take)
        encoding = self.headers.get(b"content-encoding")
        if encoding is not None:
            packed = len(body)
            body = await decompressed(body, encoding, self._limit)
            self._take(max(0, len(body) - packed))
        self._begun = time.time_ns()
        if self.scope["method"] == "POST":
            self._digest = await request_digest(body)
        self._body = body
        return body

    def _take(self, size: int) -> None:
        self._admission.take(size)
        self.held += size

    def header(self, name: bytes) -> bytes | None:
        """A header by its name in lower case; the last when there are several."""
        return self.headers.get(name)

    @property
    def caller(self) -> str:
        """Who calls, as far as the caller says (until keys come): kept with the decision, cut to 100 characters."""
        said = self.header(_CALLER)
        return "" if said is None else said[:_MOST_CHARACTERS].decode("latin-1")

    @property
    def subject(self) -> str:
        """Whose data the rows are, where they do not say so themselves; never recorded as it is."""
        said = self.header(_SUBJECT) or b""
        try:
            return said.decode()
        except UnicodeDecodeError:
            return said.decode("latin-1")

    @property
    def origin(self) -> Origin:
        """Where the request comes from, as far as this door knows."""
        return Origin(
            self.caller if _CALLER in self.headers else "",
            "" if self.trace is None else self.trace.trace_id,
            self._digest,
            self.scope.get("received", 0),
            self._begun,
            self.subject if _SUBJECT in self.headers else "",
        )

    async def packed(self, reply: Reply) -> Reply:
        """The reply, compressed where it is worth that and the client can read it."""
        accepted = self.headers.get(b"accept-encoding") if len(reply.body) >= WORTH_PACKING else None
        body = None if accepted is None else await compressed(reply.body, accepted)
        if accepted is None or body is None:
            return reply
        headers = (*reply.headers, (b"content-encoding", accepted), (b"vary", b"accept-encoding"))
        return Reply(body, reply.status, reply.content_type, headers)

    def keep(self, take_down: Callable[[Reply], KeptReply]) -> None:
        """What is scored from now on is kept: `take_down` makes of the reply what is recorded with the decisions."""
        self._keep = take_down

    async def infer(
        self,
        endpoint: str,
        tensors: Sequence[InputTensor],
        write: Write,
        *,
        wanted: Sequence[str] | None = None,
        pin: int | None = None,
    ) -> Reply:
        """Score for whoever sent this request; see `DataPlane.infer`.

        Parameters
        ----------
        write
            Makes the reply. It is made before the decisions are recorded where it is kept with them.
        """
        if self._keep is None:
            return await write(await self.score(endpoint, tensors, wanted, pin))
        return await self.recorded(lambda keep: self.score(endpoint, tensors, wanted, pin, keep), write)

    @property
    def keeps(self) -> bool:
        """Whether what is scored is kept together with its reply, so that `infer` is the way to score."""
        return self._keep is not None

    def score(
        self,
        endpoint: str,
        tensors: Sequence[InputTensor],
        wanted: Sequence[str] | None = None,
        pin: int | None = None,
        keep: Callable[[Answer], Awaitable[KeptReply]] | None = None,
    ) -> Awaitable[Answer]:
        """What the data plane answers to whoever sent this request; for roads that ask `keeps` first."""
        headers = self.headers
        return self.plane.infer(
            endpoint,
            tensors,
            wanted=wanted,
            pin=pin,
            key=headers[_SPLIT_KEY].decode("latin-1") if _SPLIT_KEY in headers else "",
            origin=self.origin,
            reply=keep,
        )

    async def recorded(
        self,
        score: Callable[[Callable[[A], Awaitable[KeptReply]] | None], Awaitable[A]],
        write: Callable[[A], Awaitable[Reply]],
    ) -> Reply:
        """The reply to what `score` answers, which records it: together with the reply, where that is kept.

        Parameters
        ----------
        score
            Gets what makes of the answer what is kept, or ``None``.
        """
        take_down = self._keep
        if take_down is None:
            return await write(await score(None))
        written: list[Reply] = []

        async def keep(answer: A) -> KeptReply:
            written.append(await write(answer))
            return take_down(written[0])

        answer = await score(keep)
        # Where nothing was decided, nothing was kept.
        return written[0] if written else await write(answer)


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
