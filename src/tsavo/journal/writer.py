"""Group commit: many records, one transaction, one fsync.

Appends run on the event loop's thread and cost a queue entry and a future. One thread takes all that waits,
commits it as one transaction, and wakes the loop once. While that fsync runs, the next group gathers; so a busy
gateway pays for a fraction of an fsync a request and a quiet one waits for one fsync.

The same thread removes the records that readers have released, some between groups and more when it is idle.

A group is one ``INSERT`` with as many rows as there are records, not one a record: each step of SQLite lets go of
Python's global lock, and taking it back from a busy event loop can cost milliseconds. Replies that are kept beside
records are a second ``INSERT`` of the same transaction, in groups that have any.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Final, NamedTuple, TypeAlias

from tsavo.journal.files import connect, create, remove, unavailable
from tsavo.journal.release import Presence, released
from tsavo.journal.replies import Aging, KeptReply, insert_replies
from tsavo.vocabulary import Overloaded, TsavoError, Unavailable

__all__ = ["JournalWriter"]

# Rows in one INSERT; a larger group takes several of them in one transaction.
_ROWS_A_STATEMENT: Final = 256
_LARGEST_GROUP: Final = 4096
# How often the thread looks for newly released records, and how many it removes at once: at least twice as many as came
# in, so that it always catches up.
_LOOK_SECONDS: Final = 0.2
_REMOVED_AT_ONCE: Final = 128
# Records between which nothing is removed while it is busy: every statement has the thread wait for the global lock.
_BETWEEN_REMOVALS: Final = 512


class _Extra(NamedTuple):
    """What few appends bring beside their first record."""

    more: tuple[bytes, ...]
    reply: KeptReply | None

    @property
    def size(self) -> int:
        return sum(map(len, self.more)) + (0 if self.reply is None else len(self.reply.reply))


_Waiting: TypeAlias = "tuple[bytes, asyncio.Future[None], _Extra | None]"


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
        The time, in nanoseconds since 1970 UTC, by which replies grow old.
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
    ) -> None:
        self.path = path
        self.journal_id = create(path)
        self.failure: Unavailable | None = None
        self._max_pending = max_pending
        self._max_bytes = max_pending_bytes
        self._queue: deque[_Waiting] = deque()
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._called = False
        self._closing = False
        # Each of the next three is changed by one thread alone, so that no lock is needed.
        self._bytes_in = 0
        self._bytes_out = 0
        self._in_flight = 0
        self._presence = Presence(path)
        self._released = 0
        self._removed = 0
        self._look_at = 0.0
        self._aging = Aging(seconds=reply_seconds, most_bytes=reply_bytes)
        self._nanoseconds = nanoseconds
        # Whether there may be replies that are too old.
        self._more_old = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._connection: sqlite3.Connection | None = None
        self._direct: sqlite3.Connection | None = None
        self._direct_lock = threading.Lock()

    @property
    def pending(self) -> int:
        """Records that were appended and are not on disk yet."""
        return len(self._queue) + self._in_flight

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start the writing thread; futures are resolved on `loop`."""
        self._loop = loop
        self._closing = False
        self._presence.enter()
        self._thread = threading.Thread(target=self._run, name=f"journal {self.path.name}", daemon=True)
        self._thread.start()

    def append(self, payload: bytes, *more: bytes, reply: KeptReply | None = None) -> asyncio.Future[None]:
        """Record `payload`; call it on the loop's thread.

        Parameters
        ----------
        more
            Records that belong to it: either all are on disk, or none is.
        reply
            Kept with them, on the same terms.

        Returns
        -------
        asyncio.Future
            Done when the record is on disk. It holds `Unavailable`, with the reason, when it could not be written;
            the next append tries again.

        Raises
        ------
        Overloaded
            Too much waits for the disk already.
        Unavailable
            The writer was not started, or is closed.
        """
        loop = self._loop
        if loop is None or self._closing:
            raise _closed(self.path)
        size = len(payload)
        extra: _Extra | None = None
        if more or reply is not None:
            extra = _Extra(more, reply)
            size += extra.size
        if len(self._queue) >= self._max_pending or (
            self._bytes_in - self._bytes_out + size > self._max_bytes > size
        ):
            raise _overloaded(self.pending)
        future: asyncio.Future[None] = loop.create_future()
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
        with self._direct_lock:
            try:
                if self._direct is None:
                    self._direct = connect(self.path, "FULL")
                _insert(self._direct, [payload])
            except sqlite3.Error as error:
                _abandon(self._direct)
                self._direct = None
                raise unavailable(self.path, error) from error

    def close(self) -> None:
        """Commit what waits, then stop. Do not call it on the loop's thread while appends are awaited there."""
        self._closing = True
        if self._thread is not None:
            self._wake.put(None)
            self._thread.join()
            self._thread = None
        self._presence.leave()
        _abandon(self._connection)
        self._connection = None
        with self._direct_lock:
            _abandon(self._direct)
            self._direct = None

    def _call(self) -> None:
        """Wake the thread; on the loop's thread."""
        self._called = False
        self._wake.put(None)

    def _run(self) -> None:
        queue = self._queue
        unlooked = 0
        while True:
            # Read before the queue is: what was appended before closing is committed.
            closing = self._closing
            if not closing:
                self._rest()
            if not queue:
                if closing:
                    return
                continue
            self._in_flight = min(len(queue), _LARGEST_GROUP)
            group = [queue.popleft() for _ in range(self._in_flight)]
            self._commit(group)
            unlooked += len(group)
            if unlooked >= _BETWEEN_REMOVALS:
                self._remove(2 * unlooked)
                unlooked = 0

    def _rest(self) -> None:
        """Wait for an append, or look after what is to be removed."""
        behind = self._removed < self._released or self._more_old
        try:
            self._wake.get(timeout=0.0 if behind else _LOOK_SECONDS)
            while not self._wake.empty():
                self._wake.get_nowait()
        except Empty:
            self._remove(_REMOVED_AT_ONCE)

    def _remove(self, rows: int) -> None:
        """Remove some of the records that readers no longer need, and of the replies that are too old.

        A failure here concerns no append.
        """
        now = time.monotonic()
        if now >= self._look_at:
            self._released = released(self.path, self.journal_id)
            self._more_old = self._aging.any
            self._look_at = now + _LOOK_SECONDS
        if self._removed >= self._released and not self._more_old:
            return
        try:
            connection = self._connected()
            # A removal that a power cut undoes is done again: it need not wait for the disk.
            connection.execute("PRAGMA synchronous=NORMAL")
            if self._removed < self._released and (
                remove(connection, self._released, max(rows, _REMOVED_AT_ONCE)) < rows
            ):
                self._removed = self._released
            if self._more_old:
                self._more_old = self._aging.remove(connection, self._nanoseconds(), rows)
            connection.execute("PRAGMA synchronous=FULL")
        except sqlite3.Error:
            _abandon(self._connection)
            self._connection = None
            self._removed = self._released
            self._more_old = False

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = connect(self.path, "FULL")
            self._aging.begin(self._connection)
        return self._connection

    def _commit(self, group: list[_Waiting]) -> None:
        payloads, replies, size = _contents(group)
        failure: Unavailable | None = None
        try:
            connection = self._connected()
            if replies:
                self._aging.added(_insert_with(connection, payloads, replies, self._aging.total))
            else:
                _insert(connection, payloads)
        except (sqlite3.Error, OSError, MemoryError) as error:
            # A connection that met an I/O error may hold half a transaction: the next group starts on a new one.
            _abandon(self._connection)
            self._connection = None
            failure = unavailable(self.path, error)
        self.failure = failure
        self._bytes_out += size
        # Before anybody is told: who awaits the last record must not find it pending still.
        self._in_flight = 0
        loop = self._loop
        if loop is not None and not loop.is_closed():
            try:
                loop.call_soon_threadsafe(_settle, group, failure)
            except RuntimeError:
                # The loop closed between the two lines: nobody waits for these futures any more.
                return


