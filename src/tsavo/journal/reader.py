"""What other processes do with a journal: read it in order, and trim what they have kept elsewhere."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Final, NamedTuple
from zlib import crc32

from tsavo.journal.damage import is_damage, keep_log, mark
from tsavo.journal.files import connect, has_sums, journal_id, remove, unavailable, unreadable
from tsavo.journal.release import Presence, released, write_release
from tsavo.vocabulary import Conflict, NotFound

__all__ = ["Entries", "Journal", "JournalSize", "RecordedGap"]

_WITH_SUMS: Final = "SELECT seq, payload, crc FROM records WHERE seq > ? ORDER BY seq LIMIT ?"
# Files of earlier releases.
_WITHOUT_SUMS: Final = "SELECT seq, payload, NULL FROM records WHERE seq > ? ORDER BY seq LIMIT ?"
# Removing this many records takes a few milliseconds, which is what a starting writer may have to wait.
_TRIM_ROWS: Final = 500
_BUSY_SECONDS: Final = 10.0


class Entries(NamedTuple):
    """Records of one journal in the order of their numbers; `more` when the limits cut the answer."""

    journal_id: str
    rows: list[tuple[int, bytes]]
    more: bool


class RecordedGap(NamedTuple):
    """Answers that were given unrecorded; see `tsavo.journal.notes.Gap`. `told` when the audit trail has it."""

    id: str
    answers: int
    decisions: int
    first: int
    last: int
    told: int


class JournalSize(NamedTuple):
    """How much a journal holds: records not trimmed yet, the last number given, bytes on disk."""

    rows: int
    last: int
    bytes: int


class Journal:
    """Reads one journal file, while its writer runs or after it stopped.

    Raises `NotFound` when there is no such file and `Damaged` when it is not a journal. Use it as a context
    manager; one object belongs to one thread.

    Parameters
    ----------
    path
        The journal's file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise NotFound("there is no such journal", field="journal", found=str(path))
        self._copy: tempfile.TemporaryDirectory[str] | None = None
        self._connection, self._copy = _open_for_reading(path)
        self.damage = ""
        try:
            self.journal_id = journal_id(self._connection, path)
            self._sums = has_sums(self._connection)
            query = "SELECT 1 FROM meta WHERE name = 'holes'"
            self._holes = self._connection.execute(query).fetchone() is not None
        except sqlite3.DatabaseError as error:
            self.close()
            if is_damage(error):
                mark(path, "", str(error))
            raise unavailable(path, error) from error
        except BaseException:
            self.close()
            raise
        self._released = released(path, self.journal_id)

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def read(self, after: int = 0, *, max_rows: int = 100_000, max_bytes: int = 64 << 20) -> Entries:
        """Records with numbers above `after`, oldest first, that were not trimmed when this journal was opened.

        At least one record comes back when there is one, however large; then reading stops at `max_rows`
        records or `max_bytes` bytes. It stops before a record that is damaged, too: then `damage` says why, and the
        journal's writer is told.
        """
        rows: list[tuple[int, bytes]] = []
        size = 0
        query = _WITH_SUMS if self._sums else _WITHOUT_SUMS
        cursor: sqlite3.Cursor | None = None
        try:
            cursor = self._connection.execute(query, (max(after, self._released), max_rows + 1))
            for seq, payload, crc in cursor:
                if rows and (len(rows) == max_rows or size + len(payload) > max_bytes):
                    return Entries(self.journal_id, rows, more=True)
                if crc is not None and crc != crc32(payload):
                    return self._damaged(rows, f"record {seq} is not what was written")
                if rows and seq != rows[-1][0] + 1 and not self._holes:
                    return self._damaged(rows, f"records behind {rows[-1][0]} are gone")
                rows.append((seq, payload))
                size += len(payload)
        except sqlite3.DatabaseError as error:
            if not is_damage(error):
                raise
            return self._damaged(rows, str(error))
        finally:
            # An open cursor would keep the writer from resetting its write-ahead log.
            if cursor is not None:
                cursor.close()
        return Entries(self.journal_id, rows, more=False)

    def _damaged(self, rows: list[tuple[int, bytes]], why: str) -> Entries:
        """What stands before the damage; the rest is read by `tsavo.journal.mend`, once the file is set aside."""
        self.damage = why
        mark(self.path, self.journal_id, why)
        return Entries(self.journal_id, rows, more=False)

    def size(self) -> JournalSize:
        """How much is in it. Numbers are trimmed from the front only, so that counting needs no scan."""
        first, given = self._connection.execute(
            "SELECT (SELECT min(seq) FROM records), (SELECT seq FROM sqlite_sequence WHERE name = 'records')"
        ).fetchone()
        first = max(first or 0, self._released + 1)
        last = given or 0
        files = (self.path, self.path.with_name(self.path.name + "-wal"))
        size = sum(file.stat().st_size for file in files if file.exists())
        return JournalSize(max(0, last - first + 1) if last else 0, last, size)

    def gaps(self) -> list[RecordedGap]:
        """What was answered and not recorded, oldest first; never trimmed."""
        if not self._connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'gaps'").fetchone():
            return []
        query = "SELECT id, answers, decisions, first, last, told FROM gaps ORDER BY first"
        return [RecordedGap(*row) for row in self._connection.execute(query)]

    def tell_gap(self, gap: RecordedGap) -> None:
        """Note that the audit trail has this gap; raise `Unavailable` when that cannot be written."""
        try:
            keep_log(self.path)
            connection = connect(self.path, "NORMAL")
            try:
                # A gap may have grown since: then it is told again.
                connection.execute(
                    "UPDATE gaps SET told = 1 WHERE id = ? AND answers = ?", (gap.id, gap.answers)
                )
            finally:
                connection.close()
        except (sqlite3.Error, OSError) as error:
            raise unavailable(self.path, error) from error

    def trim(self, journal_id: str, upto: int) -> None:
        """Let go of the records numbered `upto` and below: no reader sees them from now on.

        A living writer removes them from the file, a few at a time; without one they are removed here.
        Trimming again after a crash is harmless.

        Raises
        ------
        Conflict
            `journal_id` is not this journal's: the file was made anew, and `upto` counts records of another one.
        Unavailable
            The journal's folder cannot be written.
        """
        if journal_id != self.journal_id:
            raise Conflict(
                "the journal was made anew", field="journal_id", found=self.journal_id, expected=journal_id
            )
        try:
            write_release(self.path, journal_id, upto)
            self._released = max(self._released, upto)
            while _remove_some(self.path, upto):
                continue
            if self._holes and not self.size().rows and all(gap.told for gap in self.gaps()):
                # What was saved of a damaged journal has been shipped; nobody writes to it.
                for file in self.path.parent.glob(f"{self.path.name}*"):
                    file.unlink(missing_ok=True)
        except (sqlite3.Error, OSError) as error:
            raise unavailable(self.path, error) from error

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
        if self._copy is not None:
            self._copy.cleanup()
            self._copy = None


