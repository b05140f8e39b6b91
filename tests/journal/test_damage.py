"""Files that are not what was written: found, kept aside, and read as far as that goes."""

from __future__ import annotations

import asyncio
import random
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.journal.bad_writer import BadWriter
from tsavo.journal import Journal, JournalWriter, damage_reports, journals, mend
from tsavo.vocabulary import Unavailable

NOW = 1_760_000_000_000_000_000
RECORDS = 400
PAGE = 4096


def payload(number: int) -> bytes:
    return random.Random(number).randbytes(9_000 if number % 40 == 7 else 300)


def written(folder: Path, *, kept_in_log: bool = False) -> tuple[Path, str]:
    """A journal of many records; with its write-ahead log, as after a kill, or without."""
    path = folder / "gateway-0.db"

    async def write() -> str:
        writer = JournalWriter(path)
        writer.start(asyncio.get_running_loop())
        for start in range(1, RECORDS + 1, 20):
            await asyncio.gather(*(writer.append(payload(number)) for number in range(start, start + 20)))
        if kept_in_log:
            for name in ("gateway-0.db", "gateway-0.db-wal", "gateway-0.db-notes"):
                shutil.copy(folder / name, folder / f"{name}.copy")
        journal_id = writer.journal_id
        await asyncio.to_thread(writer.close)
        return journal_id

    journal_id = asyncio.run(write())
    if kept_in_log:
        for name in ("gateway-0.db", "gateway-0.db-wal", "gateway-0.db-notes"):
            (folder / f"{name}.copy").replace(folder / name)
    return path, journal_id


def shipped(folder: Path) -> dict[str, dict[int, bytes]]:
    """What a shipper gets: by journal and number."""
    found: dict[str, dict[int, bytes]] = {}
    for path in journals(folder):
        with Journal(path) as journal:
            after, more = 0, True
            while more:
                entries = journal.read(after, max_rows=100)
                more = entries.more
                for seq, content in entries.rows:
                    mine = found.setdefault(journal.journal_id, {})
                    assert seq not in mine
                    mine[seq] = content
                    after = seq
    return found


def overwrite(path: Path, at: int, count: int = PAGE) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(random.Random(at).randbytes(count))


def flip_a_bit(path: Path, number: int) -> None:
    """In the middle of one record's payload."""
    content = bytearray(path.read_bytes())
    at = content.index(payload(number)[50:90])
    content[at] ^= 4
    path.write_bytes(content)


