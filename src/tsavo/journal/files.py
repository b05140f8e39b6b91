"""The journal's file: one SQLite database a writer, in write-ahead mode.

Four tables: ``records(seq, payload, crc)``, ``meta(name, value)`` with the journal's own id, ``replies``, which
`tsavo.journal.replies` explains, and ``gaps``: what was answered and could not be recorded. ``seq`` is AUTOINCREMENT,
so a number never comes back after its record was trimmed; readers rely on that to know what they have seen. ``crc`` is
the CRC-32 of the payload, because SQLite does not notice when bytes of a page change on the disk. The id is made with
the file: a file that is deleted and made anew is another journal, and offsets into the old one do not apply to it.

A second place for journals, on another disk, is found through links in the first folder, so that whoever reads the
first reads both.
"""

from __future__ import annotations

import os
import sqlite3
import uuid
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Final, Literal

from tsavo.vocabulary import Damaged, Unavailable

__all__ = [
    "SUFFIX",
    "connect",
    "create",
    "folders",
    "has_sums",
    "journal_id",
    "journals",
    "link_spill",
    "remove",
    "sync_folder",
    "unavailable",
    "unreadable",
]

SUFFIX: Final = ".db"
_SPILL: Final = "spill-"
_FRESH: Final = ".new"

# How long a transaction waits for another process's (trimming takes a few milliseconds).
_BUSY_SECONDS: Final = 10.0
# Records are a few hundred bytes; larger pages would write more for each small commit.
_PAGE_BYTES: Final = 4096


def journals(folder: Path) -> list[Path]:
    """The journal files in `folder` and where it spills to, by name; none when the folder is not there."""
    return [path for place in folders(folder) for path in sorted(place.glob(f"*{SUFFIX}")) if path.is_file()]


def folders(folder: Path) -> list[Path]:
    """`folder`, and the second places that it is linked to, as far as they are there."""
    return [folder, *(link for link in sorted(folder.glob(f"{_SPILL}*")) if link.is_dir())]


def link_spill(folder: Path, spill: Path) -> Path:
    """Make a second place for the journals of `folder` below `spill`, and return it as a link in `folder`.

    Homes that share `spill` do not meet there. Raises `Unavailable` when it cannot be made.
    """
    folder = folder.absolute()
    name = sha256(os.fsencode(folder)).hexdigest()[:12]
    target = spill.absolute() / f"journal-{name}"
    link = folder / f"{_SPILL}{sha256(os.fsencode(target)).hexdigest()[:12]}"
    try:
        target.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not link.is_symlink():
            with suppress(FileExistsError):
                link.symlink_to(target)
            sync_folder(folder)
    except OSError as error:
        raise unavailable(target, error) from error
    return link


def connect(path: Path, synchronous: Literal["FULL", "NORMAL"]) -> sqlite3.Connection:
    """A connection that writes; the file must exist.

    ``FULL`` means that a commit returns after its fsync; ``NORMAL`` that a power cut may undo the last commits,
    which is all that trimming needs.
    """
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        timeout=_BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=512,
    )
    try:
        connection.execute("PRAGMA journal_mode=WAL").fetchone()
        connection.execute(f"PRAGMA synchronous={synchronous}")
    except BaseException:
        connection.close()
        raise
    return connection


def create(path: Path) -> str:
    """Make the file at `path` unless it is there, and return its journal's id."""
    if path.exists():
        return _fill(path)
    # Under another name until it is whole: who reads all journals must not come across half of one.
    fresh = path.with_name(f"{path.name}.{uuid.uuid4().hex}{_FRESH}")
    try:
        identity = _fill(fresh)
        fresh.rename(path)
        sync_folder(path.parent)
    except OSError as error:
        raise unavailable(path, error) from error
    finally:
        with suppress(OSError):
            fresh.unlink(missing_ok=True)
    return identity


