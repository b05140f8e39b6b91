"""Group commit: many records, one transaction, one fsync.

Appends run on the event loop's thread and cost a queue entry and a future. One thread takes all that waits,
commits it as one transaction, and wakes the loop once. While that fsync runs, the next group gathers; so a busy
gateway pays for a fraction of an fsync a request and a quiet one waits for one fsync.

The same thread removes the records that readers have released, some between groups and more when it is idle.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Final, NamedTuple, TypeAlias

from tsavo.journal.files import link_spill
from tsavo.journal.log import Log
from tsavo.journal.places import Bounds, Places, Standing, WhenFull
from tsavo.journal.replies import KeptReply
from tsavo.vocabulary import Overloaded, TsavoError, Unavailable

__all__ = ["JournalWriter"]

_LARGEST_GROUP: Final = 4096
# How long the thread rests when there is nothing to do.
_REST_SECONDS: Final = 0.2
# Records between which nothing is removed while it is busy: every statement has the thread wait for the global lock.
_BETWEEN_REMOVALS: Final = 512
# How often it is looked whether the disk still answers.
_WATCH_SECONDS: Final = 0.5


class _Extra(NamedTuple):
    """What few appends bring beside their first record."""

    more: tuple[bytes, ...]
    reply: KeptReply | None

    @property
    def size(self) -> int:
        return sum(map(len, self.more)) + (0 if self.reply is None else len(self.reply.reply))


_Waiting: TypeAlias = "tuple[bytes, asyncio.Future[str | None], _Extra | None]"


class JournalWriter:
    """Appends records to one journal file.

    Parameters
    ----------
    path
        The file; made when it is not there. Raises `Unavailable` when that cannot be done.
    max_pending, max_pending_bytes
        Most records, and bytes of records, that wait for the disk; what comes on top is `Overloaded`.
    reply_seconds, reply_bytes
        How long replies are kept, and how many bytes of them; the oldest go first.
    nanoseconds
        The time, in nanoseconds since 1970 UTC.
    when_full
        What is done with a record that the disk does not take: see `tsavo.journal.places`.
    spill
        A folder on another disk, for ``spill``.
    bounds
        How large the journal may grow.
    patience_seconds
        A disk that takes longer than this for one commit is one that does not answer.
    weigh, moment
        How many decisions a record holds, and when it was made in nanoseconds since 1970 UTC.
    """

    def __init__(
        self,
        path: Path,
        *,
        max_pending: int = 8192,
        max_pending_bytes: int = 256 << 20,
        reply_seconds: float = 600.0,
        reply_bytes: int = 256 << 20,
        nanoseconds: Callable[[], int] = time.time_ns,
        when_full: WhenFull = "refuse",
        spill: Path | None = None,
        bounds: Bounds = Bounds(),
        patience_seconds: float = 10.0,
        weigh: Callable[[bytes], int] = lambda payload: 1,
        moment: Callable[[bytes], int] = lambda payload: 0,
    ) -> None:
        self.path = path

        def log(where: Path) -> Log:
            return Log(where, reply_seconds=reply_seconds, reply_bytes=reply_bytes, nanoseconds=nanoseconds)

        second = None if spill is None else log(link_spill(path.parent, spill).resolve() / path.name)
        self._first = log(path)
        self._places = Places(
            self._first, second, when_full, bounds, weigh=weigh, moment=moment, nanoseconds=nanoseconds
        )
        self._places.open()
        self.failure: Unavailable | None = None
        self._max_pending = max_pending
        self._max_bytes = max_pending_bytes
        self._patience = patience_seconds
        self._queue: deque[_Waiting] = deque()
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._called = False
        self._closing = False
        # Each of the next three is changed by one thread alone, so that no lock is needed.
        self._bytes_in = 0
        self._bytes_out = 0
        self._in_flight: list[_Waiting] = []
        # When the commit that is under way began, and whether it takes too long.
        self._began: float | None = None
        self._stuck = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._thread: threading.Thread | None = None

    @property
    def journal_id(self) -> str:
        """The journal's own id; empty as long as the file could not be opened."""
        return self._first.journal_id

    @property
    def pending(self) -> int:
        """Records that were appended and are not on disk yet."""
        return len(self._queue) + len(self._in_flight)

    @property
    def standing(self) -> Standing:
        """How the journal is doing."""
        told = self._places.standing
        if self._stuck:
            return told._replace(state="refusing", why="the disk does not answer")
        return told

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the writing thread; futures are resolved on `loop`."""
        self._loop = loop
        self._closing = False
        self._first.enter()
        self._thread = threading.Thread(target=self._run, name=f"journal {self.path.name}", daemon=True)
        self._thread.start()
        self._watch = loop.call_later(_WATCH_SECONDS, self._look_at_clock)

    def append(
        self, payload: bytes, *more: bytes, reply: KeptReply | None = None
    ) -> asyncio.Future[str | None]:
        """Record `payload`; call it on the loop's thread.

        Parameters
        ----------
        more
            Records that belong to it: either all are on disk, or none is.
        reply
            Kept with them, on the same terms. What has one is never answered unrecorded.

        Returns
        -------
        asyncio.Future
            Done when the record is on disk, with ``None``. Where that failed and may be answered all the same, it
            holds the flag to answer with. Else it holds `Unavailable`, with the reason; the next append tries again.

        Raises
        ------
        Overloaded
            Too much waits for the disk already.
        Unavailable
            The writer was not started, or is closed; or the disk does not answer.
        """
        loop = self._loop
        if loop is None or self._closing:
            raise _closed(self.path)
        if self._stuck:
            raise _no_answer(self.path)
        size = len(payload)
        extra: _Extra | None = None
        if more or reply is not None:
            extra = _Extra(more, reply)
            size += extra.size
        if len(self._queue) >= self._max_pending or (
            self._bytes_in - self._bytes_out + size > self._max_bytes > size
        ):
            raise _overloaded(self.pending)
        future: asyncio.Future[str | None] = loop.create_future()
        self._bytes_in += size
        self._queue.append((payload, future, extra))
        if not self._called:
            self._called = True
            # Not before everything that is ready on the loop has run: what that appends is of the same group, and the
            # thread does not fight with it for the global lock.
            loop.call_soon(self._call)
        return future

    def append_blocking(self, payload: bytes) -> None:
        """Record `payload` on the calling thread; on disk when this returns. Raise `Unavailable` when it cannot be."""
        failure = self._places.keep([payload], ())
        if isinstance(failure, Unavailable):
            raise failure

    def close(self) -> None:
        """Commit what waits, then stop. Do not call it on the loop's thread while appends are awaited there."""
        self._closing = True
        if self._thread is not None:
            self._wake.put(None)
            self._thread.join()
            self._thread = None
        self._places.close()

    def _call(self) -> None:
        """Wake the thread; on the loop's thread."""
        self._called = False
        self._wake.put(None)

    def _look_at_clock(self) -> None:
        """Whoever waits for a disk that does not answer is told so; on the loop's thread."""
        loop, began = self._loop, self._began
        if loop is None or self._closing:
            return
        self._watch = loop.call_later(_WATCH_SECONDS, self._look_at_clock)
        self._stuck = began is not None and time.monotonic() - began > self._patience
        if self._stuck:
            # What the disk has been given may be found on it later; the rest was never written.
            gone = [*self._in_flight]
            while self._queue:
                waiting = self._queue.popleft()
                self._bytes_in -= _size(waiting)
                gone.append(waiting)
            _settle(gone, _no_answer(self.path))

    def _run(self) -> None:
        queue = self._queue
        unlooked = 0
        while True:
            # Read before the queue is: what was appended before closing is committed.
            closing = self._closing
            if not closing:
                self._rest()
            group: list[_Waiting] = []
            try:
                while len(group) < _LARGEST_GROUP:
                    group.append(queue.popleft())
            except IndexError:
                # Empty: the clock may have emptied it at the same time.
                pass
            if not group:
                if closing:
                    return
                continue
            self._commit(group)
            unlooked += len(group)
            # Where nothing can be recorded, removing is what may make room.
            if unlooked >= _BETWEEN_REMOVALS or self.failure is not None:
                # At least twice as many as came in, so that it always catches up.
                self._places.rest(2 * unlooked)
                unlooked = 0

    def _rest(self) -> None:
        """Wait for an append, or look after what is to be removed."""
        try:
            self._wake.get(timeout=0.0 if self._places.behind else _REST_SECONDS)
            while not self._wake.empty():
                self._wake.get_nowait()
        except Empty:
            self._places.rest()

    def _commit(self, group: list[_Waiting]) -> None:
        self._in_flight = group
        self._began = time.monotonic()
        payloads, replies, size = _contents(group)
        result = self._places.keep(payloads, replies, lambda: _flaggable(group))
        self._began = None
        self._stuck = False
        self.failure = result if isinstance(result, Unavailable) else None
        self._bytes_out += size
        # Before anybody is told: who awaits the last record must not find it pending still.
        self._in_flight = []
        loop = self._loop
        if loop is not None and not loop.is_closed():
            try:
                loop.call_soon_threadsafe(_settle, group, result)
            except RuntimeError:
                # The loop closed between the two lines: nobody waits for these futures any more.
                return