def cut(path: Path, share: float) -> None:
    with path.open("r+b") as file:
        file.truncate(int(path.stat().st_size * share) // PAGE * PAGE)


def in_the_log(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


# How the file is damaged, whether it has a write-ahead log, and how many records that may cost at most.
DAMAGES = [
    pytest.param(lambda path: flip_a_bit(path, 201), False, 1, id="one-bit-of-a-record"),
    pytest.param(lambda path: overwrite(path, PAGE * 12), False, 14, id="a-page"),
    pytest.param(lambda path: overwrite(path, 0), False, 0, id="the-first-page"),
    pytest.param(lambda path: overwrite(path, PAGE * 1, PAGE * 4), False, 60, id="the-roots-of-all-tables"),
    pytest.param(lambda path: cut(path, 0.5), False, RECORDS * 2 // 3, id="half-of-the-file"),
    pytest.param(lambda path: overwrite(in_the_log(path), 4200 * 10, 4200), True, 30, id="a-page-of-the-log"),
    pytest.param(lambda path: overwrite(in_the_log(path), 0, 32), True, 0, id="the-head-of-the-log"),
    pytest.param(lambda path: cut(in_the_log(path), 0.5), True, RECORDS * 2 // 3, id="half-of-the-log"),
    pytest.param(lambda path: in_the_log(path).unlink(), True, RECORDS, id="the-log-is-gone"),
    pytest.param(lambda path: path.unlink(), False, RECORDS, id="the-file-is-gone"),
]


@pytest.mark.parametrize(("damage", "with_log", "most_lost"), DAMAGES)
def test_damage_is_found_named_and_costs_no_more_than_it_must(
    tmp_path: Path, damage: Callable[[Path], None], with_log: bool, most_lost: int
) -> None:
    path, journal_id = written(tmp_path, kept_in_log=with_log)
    damage(path)
    # The next writer opens it, and the keeper reads it: one of the two finds the damage.
    writer = JournalWriter(path)
    writer.append_blocking(b"goes on")
    shipped(tmp_path)
    writer.close()
    mend(tmp_path, NOW)
    (report,) = damage_reports(tmp_path)
    assert report.journal == journal_id
    assert report.salvaged is not None
    assert report.why
    # Every record is either there, as it was written, or told to be lost by its number.
    found = shipped(tmp_path)
    lost = {seq for first, last in report.lost for seq in range(first, last + 1)}
    salvaged = {seq: content for seq, content in found.get(journal_id, {}).items() if content != b"goes on"}
    assert salvaged == {number: payload(number) for number in range(1, RECORDS + 1) if number not in lost}
    assert len(lost) == report.lost_records <= most_lost
    assert [content for rows in found.values() for content in rows.values()].count(b"goes on") == 1
    assert mend(tmp_path, NOW) == []


def test_what_was_shipped_is_not_shipped_again_and_nothing_in_front_of_the_damage_waits(
    tmp_path: Path,
) -> None:
    path, journal_id = written(tmp_path)
    with Journal(path) as journal:
        journal.trim(journal_id, 100)
    flip_a_bit(path, 300)
    with Journal(path) as journal:
        rows = journal.read().rows
        assert [seq for seq, _ in rows] == list(range(101, 300))
        assert "300" in journal.damage
        journal.trim(journal_id, 299)
    (report,) = mend(tmp_path, NOW)
    assert report.lost == [(300, 300)]
    assert sorted(shipped(tmp_path)[journal_id]) == list(range(301, RECORDS + 1))
    (saved,) = [path for path in journals(tmp_path) if "salvaged" in path.name]
    with Journal(saved) as journal:
        journal.trim(journal_id, RECORDS)
    # What was saved is not kept twice; the damaged file is.
    assert not any("salvaged" in path.name for path in tmp_path.iterdir())
    assert Path(report.file).exists()


def test_what_nobody_writes_to_is_set_aside_by_the_keeper_and_its_end_is_known(tmp_path: Path) -> None:
    path, journal_id = written(tmp_path)
    overwrite(path, 0)
    content = bytearray(path.read_bytes())
    at = content.index(payload(RECORDS)[50:90])
    content[at] ^= 4
    path.write_bytes(content)
    with pytest.raises(Unavailable):
        Journal(path)
    (report,) = mend(tmp_path, NOW)
    assert (report.journal, report.lost) == (journal_id, [(RECORDS, RECORDS)])
    assert sorted(shipped(tmp_path)[journal_id]) == list(range(1, RECORDS))


def test_a_log_that_the_keeper_met_first_is_still_read_to_its_end(tmp_path: Path) -> None:
    path, journal_id = written(tmp_path, kept_in_log=True)
    overwrite(in_the_log(path), 4200 * 10, 4200)
    # The keeper ships what SQLite finds, and no writer lives: it removes the records itself.
    before = shipped(tmp_path)[journal_id]
    assert len(before) < RECORDS // 2
    with Journal(path) as journal:
        journal.trim(journal_id, max(before))
    JournalWriter(path).close()
    (report,) = mend(tmp_path, NOW)
    lost = {seq for first, last in report.lost for seq in range(first, last + 1)}
    assert len(lost) <= 30
    after = shipped(tmp_path)[journal_id]
    assert before.keys() | after.keys() | lost == set(range(1, RECORDS + 1))


def test_a_living_writer_sets_its_file_aside_when_a_reader_finds_damage(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    with BadWriter(path, size=300) as writer:
        writer.more("recorded", 300)
        with Journal(path) as journal:
            old = journal.journal_id
            journal._connection.execute("PRAGMA query_only = off")
        # What is in the file, and no longer in the log, is damaged on the disk.
        checkpoint = sqlite3.connect(path)
        checkpoint.execute("PRAGMA wal_checkpoint")
        checkpoint.close()
        content = path.read_bytes()
        at = content.index(b"100" + b"." * 40)
        with path.open("r+b") as file:
            file.seek(at + 100)
            file.write(b"!")
        with Journal(path) as journal:
            journal.read()
            assert journal.damage
        writer.until(lambda: bool(damage_reports(tmp_path)))
        (report,) = mend(tmp_path, NOW)
        assert report.journal == old
        writer.more("recorded", 50)
    found = [
        int(content.rstrip(b".").rstrip(b"!").split(b".")[0])
        for rows in shipped(tmp_path).values()
        for content in rows.values()
    ]
    assert len(found) == len(set(found))
    assert sorted({*writer.recorded} - {*found}) == [100]
    assert report.lost_records == 1


def test_a_journal_that_was_written_by_an_earlier_release_is_read_and_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    old = sqlite3.connect(path)
    old.execute("PRAGMA journal_mode=WAL")
    old.execute("CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL)")
    old.execute("CREATE TABLE records (seq INTEGER PRIMARY KEY AUTOINCREMENT, payload BLOB NOT NULL)")
    old.execute("INSERT INTO meta VALUES ('journal_id', 'old')")
    old.execute("INSERT INTO records (payload) VALUES (?)", (b"before",))
    old.commit()
    old.close()
    with Journal(path) as journal:
        assert journal.read().rows == [(1, b"before")]
    writer = JournalWriter(path)
    writer.append_blocking(b"after")
    writer.close()
    with Journal(path) as journal:
        assert journal.read().rows == [(1, b"before"), (2, b"after")]
