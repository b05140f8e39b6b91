"""One journal file as its writer has it: commits, what is removed, and what is done when the disk fails.

A group is one ``INSERT`` with as many rows as there are records, not one a record: each step of SQLite lets go of
Python's global lock, and taking it back from a busy event loop can cost milliseconds. Replies that are kept beside
records are a second ``INSERT`` of the same transaction, in groups that have any.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Final
from zlib import crc32

from tsavo.journal.damage import Shortened, forget_log, is_damage, keep_log, marked, set_aside
from tsavo.journal.files import connect, create, remove, unavailable
from tsavo.journal.notes import Gap, Notes
from tsavo.journal.release import Presence, released, reserve_release
from tsavo.journal.replies import Aging, KeptReply, insert_replies
from tsavo.vocabulary import Unavailable

__all__ = ["Log"]

# Rows in one INSERT; a larger group takes several of them in one transaction.
_ROWS_A_STATEMENT: Final = 256
# How often it is looked for newly released records, and how many are removed at once.
_LOOK_SECONDS: Final = 0.2
_REMOVED_AT_ONCE: Final = 128
_REMOVED_WHERE_TIGHT: Final = 32
_AGAIN_SECONDS: Final = 1.0
# Undoing a transaction is tried so often at once.
_TRIES: Final = 20
# A file this large with so little left in it is written anew, which takes well under a second.
_LARGE_BYTES: Final = 256 << 20
_LITTLE_BYTES: Final = 16 << 20


class Log:
    """Writes one journal file; used by one thread at a time.

    Parameters
    ----------
    path
        The file; made when it is not there.
    reply_seconds, reply_bytes
        How long replies are kept, and how many bytes of them.
    nanoseconds
        The time, in nanoseconds since 1970 UTC.
    """

    def __init__(
        self, path: Path, *, reply_seconds: float, reply_bytes: int, nanoseconds: Callable[[], int]
    ) -> None:
        self.path = path
        self.journal_id = ""
        self._nanoseconds = nanoseconds
        self._aging = Aging(seconds=reply_seconds, most_bytes=reply_bytes)
        self._presence = Presence(path)
        self._present = False
        self._notes: Notes | None = None
        self._connection: sqlite3.Connection | None = None
        self._released = 0
        self._removed = 0
        self._look_at = 0.0
        # Removing failed, and is not tried before.
        self._tidy_after = 0.0
        self._tight = False
        # Whether there may be replies that are too old.
        self._more_old = False
        # Whether the log holds a transaction whose fsync failed.
        self._in_doubt = False

    @property
    def notes(self) -> Notes:
        """What outlives this process."""
        if self._notes is None:
            self._notes = Notes(self.path)
        return self._notes

    def enter(self) -> None:
        """Show other processes that the file has a writer."""
        if not self._present:
            self._presence.enter()
            self._present = True

    def open(self) -> None:
        """Make the file unless it is there, and see whether it is whole; a damaged one is set aside.

        Raises
        ------
        Unavailable
            It cannot be made, or be opened.
        """
        noted = self.notes.journal_id
        if noted and not self.path.exists() and self.notes.last_seq(noted) > released(self.path, noted):
            self._set_aside("the file is gone")
        try:
            # SQLite takes what it can read of the log and removes the rest, which may be worth reading.
            keep_log(self.path)
            identity = create(self.path)
            lost = self.notes.last_seq(identity) - _last_seq(self._connect())
            damage = f"{lost} records that were on disk are gone from its end" if lost > 0 else ""
        except (Unavailable, sqlite3.Error, OSError) as error:
            damage = str(error) if is_damage(error) else ""
            if not damage:
                self.abandon()
                if isinstance(error, Unavailable):
                    raise
                raise unavailable(self.path, error) from error
        if damage:
            self._set_aside(damage)
            identity = create(self.path)
        else:
            forget_log(self.path)
        self.journal_id = identity
        self.notes.begin(identity)
        reserve_release(self.path)

    def commit(self, payloads: list[bytes], replies: Sequence[KeptReply]) -> None:
        """Write records and replies in one transaction, on disk when this returns.

        Raises
        ------
        Unavailable
            They could not be written. Then they are not there, also not for whoever opens the file after a kill.
        """
        try:
            connection = self._connect()
            gap = self.notes.gap
            if replies or gap is not None or len(payloads) > _ROWS_A_STATEMENT:
                total, last = self._insert_all(connection, payloads, replies, gap)
                if replies:
                    self._aging.added(total)
                if gap is not None:
                    self.notes.closed()
            elif payloads:
                # Outside BEGIN a statement is its own transaction: one step of SQLite writes, commits and syncs.
                last = connection.execute(_statement(len(payloads)), _summed(payloads)).lastrowid or 0
            else:
                return
            if payloads:
                self.notes.committed(last)
        except (sqlite3.Error, OSError, MemoryError) as error:
            self._failed(error)
            raise unavailable(self.path, error) from error

    def probe(self) -> None:
        """Write a little, such as a gap, and wait for the disk; raise `Unavailable` when that fails."""
        try:
            if self.notes.gap is not None:
                self.commit([], ())
                return
            self._connect().execute("INSERT OR REPLACE INTO meta VALUES ('probe', ?)", (str(time.time()),))
        except (sqlite3.Error, OSError) as error:
            self._failed(error)
            raise unavailable(self.path, error) from error

    def renew_notes(self) -> None:
        """Note beside the journal again, and tell of what was noted there before, once its disk works."""
        if self._notes is None or self._notes.beside:
            return
        fresh = Notes(self.path)
        if not fresh.beside:
            fresh.close()
            return
        self._notes.close()
        self._notes = fresh
        fresh.begin(self.journal_id)
        if fresh.gap is not None:
            self.commit([], ())

    def tidy(self, rows: int = _REMOVED_AT_ONCE) -> None:
        """Remove some of the records that readers no longer need, and of the replies that are too old.

        A failure here concerns no append.
        """
        now = time.monotonic()
        if now >= self._look_at:
            self._look()
            self._look_at = now + _LOOK_SECONDS
        if not self.behind or now < self._tidy_after:
            return
        try:
            connection = self._connect()
            # A removal that a power cut undoes is done again: it need not wait for the disk.
            connection.execute("PRAGMA synchronous=NORMAL")
            # Removing takes room in the log, which may be what is lacking.
            most = _REMOVED_WHERE_TIGHT if self._tight else max(rows, _REMOVED_AT_ONCE)
            if self._removed < self._released and remove(connection, self._released, most) < most:
                self._removed = self._released
                self._tight = False
                self._shrink(connection)
            if self._more_old:
                self._more_old = self._aging.remove(connection, self._nanoseconds(), rows)
            connection.execute("PRAGMA synchronous=FULL")
        except sqlite3.Error as error:
            self._failed(error)
            self._tight = True
            self._tidy_after = now + _AGAIN_SECONDS

    @property
    def behind(self) -> bool:
        """Whether there is more to remove, and it may work."""
        return (self._removed < self._released or self._more_old) and time.monotonic() >= self._tidy_after

    def used(self) -> int:
        """Bytes that records and replies take; what was removed is free for new ones and does not count."""
        connection = self._connect()
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        free = connection.execute("PRAGMA freelist_count").fetchone()[0]
        size = connection.execute("PRAGMA page_size").fetchone()[0]
        return int((pages - free) * size)

    def room(self) -> int:
        """Bytes within the file that new records can take: it need not grow for them."""
        connection = self._connect()
        free = connection.execute("PRAGMA freelist_count").fetchone()[0]
        return int(free * connection.execute("PRAGMA page_size").fetchone()[0])

    def oldest(self) -> bytes | None:
        """The first record that is not released yet."""
        query = "SELECT payload FROM records WHERE seq > ? ORDER BY seq LIMIT 1"
        row = self._connect().execute(query, (self._released,)).fetchone()
        return None if row is None else bytes(row[0])

    def abandon(self) -> None:
        """Close the connection; the next use opens another."""
        self._in_doubt = False
        connection, self._connection = self._connection, None
        if connection is not None:
            # Closing tries to tidy the write-ahead log; when the disk is full that waits for the next writer.
            with suppress(sqlite3.Error):
                connection.close()

    def close(self) -> None:
        """Close the file and let go of it."""
        self.abandon()
        self._presence.leave()
        self._present = False
        if self._notes is not None:
            self._notes.close()
            self._notes = None

    def _connect(self) -> sqlite3.Connection:
        if self._in_doubt:
            if not self._void():
                raise sqlite3.OperationalError("a transaction that failed cannot be undone yet")
            self.abandon()
        if self._connection is None:
            # On a file system that becomes read-only while SQLite opens a file, or writable again, SQLite (3.40) can
            # remove a log that it has not copied. What it held is then found under the log's second name.
            with suppress(OSError):
                keep_log(self.path)
            connection = connect(self.path, "FULL")
            try:
                lost = self.notes.last_seq(self.journal_id) - _last_seq(connection) if self.journal_id else 0
                if lost > 0:
                    raise Shortened(f"{lost} records that were on disk are gone from its end")
                self._aging.begin(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection
            if self.journal_id:
                forget_log(self.path)
        return self._connection

    def _look(self) -> None:
        """See how far readers have come, and whether one of them found damage."""
        damage = marked(self.path, self.journal_id)
        if damage:
            self.abandon()
            with suppress(Unavailable, OSError):
                self._set_aside(damage)
                self.open()
            self._removed = 0
        self._released = released(self.path, self.journal_id)
        self._more_old = self._aging.any

    def _set_aside(self, damage: str) -> None:
        """Keep the damaged file under another name; a new one begins."""
        self.abandon()
        last = self.notes.last_seq(self.notes.journal_id)
        set_aside(self.path, damage, journal_id=self.notes.journal_id, last=last, now=self._nanoseconds())
        # What comes now is another journal, also when it cannot be made before the next try.
        self.notes.begin("")
        self.journal_id = ""

    def _shrink(self, connection: sqlite3.Connection) -> None:
        """Give the room of a long backlog back to the disk, once it is gone."""
        if self.path.stat().st_size >= _LARGE_BYTES and self.used() <= _LITTLE_BYTES:
            connection.execute("VACUUM")

    def _insert_all(
        self,
        connection: sqlite3.Connection,
        payloads: list[bytes],
        replies: Sequence[KeptReply],
        gap: Gap | None,
    ) -> tuple[int, int]:
        """One transaction of several statements; return the new total of replies and the last record's number."""
        last = 0
        connection.execute("BEGIN IMMEDIATE")
        try:
            for start in range(0, len(payloads), _ROWS_A_STATEMENT):
                part = payloads[start : start + _ROWS_A_STATEMENT]
                last = connection.execute(_statement(len(part)), _summed(part)).lastrowid or 0
            total = insert_replies(connection, replies, self._aging.total)
            if gap is not None:
                # The same gap again, after a kill between this and the notes, is the same row.
                connection.execute(
                    "INSERT OR REPLACE INTO gaps (id, answers, decisions, first, last, why) VALUES (?,?,?,?,?,'')",
                    (f"{self.journal_id}-{gap.first}", *gap),
                )
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
        return total, last

    def _failed(self, error: Exception) -> None:
        """Leave nothing behind of a transaction that failed.

        When fsync fails, all of it stands in the write-ahead log, with the mark of a commit: whoever opens the file
        after a kill would find it committed, although it was refused, or written elsewhere. A connection that met an
        I/O error may hold half a transaction, too: the next group starts on a new one.
        """
        self._in_doubt = self._in_doubt or getattr(error, "sqlite_errorname", "").endswith("FSYNC")
        if self._in_doubt and not self._void():
            # As long as this connection is open nobody reads the log anew, and the transaction stays unseen.
            return
        self.abandon()
        if is_damage(error):
            with suppress(Unavailable, OSError):
                self._set_aside(str(error))
                self.open()

    def _void(self) -> bool:
        """Write something else over the transaction that is in doubt; return whether that worked."""
        connection = self._connection
        if connection is None:
            return True
        for _ in range(_TRIES):
            try:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                connection.execute("PRAGMA synchronous=OFF")
                connection.execute("INSERT OR REPLACE INTO meta VALUES ('void', ?)", (str(time.time()),))
            except sqlite3.Error:
                continue
            self._in_doubt = False
            return True
        return False


@lru_cache(maxsize=_ROWS_A_STATEMENT)
def _statement(rows: int) -> str:
    return "INSERT INTO records (payload, crc) VALUES " + ",".join(["(?,?)"] * rows)  # noqa: S608 -- marks only


def _summed(payloads: list[bytes]) -> list[bytes | int]:
    """Each payload, and its sum behind it."""
    return list(chain.from_iterable(zip(payloads, map(crc32, payloads), strict=True)))


def _last_seq(connection: sqlite3.Connection) -> int:
    """The last number that was given."""
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'records'").fetchone()
    return int(row[0]) if row else 0