def _settle(group: list[_Waiting], failure: Unavailable | None) -> None:
    """Resolve the futures of a group, on the loop's thread; a caller may have gone meanwhile."""
    if failure is None:
        for _, future, _ in group:
            if not future.done():
                future.set_result(None)
        return
    for _, future, _ in group:
        if not future.done():
            future.set_exception(failure)


@lru_cache(maxsize=_ROWS_A_STATEMENT)
def _statement(rows: int) -> str:
    return "INSERT INTO records (payload) VALUES " + ",".join(["(?)"] * rows)  # noqa: S608 -- marks only


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


def _insert(connection: sqlite3.Connection, payloads: list[bytes]) -> None:
    """One transaction, on disk when this returns."""
    if len(payloads) <= _ROWS_A_STATEMENT:
        # Outside BEGIN a statement is its own transaction: one step of SQLite writes, commits and syncs.
        connection.execute(_statement(len(payloads)), payloads)
        return
    _insert_with(connection, payloads, (), 0)


def _insert_with(
    connection: sqlite3.Connection, payloads: list[bytes], replies: Sequence[KeptReply], total: int
) -> int:
    """One transaction of several statements; return the new total of replies (see `insert_replies`)."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        for start in range(0, len(payloads), _ROWS_A_STATEMENT):
            part = payloads[start : start + _ROWS_A_STATEMENT]
            connection.execute(_statement(len(part)), part)
        total = insert_replies(connection, replies, total)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return total


def _abandon(connection: sqlite3.Connection | None) -> None:
    if connection is not None:
        try:
            connection.close()
        except sqlite3.Error:
            # Closing tries to tidy the write-ahead log; when the disk is full that waits for the next writer.
            return


def _closed(path: Path) -> TsavoError:
    return Unavailable(
        "the journal is not open for writing",
        field="journal",
        found=str(path),
        next_step="the process is starting or stopping; try again",
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