def _settle(group: list[_Waiting], result: Unavailable | str | None) -> None:
    """Resolve the futures of a group, on the loop's thread; a caller may have gone meanwhile."""
    if result is None:
        for _, future, _ in group:
            if not future.done():
                future.set_result(None)
        return
    for _, future, extra in group:
        if future.done():
            continue
        if isinstance(result, Unavailable):
            future.set_exception(result)
        elif extra is not None and extra.reply is not None:
            future.set_exception(_not_kept())
        else:
            future.set_result(result)


def _flaggable(group: list[_Waiting]) -> tuple[int, list[bytes]]:
    """How many appends come without a reply to keep, and their records."""
    some = [waiting for waiting in group if waiting[2] is None or waiting[2].reply is None]
    return len(some), _contents(some)[0]


def _size(waiting: _Waiting) -> int:
    payload, _, extra = waiting
    return len(payload) + (0 if extra is None else extra.size)


def _contents(group: list[_Waiting]) -> tuple[list[bytes], list[KeptReply], int]:
    """The records of a group in order, the replies to keep, and the bytes of both."""
    payloads = [payload for payload, _, _ in group]
    extras = [extra for _, _, extra in group if extra is not None]
    size = sum(map(len, payloads))
    if not extras:
        return payloads, [], size
    payloads = []
    for payload, _, extra in group:
        payloads.append(payload)
        if extra is not None:
            payloads.extend(extra.more)
    replies = [extra.reply for extra in extras if extra.reply is not None]
    return payloads, replies, size + sum(extra.size for extra in extras)


def _closed(path: Path) -> TsavoError:
    return Unavailable(
        "the journal is not open for writing",
        field="journal",
        found=str(path),
        next_step="the process is starting or stopping; try again",
        retry_after=1.0,
    )


def _no_answer(path: Path) -> Unavailable:
    return Unavailable(
        "the journal's disk does not answer",
        field="journal",
        found=str(path),
        expected="a commit within journal.patience_seconds",
        next_step="see the disk and the system's log; recording resumes by itself",
        retry_after=1.0,
    )


def _not_kept() -> Unavailable:
    return Unavailable(
        "decisions are not being recorded, so an answer cannot be kept for its key",
        field="journal",
        next_step="send the request again later with its key, or without a key now",
        retry_after=1.0,
    )


def _overloaded(pending: int) -> TsavoError:
    return Overloaded(
        "decisions arrive faster than the disk can record them",
        field="journal",
        found=f"{pending} records waiting",
        next_step="try again after the stated time",
        retry_after=0.1,
    )