def _remove_some(path: Path, upto: int) -> bool:
    """Remove some records unless a writer lives, which will; return whether there may be more for us."""
    presence = Presence(path)
    if not presence.claim():
        return False
    try:
        # Closing removes the log, which the next writer wants to see whole.
        keep_log(path)
        connection = connect(path, "NORMAL")
        try:
            return remove(connection, upto, _TRIM_ROWS) == _TRIM_ROWS
        finally:
            connection.close()
    finally:
        presence.leave()


def _open_for_reading(path: Path) -> tuple[sqlite3.Connection, tempfile.TemporaryDirectory[str] | None]:
    """A connection that cannot change the file, and the folder of the copy when one had to be made."""
    try:
        return _connect(path, "mode=ro"), None
    except sqlite3.OperationalError as error:
        # A write-ahead log needs an index file beside it; on a read-only file system it cannot be made.
        log = path.with_name(path.name + "-wal")
        try:
            if not log.exists() or log.stat().st_size == 0:
                return _connect(path, "immutable=1"), None
            copy = tempfile.TemporaryDirectory(prefix="tsavo-journal-")
            for file in (path, log):
                shutil.copy(file, copy.name)
            return _connect(Path(copy.name, path.name), "mode=rw"), copy
        except (sqlite3.Error, OSError):
            raise unreadable(path, error) from error
    except sqlite3.Error as error:
        if is_damage(error):
            mark(path, "", str(error))
        raise unreadable(path, error) from error


def _connect(path: Path, how: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?{how}",
        uri=True,
        timeout=_BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except BaseException:
        connection.close()
        raise
    return connection
