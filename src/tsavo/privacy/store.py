"""Where subjects' keys lie: one SQLite file, in which what is deleted is overwritten.

A key is on disk before it is used. Whose it is becomes known when the first record that names it is read from a
journal. Erasing takes the key out and leaves its id, so that what it sealed is known to be erased, and not lost.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from tsavo.privacy.master import MasterKey
from tsavo.privacy.sealing import ID_BYTES
from tsavo.vocabulary import Damaged, NotFound, Unavailable

__all__ = ["ErasedSubject", "KeyStore", "OpenedKeys", "destroy_keys"]

_BUSY_SECONDS: Final = 30.0
_PIECE: Final = 500
_KEY_BYTES: Final = 32
_TABLES: Final = (
    "CREATE TABLE IF NOT EXISTS keys (id BLOB PRIMARY KEY, wrapped BLOB, subject TEXT, made INTEGER NOT NULL,"
    " erased INTEGER) WITHOUT ROWID",
    "CREATE INDEX IF NOT EXISTS keys_of_subject ON keys (subject) WHERE subject IS NOT NULL",
    "CREATE TABLE IF NOT EXISTS erasures (number INTEGER PRIMARY KEY AUTOINCREMENT, subject TEXT NOT NULL,"
    " time INTEGER NOT NULL)",
)


class ErasedSubject(NamedTuple):
    """An erasure: a running number, the pseudonym, and nanoseconds since 1970 UTC."""

    number: int
    subject: str
    time: int


class OpenedKeys(NamedTuple):
    """Keys by their ids; and, of those that were destroyed, when (nanoseconds since 1970 UTC)."""

    keys: dict[bytes, bytes]
    erased: dict[bytes, int]


class KeyStore:
    """The keys of one home; safe to use from several threads and processes.

    Parameters
    ----------
    path
        The file, made when it is missing.
    master
        Wraps the keys.
    make
        Whether the file may be made; else raise `NotFound` where it is missing.
    """

    def __init__(self, path: Path, master: MasterKey, *, make: bool = True) -> None:
        self.path = path
        self.master = master
        if not make and not path.exists():
            raise NotFound("no personal data was ever recorded here", field="keys", found=str(path))
        self._lock = threading.Lock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._connection = _connect(path)
            with self._changing() as connection:
                for table in _TABLES:
                    connection.execute(table)
            path.chmod(0o600)
        except (sqlite3.Error, OSError) as error:
            raise _unavailable(path, error) from error

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def make(self, count: int, now: int) -> list[tuple[bytes, bytes]]:
        """`count` new keys with their ids, on disk when this returns; they belong to nobody yet."""
        made = [(os.urandom(ID_BYTES), os.urandom(_KEY_BYTES)) for _ in range(count)]
        rows = [(key_id, self.master.wrap(key_id, key), now) for key_id, key in made]
        with self._changing() as connection:
            connection.executemany("INSERT INTO keys (id, wrapped, made) VALUES (?, ?, ?)", rows)
        return made

    def assign(self, pairs: Iterable[tuple[bytes, str]]) -> None:
        """Note whose each key is; again, and of a destroyed key, is no harm."""
        rows = [(subject, key_id) for key_id, subject in pairs]
        with self._changing() as connection:
            connection.executemany("UPDATE keys SET subject = ? WHERE id = ? AND subject IS NULL", rows)

    def open(self, ids: Iterable[bytes]) -> OpenedKeys:
        """These keys, as far as they are not destroyed; ids that are not known are left out.

        Raises
        ------
        Damaged
            A key was wrapped under another master key.
        """
        wanted = list(dict.fromkeys(ids))
        keys: dict[bytes, bytes] = {}
        erased: dict[bytes, int] = {}
        for start in range(0, len(wanted), _PIECE):
            part = wanted[start : start + _PIECE]
            query = f"SELECT id, wrapped, erased FROM keys WHERE id IN ({','.join('?' * len(part))})"  # noqa: S608
            for key_id, wrapped, moment in self._read(query, part):
                if wrapped is None:
                    erased[key_id] = moment
                else:
                    keys[key_id] = self.master.unwrap(key_id, wrapped)
        return OpenedKeys(keys, erased)

    def subject_of(self, subject: str) -> tuple[int, int | None]:
        """How many keys a pseudonym has, and when it was erased last (nanoseconds since 1970 UTC)."""
        query = "SELECT count(*) FROM keys WHERE subject = ? AND wrapped IS NOT NULL"
        (count,) = next(iter(self._read(query, [subject])))
        (moment,) = next(iter(self._read("SELECT max(time) FROM erasures WHERE subject = ?", [subject])))
        return count, moment

    def erase(self, subject: str, more: Iterable[bytes], now: int) -> list[bytes]:
        """Destroy every key of a pseudonym, and `more` of which it is known by other means that they are its.

        Returns
        -------
        list of bytes
            Ids of all keys of the subject, those that were destroyed before included.
        """
        with self._changing() as connection:
            ids = destroy_keys(connection, subject, more, now)
            connection.execute("INSERT INTO erasures (subject, time) VALUES (?, ?)", (subject, now))
        return ids

    def erasures(self, after: int = 0) -> list[ErasedSubject]:
        """Erasures behind a number, in their order."""
        query = "SELECT number, subject, time FROM erasures WHERE number > ? ORDER BY number"
        return [ErasedSubject(*row) for row in self._read(query, [after])]

    def erased_keys(self, subject: str) -> list[bytes]:
        """Ids of the keys of a pseudonym that were destroyed."""
        query = "SELECT id FROM keys WHERE subject = ? AND wrapped IS NULL"
        return [key_id for (key_id,) in self._read(query, [subject])]

    def changes(self) -> int:
        """A number that is another one after each change that another process has made."""
        return int(self._read("PRAGMA data_version", [])[0][0])

    def _read(self, query: str, values: Sequence[object]) -> list[tuple[Any, ...]]:
        try:
            with self._lock:
                return self._connection.execute(query, values).fetchall()
        except sqlite3.Error as error:
            raise _unavailable(self.path, error) from error

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        with self._lock, _transaction(self._connection, self.path):
            yield self._connection


def destroy_keys(
    connection: sqlite3.Connection, subject: str, more: Iterable[bytes], now: int
) -> list[bytes]:
    """Overwrite the keys of a pseudonym, within the caller's transaction; return the ids of all that it ever had."""
    connection.executemany("UPDATE keys SET subject = ? WHERE id = ?", [(subject, one) for one in more])
    ids = [key_id for (key_id,) in connection.execute("SELECT id FROM keys WHERE subject = ?", (subject,))]
    connection.execute(
        "UPDATE keys SET wrapped = NULL, erased = ? WHERE subject = ? AND wrapped IS NOT NULL", (now, subject)
    )
    return ids


@contextmanager
def _transaction(connection: sqlite3.Connection, path: Path) -> Iterator[None]:
    try:
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        raise _unavailable(path, error) from error


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    # What a key was must not outlive it: no log beside the file, and zeros where something was deleted.
    connection.execute("PRAGMA journal_mode = TRUNCATE")
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


def _unavailable(path: Path, error: Exception) -> Unavailable | Damaged:
    if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
        return Damaged("the keys of personal data cannot be read", field="keys", found=f"{path}: {error}")
    return Unavailable(
        "the keys of personal data cannot be reached",
        field="keys",
        found=f"{path}: {error}",
        next_step="see the disk and the file's rights",
        retry_after=1.0,
    )
