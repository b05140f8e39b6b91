"""Answers to queries on their way out: written to a file of the home first, then sent.

So an answer is whole or a refusal, never half a file under a good status; a slow reader holds a file and no query; a
query that nobody waits for any more is stopped.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import threading
from collections.abc import AsyncIterator, Callable
from typing import IO, Any, Final, TypeVar

from litestar import Request, Response
from litestar.response import Stream

from tsavo.console.crowding import QUERIES
from tsavo.console.parts import ConsoleParts
from tsavo.lake import Allowance, Answer
from tsavo.vocabulary import TooLarge

__all__ = ["Spool", "Writer", "sent", "spooled", "while_wanted"]

T = TypeVar("T")

_IN_MEMORY: Final = 1 << 20
_PIECE: Final = 1 << 18
_MOST_BYTES: Final = 8 << 30
# What the disk keeps free whatever is asked: the journals need it more.
_LEFT_FREE: Final = 1 << 30

Writer = Callable[[Answer, IO[bytes]], None]


class Spool(tempfile.SpooledTemporaryFile[bytes]):
    """What was written, small in memory and large in a file without a name; more than there is room for is refused.

    Attributes
    ----------
    rows, truncated
        Of the answer that was written.
    """

    def __init__(self, folder: str) -> None:
        super().__init__(max_size=_IN_MEMORY, dir=folder)
        self.rows = 0
        self.truncated = False
        # What fits in memory needs no disk: small questions are answered also when it is full.
        free = shutil.disk_usage(folder).free - _LEFT_FREE
        self._room = max(_IN_MEMORY, min(_MOST_BYTES, free))

    def write(self, piece: Any) -> int:
        """Write a piece; raise `TooLarge` when there is no room for it."""
        self._room -= len(piece)
        if self._room < 0:
            raise TooLarge(
                "the answer is larger than there is room for",
                field="query",
                expected=f"at most {_MOST_BYTES >> 30} GiB, and {_LEFT_FREE >> 30} GiB of the disk left free",
                next_step="ask for fewer rows or columns, or in parts",
            )
        return super().write(piece)


async def spooled(
    request: Request[Any, Any, Any],
    parts: ConsoleParts,
    query: str,
    allowance: Allowance,
    as_of: Any,
    write: Writer,
) -> Spool:
    """The answer to a query as `write` writes it; it is stopped when the client goes away.

    Raises
    ------
    Invalid, TooLarge, Overloaded
        When it cannot be answered whole, or too many queries run.
    """

    def work(stop: threading.Event) -> Spool:
        with QUERIES.turn(), parts.lake.ask(query, allowance, as_of=as_of, stop=stop) as answer:
            spool = Spool(str(parts.plane.work))
            try:
                write(answer, spool)
            except BaseException:
                spool.close()
                raise
        spool.rows, spool.truncated = answer.rows, answer.truncated
        spool.seek(0)
        return spool

    return await while_wanted(request, work)


async def while_wanted(request: Request[Any, Any, Any], work: Callable[[threading.Event], T]) -> T:
    """What `work` returns; it runs in a thread, and the event that it gets is set when the client goes away."""
    stop = threading.Event()
    gone = asyncio.create_task(_gone(request))
    gone.add_done_callback(lambda task: None if task.cancelled() else stop.set())
    try:
        return await asyncio.to_thread(work, stop)
    except asyncio.CancelledError:
        stop.set()
        raise
    finally:
        gone.cancel()


async def _gone(request: Request[Any, Any, Any]) -> None:
    """Return when the client has gone away."""
    while (await request.receive())["type"] != "http.disconnect":
        continue


def sent(spool: Spool, media_type: str, name: str = "") -> Response[Any]:
    """A response that sends what was written; `name` is what a browser would call the file."""
    headers = {"X-Tsavo-Rows": str(spool.rows), "X-Tsavo-Truncated": "true" if spool.truncated else "false"}
    if name:
        headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return Stream(_pieces(spool), media_type=media_type, headers=headers)


async def _pieces(spool: Spool) -> AsyncIterator[bytes]:
    try:
        while piece := await asyncio.to_thread(spool.read, _PIECE):
            yield piece
    finally:
        spool.close()
