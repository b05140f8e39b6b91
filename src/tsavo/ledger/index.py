"""What the log says should be there now: files by path, rows by key, and where each Delta commit stands.

Kept in a small database in the cache, so that a start does not read the whole log. It follows from the entries: one
that is lost, or does not fit the log, is made again. Nobody who verifies a log trusts it.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from tsavo.ledger.segments import Segments

__all__ = ["Index", "KnownFile"]

_BATCH: Final = 10_000
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS state (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS files (path TEXT PRIMARY KEY, size INT, sha256 TEXT, number INT,
    retired INT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS versions (place TEXT PRIMARY KEY, version INT) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS shipped (place TEXT, journal TEXT, last INT, first INT, number INT,
    PRIMARY KEY (place, journal, last)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS rows (place TEXT, key TEXT, sha256 TEXT, PRIMARY KEY (place, key)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS unexpected (number INT PRIMARY KEY) WITHOUT ROWID;
"""


class KnownFile(NamedTuple):
    """A file as the log knows it; `number` is the entry that says so, a `retired` file is needed no longer."""

    size: int
    sha256: str
    number: int
    retired: int


class Index:
    """The index at `path`.

    Parameters
    ----------
    path
        The database's file; made when it is not there and `writable`.
    """

    def __init__(self, path: Path, *, writable: bool = True) -> None:
        self._path = path
        self._mode = "rwc" if writable else "ro"
        self._connection = self._open()
        if writable:
            try:
                self._prepare()
            except sqlite3.DatabaseError:
                self._start_anew()

    def _open(self) -> sqlite3.Connection:
        where = f"{self._path.absolute().as_uri()}?mode={self._mode}"
        return sqlite3.connect(where, uri=True, isolation_level=None, check_same_thread=False, timeout=10)

    def _prepare(self) -> None:
        # Losing it in a power cut costs reading the log once more.
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=OFF")
        self._connection.executescript(_TABLES)

    def _start_anew(self) -> None:
        self._connection.close()
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
        self._connection = self._open()
        self._prepare()

    def close(self) -> None:
        """Close the database."""
        self._connection.close()

    def catch_up(self, segments: Segments, size: int, root: Callable[[int], bytes]) -> None:
        """Take in the entries that it has not seen; all of them when it does not fit the log."""
        try:
            known, seen = int(self._state("size", 0)), self._state("root", "")
            if known > size or (known and root(known).hex() != seen):
                self._start_anew()
                known = 0
        except sqlite3.DatabaseError:
            self._start_anew()
            known = 0
        batch: list[dict[str, Any]] = []
        for line in segments.scan(known):
            batch.append(json.loads(line))
            if len(batch) == _BATCH:
                self.apply(batch, root)
                batch = []
        self.apply(batch, root)

    def apply(self, entries: Sequence[Mapping[str, Any]], root: Callable[[int], bytes]) -> None:
        """Take in entries, in one transaction."""
        if not entries:
            return
        size = entries[-1]["number"] + 1
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            for entry in entries:
                self._take(entry)
            self._set("size", size)
            self._set("root", root(size).hex())
            self._connection.execute("COMMIT")
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise

    def _take(self, entry: Mapping[str, Any]) -> None:
        execute, number = self._connection.execute, entry["number"]
        for file in entry.get("files", ()):
            row = (file["path"], file["size"], file["sha256"], number, entry.get("idle", False))
            execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?)", row)
        for path in entry.get("removed", ()):
            execute("UPDATE files SET retired = 1 WHERE path = ?", (path,))
        for path in entry.get("deleted", ()):
            execute("DELETE FROM files WHERE path = ?", (path,))
        if entry["kind"] == "commit":
            place = entry["table"]
            execute("INSERT OR REPLACE INTO versions VALUES (?, ?)", (place, entry["version"]))
            for journal in entry.get("journals", ()):
                shipped = (place, journal["id"], journal["last"], journal["first"], number)
                execute("INSERT OR REPLACE INTO shipped VALUES (?, ?, ?, ?, ?)", shipped)
        elif entry["kind"] == "audit":
            self._set("audit", entry["row"]["id"])
            self._set("chain", entry["row"]["chain"])
        elif entry["kind"] == "rows":
            self._set("mark", json.dumps(entry["mark"]))
            for place, rows in entry["changed"].items():
                self._connection.executemany(
                    "INSERT OR REPLACE INTO rows VALUES (?, ?, ?)", [(place, *row) for row in rows]
                )
            for place, keys in entry["gone"].items():
                execute_all = self._connection.executemany
                execute_all("DELETE FROM rows WHERE place = ? AND key = ?", [(place, key) for key in keys])
        if entry.get("found", "written") == "unexpected":
            execute("INSERT OR REPLACE INTO unexpected VALUES (?)", (number,))

    def _state(self, name: str, otherwise: Any) -> Any:
        row = self._connection.execute("SELECT value FROM state WHERE name = ?", (name,)).fetchone()
        return otherwise if row is None else row[0]

    def _set(self, name: str, value: Any) -> None:
        self._connection.execute("INSERT OR REPLACE INTO state VALUES (?, ?)", (name, value))

    def last_audit(self) -> int:
        """The number of the last row of the audit trail that is in the log; 0 when none is."""
        return int(self._state("audit", 0))

    def last_chain(self) -> str:
        """The hash that the last row of the audit trail in the log holds; empty when none is in it."""
        return self._state("chain", "") or ""

    def mark(self) -> list[int] | None:
        """As of when the registry's rows were logged; ``None`` when they never were."""
        found: list[int] | None = json.loads(self._state("mark", "null"))
        return found

    def rows(self, place: str) -> dict[str, str]:
        """The rows of a table: key -> SHA-256."""
        asked = "SELECT key, sha256 FROM rows WHERE place = ?"
        return dict(self._connection.execute(asked, (place,)).fetchall())

    def version(self, table: str) -> int:
        """The last Delta version of a table that is in the log; -1 when none is."""
        asked = "SELECT version FROM versions WHERE place = ?"
        row = self._connection.execute(asked, (table,)).fetchone()
        return -1 if row is None else int(row[0])

    def shipped_upto(self, table: str, journal: str) -> int:
        """The last record of a journal that the log says is in a table; 0 when none is."""
        asked = "SELECT max(last) FROM shipped WHERE place = ? AND journal = ?"
        return int(self._connection.execute(asked, (table, journal)).fetchone()[0] or 0)

    def shipment(self, table: str, journal: str, record: int) -> int | None:
        """The number of the entry under which a journal's record came to a table."""
        asked = (
            "SELECT number FROM shipped WHERE place = ? AND journal = ? AND last >= ? ORDER BY last LIMIT 1"
        )
        row = self._connection.execute(asked, (table, journal, record)).fetchone()
        return None if row is None else int(row[0])

    def files(self, folder: str) -> dict[str, KnownFile]:
        """The files below a folder (``lake/decisions/credit``), by path."""
        asked = "SELECT path, size, sha256, number, retired FROM files WHERE path >= ? AND path < ?"
        rows = self._connection.execute(asked, (f"{folder}/", f"{folder}0")).fetchall()
        return {row[0]: KnownFile(*row[1:]) for row in rows}

    def file(self, path: str) -> KnownFile | None:
        """One file, ``None`` when the log does not know it."""
        asked = "SELECT size, sha256, number, retired FROM files WHERE path = ?"
        row = self._connection.execute(asked, (path,)).fetchone()
        return None if row is None else KnownFile(*row)

    def unexpected(self) -> list[int]:
        """The numbers of the entries about things that somebody else did."""
        return [row[0] for row in self._connection.execute("SELECT number FROM unexpected ORDER BY number")]
