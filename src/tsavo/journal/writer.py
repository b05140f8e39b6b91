"""Group commit: many records, one transaction, one fsync.

Appends run on the event loop's thread and cost a queue entry and a future. One thread takes all that waits,
commits it as one transaction, and wakes the loop once. While that fsync runs, the next group gathers; so a busy
gateway pays for a fraction of an fsync a request and a quiet one waits for one fsync.

The same thread removes the records that readers have released, a few after each group and more when it is idle.

A group is one ``INSERT`` with as many rows as there are records, not one a record: each step of SQLite lets go of
Python's global lock, and taking it back from a busy event loop can cost milliseconds.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections import deque
from functools import lru_cache
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Final, TypeAlias

from tsavo.journal.files import connect, create, remove, unavailable
from tsavo.journal.release import Presence, released
from tsavo.vocabulary import Overloaded, TsavoError, Unavailable

__all__ = ["JournalWriter"]

# Rows in one INSERT; a larger group takes several of them in one transaction.
_ROWS_A_STATEMENT: Final = 256
_LARGEST_GROUP: Final = 4096
# How often the thread looks for newly released records, and how many it removes at once: after a group at least twice
# as many as came in, so that it always catches up.
_LOOK_SECONDS: Final = 0.2
_REMOVED_AT_ONCE: Final = 128

_Waiting: TypeAlias = "tuple[bytes, asyncio.Future[None]]"


class JournalWriter:
    """Appends records to one journal file.

    Parameters
    ----------
    path
        The file; made when it is not there. Raises `Unavailable` when that cannot be done.
    max_pending, max_pending_bytes
        Most records, and bytes of records, that wait for the disk; what comes on top is `Overloaded`.
    """

    def __init__(self, path: Path, *, max_pending: int = 8192, max_pending_bytes: int = 256 << 20) -> None:
        self.path = path
        self.journal_id = create(path)
        self.failure: Unavailable | None = None
        self._max_pending = max_pending
        self._max_bytes = max_pending_bytes
        self._queue: deque[_Waiting] = deque()
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._awake = False
        self._closing = False
        # Each of the next three is changed by one thread alone, so that no lock is needed.
        self._bytes_in = 0
        self._bytes_out = 0
        self._in_flight = 0
        self._presence = Presence(path)
        self._released = 0
        self._removed = 0
        self._look_at = 0.0
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

    def append(self, payload: bytes) -> asyncio.Future[None]:
        """Record `payload`; call it on the loop's thread.

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
        if len(self._queue) >= self._max_pending or self._bytes_in - self._bytes_out + len(
            payload
        ) > self._max_bytes > len(payload):
            raise _overloaded(self.pending)
        future: asyncio.Future[None] = loop.create_future()
        self._bytes_in += len(payload)
        self._queue.append((payload, future))
        if not self._awake:
            self._awake = True
            self._wake.put(None)
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

    def _run(self) -> None:
        queue = self._queue
        while True:
            if not queue:
                self._awake = False
                # Looked at once more: an append just before the line above has not put a token.
                if not queue:
                    if self._closing:
                        return
                    self._rest()
                self._awake = True
                continue
            self._in_flight = min(len(queue), _LARGEST_GROUP)
            group = [queue.popleft() for _ in range(self._in_flight)]
            self._commit(group)
            self._remove_released(2 * len(group))

    def _rest(self) -> None:
        """Wait for an append, or look after released records."""
        try:
            self._wake.get(timeout=0.0 if self._removed < self._released else _LOOK_SECONDS)
        except Empty:
            self._remove_released(_REMOVED_AT_ONCE)

    def _remove_released(self, rows: int) -> None:
        """Remove some of the records that readers no longer need; a failure here concerns no append."""
        now = time.monotonic()
        if now >= self._look_at:
            self._released = released(self.path, self.journal_id)
            self._look_at = now + _LOOK_SECONDS
        if self._removed >= self._released:
            return
        try:
            if self._connection is None:
                self._connection = connect(self.path, "FULL")
            # A removal that a power cut undoes is done again: it need not wait for the disk.
            self._connection.execute("PRAGMA synchronous=NORMAL")
            if remove(self._connection, self._released, max(rows, _REMOVED_AT_ONCE)) < rows:
                self._removed = self._released
            self._connection.execute("PRAGMA synchronous=FULL")
        except sqlite3.Error:
            _abandon(self._connection)
            self._connection = None
            self._removed = self._released

    def _commit(self, group: list[_Waiting]) -> None:
        payloads = [payload for payload, _ in group]
        failure: Unavailable | None = None
        try:
            if self._connection is None:
                self._connection = connect(self.path, "FULL")
            _insert(self._connection, payloads)
        except (sqlite3.Error, OSError, MemoryError) as error:
            # A connection that met an I/O error may hold half a transaction: the next group starts on a new one.
            _abandon(self._connection)
            self._connection = None
            failure = unavailable(self.path, error)
        self.failure = failure
        self._bytes_out += sum(map(len, payloads))
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
        for _, future in group:
            if not future.done():
                future.set_result(None)
        return
    for _, future in group:
        if not future.done():
            future.set_exception(failure)


@lru_cache(maxsize=_ROWS_A_STATEMENT)
def _statement(rows: int) -> str:
    return "INSERT INTO records (payload) VALUES " + ",".join(["(?)"] * rows)  # noqa: S608 -- marks only


def _insert(connection: sqlite3.Connection, payloads: list[bytes]) -> None:
    """One transaction, on disk when this returns."""
    if len(payloads) <= _ROWS_A_STATEMENT:
        # Outside BEGIN a statement is its own transaction: one step of SQLite writes, commits and syncs.
        connection.execute(_statement(len(payloads)), payloads)
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for start in range(0, len(payloads), _ROWS_A_STATEMENT):
            part = payloads[start : start + _ROWS_A_STATEMENT]
            connection.execute(_statement(len(part)), part)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


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
