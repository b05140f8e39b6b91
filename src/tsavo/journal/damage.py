"""A journal file that is not what was written: it is kept aside, and what can be read of it is saved.

Whoever meets damage first says so in a small file beside the journal. The journal's writer, or the keeper where none
lives, renames the file to ``<name>.damaged-<time>``, with a report of what it should hold, and a new journal begins.
`mend` then reads the damaged file page by page (`tsavo.journal.pages`), and puts every record whose sum is right into
``<name>-salvaged-<time>.db``: a journal with the old one's id and numbers, which is shipped like any other.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final
from zlib import crc32

import msgspec

from tsavo.journal.files import SUFFIX, connect, create, folders, journals, sync_folder
from tsavo.journal.notes import Notes
from tsavo.journal.pages import salvaged_records
from tsavo.journal.release import Presence, released
from tsavo.storage import write_atomically

__all__ = [
    "DamageReport",
    "Shortened",
    "damage_reports",
    "forget_log",
    "is_damage",
    "keep_log",
    "mark",
    "marked",
    "mend",
    "set_aside",
]

_MARK: Final = "-damaged"
_KEPT_LOG: Final = "-wal-before"
_ASIDE: Final = ".damaged-"
_REPORT: Final = ".json"
_COMING: Final = ".coming"
# Renaming three files takes less.
_KILLED_NANOSECONDS: Final = 30_000_000_000
_SALVAGED: Final = "-salvaged-"
_DAMAGE: Final = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
_ROWS_AT_ONCE: Final = 1_000


class DamageReport(msgspec.Struct, frozen=True):
    """What is known of a damaged journal.

    Attributes
    ----------
    file
        Where it is kept.
    journal
        The journal's id; empty when nobody knows it.
    time
        When it was set aside, in nanoseconds since 1970 UTC.
    why
        What was found.
    released, last
        Records behind `released` and up to `last` should be in it; `last` is 0 when nobody knows.
    salvaged
        Records that could be read; ``None`` before it was tried.
    lost
        Ranges of record numbers that could not, first and last of each.
    """

    file: str
    journal: str
    time: int
    why: str
    released: int
    last: int
    salvaged: int | None = None
    lost: list[tuple[int, int]] = msgspec.field(default_factory=list)

    @property
    def lost_records(self) -> int:
        """How many records could not be read."""
        return sum(last - first + 1 for first, last in self.lost)


class _Mark(msgspec.Struct, frozen=True):
    journal: str
    why: str


class Shortened(sqlite3.DatabaseError):
    """Records that were acknowledged are not in the file that SQLite sees."""


def is_damage(error: BaseException) -> bool:
    """Whether the file is not what was written."""
    if isinstance(error, Shortened):
        return True
    names = (getattr(one, "sqlite_errorname", "") for one in (error, error.__cause__))
    return any(name.startswith(_DAMAGE) for name in names)


def mark(path: Path, journal_id: str, why: str) -> None:
    """Say that the file at `path` is damaged, to whoever may set it aside."""
    # Where that cannot be written the next reader finds the same.
    with suppress(OSError):
        write_atomically(path.with_name(path.name + _MARK), msgspec.json.encode(_Mark(journal_id, why)))


def marked(path: Path, journal_id: str) -> str:
    """What a reader found wrong with this journal; empty for nothing."""
    try:
        found = msgspec.json.decode(path.with_name(path.name + _MARK).read_bytes(), type=_Mark)
    except (OSError, msgspec.MsgspecError):
        return ""
    return found.why if found.journal in ("", journal_id) else ""


def set_aside(path: Path, why: str, *, journal_id: str, last: int, now: int) -> DamageReport:
    """Rename the damaged file at `path`, and write down what should be in it; the caller is its writer.

    Raises `OSError` when that cannot be done.
    """
    stamp = datetime.fromtimestamp(now / 1e9, UTC).strftime("%Y%m%dT%H%M%S.%f")
    kept = path.with_name(f"{path.name}{_ASIDE}{stamp}")
    report = DamageReport(str(kept), journal_id, now, why, released(path, journal_id), last)
    # Written first, because a file that was renamed and is not reported would not be looked at again; and valid last,
    # because nobody may look for the file before it is there.
    coming = kept.with_name(kept.name + _COMING)
    write_atomically(coming, msgspec.json.encode(report))
    for suffix, kept_suffix in (("-wal", "-wal"), (_KEPT_LOG, "-wal"), ("", "")):
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).replace(kept.with_name(kept.name + kept_suffix))
    for suffix in ("-shm", _MARK):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    coming.replace(kept.with_name(kept.name + _REPORT))
    sync_folder(path.parent)
    return report


def keep_log(path: Path) -> None:
    """Keep the write-ahead log of the file at `path` under a second name, until it is known that all of it was read.

    Raises `OSError` when that cannot be done.
    """
    kept = path.with_name(path.name + _KEPT_LOG)
    # One of a process that was killed while it looked is older, and is the one that matters.
    with suppress(FileNotFoundError, FileExistsError):
        os.link(path.with_name(path.name + "-wal"), kept)


def forget_log(path: Path) -> None:
    """All of it was read."""
    with suppress(OSError):
        path.with_name(path.name + _KEPT_LOG).unlink(missing_ok=True)


def damage_reports(folder: Path) -> list[DamageReport]:
    """What is known of the damaged journals of `folder` and where it spills to, oldest first."""
    found = []
    for place in folders(folder):
        for path in place.glob(f"*{_ASIDE}*{_REPORT}"):
            with suppress(OSError, msgspec.MsgspecError):
                found.append(msgspec.json.decode(path.read_bytes(), type=DamageReport))
    return sorted(found, key=lambda report: report.time)


def mend(folder: Path, now: int) -> list[DamageReport]:
    """Set aside what is damaged and has no writer, and save what can be read of what was set aside.

    Parameters
    ----------
    now
        Nanoseconds since 1970 UTC.

    Returns
    -------
    list
        Reports of the files that were read now.
    """
    for path in journals(folder):
        found = path.with_name(path.name + _MARK)
        if not found.exists():
            continue
        presence = Presence(path)
        if not presence.claim():
            continue
        try:
            noted = msgspec.json.decode(found.read_bytes(), type=_Mark)
            notes = Notes(path)
            journal_id = noted.journal or notes.journal_id
            last = notes.last_seq(journal_id)
            notes.close()
            set_aside(path, noted.why, journal_id=journal_id, last=last, now=now)
        except (OSError, msgspec.MsgspecError):
            found.unlink(missing_ok=True)
        finally:
            presence.leave()
    _finish(folder, now)
    return [_salvage(report) for report in damage_reports(folder) if report.salvaged is None]


def _finish(folder: Path, now: int) -> None:
    """Make valid the reports of those who were killed before they could."""
    for place in folders(folder):
        for coming in place.glob(f"*{_ASIDE}*{_COMING}"):
            with suppress(OSError):
                if now - coming.stat().st_mtime_ns > _KILLED_NANOSECONDS:
                    coming.replace(coming.with_name(coming.name.removesuffix(_COMING) + _REPORT))


def _salvage(report: DamageReport) -> DamageReport:
    damaged = Path(report.file)
    found = salvaged_records(damaged)
    if report.last:
        # What stands behind the last record that was acknowledged was refused, or is in another journal.
        found = {seq: payload for seq, payload in found.items() if seq <= report.last}
    found = {seq: payload for seq, payload in found.items() if seq > report.released}
    gaps = _gaps(damaged)
    if (found or gaps) and report.journal:
        _write(damaged, report.journal, found, gaps)
    done = msgspec.structs.replace(
        report, salvaged=len(found), lost=_missing(found, report.released, report.last)
    )
    write_atomically(damaged.with_name(damaged.name + _REPORT), msgspec.json.encode(done))
    return done


def _gaps(damaged: Path) -> list[tuple[object, ...]]:
    """What it says of answers without a record, if SQLite can read that."""
    where = f"{damaged.absolute().as_uri()}?mode=ro"
    with suppress(sqlite3.Error), closing(sqlite3.connect(where, uri=True)) as connection:
        return connection.execute("SELECT * FROM gaps").fetchall()
    return []


def _write(
    damaged: Path, journal_id: str, found: dict[int, bytes], gaps: Sequence[tuple[object, ...]]
) -> None:
    """Make the journal of what was saved; under another name until it is whole."""
    name, _, stamp = damaged.name.partition(_ASIDE)
    target = damaged.with_name(f"{name.removesuffix(SUFFIX)}{_SALVAGED}{stamp}{SUFFIX}")
    making = target.with_suffix(".making")
    making.unlink(missing_ok=True)
    create(making)
    connection = connect(making, "FULL")
    try:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("UPDATE meta SET value = ? WHERE name = 'journal_id'", (journal_id,))
        connection.execute("INSERT OR REPLACE INTO meta VALUES ('holes', 'yes')")
        rows = sorted(found.items())
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            connection.executemany(
                "INSERT INTO records (seq, payload, crc) VALUES (?, ?, ?)",
                [(seq, payload, crc32(payload)) for seq, payload in rows[start : start + _ROWS_AT_ONCE]],
            )
        connection.executemany("INSERT OR IGNORE INTO gaps VALUES (?,?,?,?,?,?,?)", gaps)
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        with suppress(sqlite3.Error):
            connection.close()
    making.replace(target)
    sync_folder(target.parent)


def _missing(found: dict[int, bytes], after: int, last: int) -> list[tuple[int, int]]:
    """Ranges of numbers behind `after` and up to the last known one that were not found."""
    ranges = []
    expected = after + 1
    for seq in sorted(found):
        if seq > expected:
            ranges.append((expected, seq - 1))
        expected = seq + 1
    if last >= expected:
        ranges.append((expected, last))
    return ranges