def _fill(path: Path) -> str:
    """Make what is missing in the file, and return its journal's id; a new file is left without a log beside it."""
    try:
        connection = sqlite3.connect(path, timeout=_BUSY_SECONDS, isolation_level=None)
    except sqlite3.Error as error:
        raise unavailable(path, error) from error
    try:
        connection.execute(f"PRAGMA page_size={_PAGE_BYTES}")
        connection.execute("PRAGMA synchronous=FULL")
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS records "
            "(seq INTEGER PRIMARY KEY AUTOINCREMENT, payload BLOB NOT NULL, crc INTEGER)"
        )
        # Files of earlier releases have no sums; `told` is whether the audit trail has it.
        if not has_sums(connection):
            connection.execute("ALTER TABLE records ADD COLUMN crc INTEGER")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS gaps (id TEXT PRIMARY KEY, answers INTEGER NOT NULL, "
            "decisions INTEGER NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL, why TEXT NOT NULL, "
            "told INTEGER NOT NULL DEFAULT 0)"
        )
        # Files of earlier releases have no replies. `total` counts the bytes of all replies up to each.
        connection.execute(
            "CREATE TABLE IF NOT EXISTS replies (place INTEGER PRIMARY KEY, key BLOB NOT NULL UNIQUE, "
            "time INTEGER NOT NULL, digest BLOB NOT NULL, total INTEGER NOT NULL, reply BLOB NOT NULL)"
        )
        connection.execute("INSERT OR IGNORE INTO meta VALUES ('journal_id', ?)", (str(uuid.uuid4()),))
        connection.execute("COMMIT")
        connection.execute("PRAGMA journal_mode=WAL").fetchone()
        identity = journal_id(connection, path)
    except sqlite3.Error as error:
        raise unavailable(path, error) from error
    finally:
        connection.close()
    try:
        path.chmod(0o600)
        sync_folder(path.parent)
    except OSError as error:
        raise unavailable(path, error) from error
    return identity


def has_sums(connection: sqlite3.Connection) -> bool:
    """Whether records have their CRC-32 beside them: those of earlier releases have not."""
    return any(name == "crc" for _, name, *_ in connection.execute("PRAGMA table_info(records)"))


def remove(connection: sqlite3.Connection, upto: int, rows: int) -> int:
    """Remove the oldest `rows` records of those numbered `upto` and below, and return how many that were."""
    # One bound: of two, SQLite uses the first for its search and tests the second on every record.
    return connection.execute(
        "DELETE FROM records WHERE seq <= min(?, (SELECT min(seq) FROM records) + ? - 1)", (upto, rows)
    ).rowcount


def journal_id(connection: sqlite3.Connection, path: Path) -> str:
    """The id in the file's meta table; raise `Damaged` when there is none."""
    try:
        row = connection.execute("SELECT value FROM meta WHERE name = 'journal_id'").fetchone()
    except sqlite3.OperationalError as error:
        if "no such table" not in str(error):
            raise
        row = None
    if row is None:
        raise Damaged(
            "not a journal",
            field="journal",
            found=str(path),
            expected="a file made by a journal writer",
            next_step="move it out of the journal folder and run 'tsavo doctor'",
        )
    return str(row[0])


def unavailable(path: Path, error: Exception) -> Unavailable:
    """What a failed operation on the file means for the caller, with SQLite's own reason."""
    return Unavailable(
        f"the journal cannot be written ({error})",
        field="journal",
        found=str(path),
        expected="a disk with free space and a file that this user may write",
        next_step="make room or mend the disk; recording resumes by itself. 'tsavo doctor' shows more",
        retry_after=1.0,
    )


def unreadable(path: Path, error: Exception) -> Unavailable:
    """What a failed look into the file means, with SQLite's own reason."""
    return Unavailable(
        f"the journal cannot be read ({error})",
        field="journal",
        found=str(path),
        next_step="check the file's owner and run 'tsavo doctor'",
    )


def sync_folder(folder: Path) -> None:
    """Make the file's name durable: a file without a name in its folder is lost with the power."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
