"""Reading in order, trimming, and reading where nothing may be written."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsavo.journal import Journal, JournalWriter, journals
from tsavo.journal.files import create
from tsavo.vocabulary import Conflict, Damaged, NotFound, Unavailable

_PROCESS = Path(__file__).with_name("writer_process.py")


def journal_with(path: Path, payloads: list[bytes]) -> Path:
    writer = JournalWriter(path)
    for payload in payloads:
        writer.append_blocking(payload)
    writer.close()
    return path


@settings(max_examples=25, deadline=None)
@given(
    payloads=st.lists(st.binary(max_size=300), max_size=30),
    max_rows=st.integers(1, 12),
    max_bytes=st.integers(1, 900),
)
def test_pieces_of_any_size_join_to_the_whole(
    tmp_path_factory: pytest.TempPathFactory, payloads: list[bytes], max_rows: int, max_bytes: int
) -> None:
    path = journal_with(tmp_path_factory.mktemp("j") / "a.db", payloads)
    found: list[bytes] = []
    with Journal(path) as journal:
        after, more = 0, True
        while more:
            entries = journal.read(after, max_rows=max_rows, max_bytes=max_bytes)
            more = entries.more
            assert len(entries.rows) <= max_rows
            assert len(entries.rows) <= 1 or sum(len(payload) for _, payload in entries.rows) <= max_bytes
            found += [payload for _, payload in entries.rows]
            after = entries.rows[-1][0] if entries.rows else after
    assert found == payloads


def test_numbers_never_come_back_after_trimming(tmp_path: Path) -> None:
    path = journal_with(tmp_path / "a.db", [b"1", b"2", b"3"])
    with Journal(path) as journal:
        journal.trim(journal.journal_id, 3)
        assert journal.size()[:2] == (0, 3)
    journal_with(path, [b"4"])
    with Journal(path) as journal:
        assert journal.read().rows == [(4, b"4")]
        assert journal.size()[:2] == (1, 4)


def rows_in(path: Path) -> int:
    """Records that are in the file, trimmed or not."""
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT count(*) FROM records").fetchone()[0])


def test_trimming_takes_what_it_was_told_and_can_be_repeated(tmp_path: Path) -> None:
    path = journal_with(tmp_path / "a.db", [b"%d" % number for number in range(1, 1301)])
    for _ in range(2):
        with Journal(path) as journal:
            journal.trim(journal.journal_id, 1200)
            assert [seq for seq, _ in journal.read().rows] == list(range(1201, 1301))
    assert rows_in(path) == 100


def test_a_living_writer_removes_what_was_trimmed(tmp_path: Path) -> None:
    path = journal_with(tmp_path / "a.db", [b"%d" % number for number in range(1, 1301)])

    async def run() -> None:
        writer = JournalWriter(path)
        writer.start(asyncio.get_running_loop())
        with Journal(path) as journal:
            journal.trim(journal.journal_id, 1200)
            # At once for readers, although the file still holds them.
            assert journal.size().rows == 100
            assert journal.read().rows[0][0] == 1201
        with Journal(path) as journal:
            assert journal.read().rows[0][0] == 1201
        for number in range(200):
            await writer.append(b"%d" % number)
            await asyncio.sleep(0.005)
            if rows_in(path) < 1000:
                break
        while rows_in(path) > 100 + number + 1:  # noqa: ASYNC110 -- the file is looked at as another process would
            await asyncio.sleep(0.02)
        writer.close()

    asyncio.run(run())
    with Journal(path) as journal:
        assert journal.read().rows[0][0] == 1201


def test_a_release_of_another_journal_hides_nothing(tmp_path: Path) -> None:
    path = journal_with(tmp_path / "a.db", [b"1", b"2"])
    with Journal(path) as journal:
        journal.trim(journal.journal_id, 2)
    path.unlink()
    journal_with(path, [b"new"])
    with Journal(path) as journal:
        assert journal.read().rows == [(1, b"new")]


def test_trimming_another_journal_is_refused(tmp_path: Path) -> None:
    path = journal_with(tmp_path / "a.db", [b"1"])
    with Journal(path) as journal, pytest.raises(Conflict):
        journal.trim("another", 1)
    with Journal(path) as journal:
        assert journal.size().rows == 1


def test_trimming_beside_a_busy_writer_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    writer = JournalWriter(path)
    total = 1500

    def write() -> None:
        for number in range(total):
            writer.append_blocking(b"%d" % number)

    thread = threading.Thread(target=write)
    thread.start()
    found: list[bytes] = []
    with Journal(path) as journal:
        while len(found) < total:
            entries = journal.read(0, max_rows=400)
            found += [payload for _, payload in entries.rows]
            if entries.rows:
                journal.trim(entries.journal_id, entries.rows[-1][0])
    thread.join()
    writer.close()
    assert found == [b"%d" % number for number in range(total)]


def test_a_journal_left_by_a_killed_writer_reads_where_nothing_may_be_written(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    process = subprocess.Popen(
        [sys.executable, str(_PROCESS), str(home / "a.db"), "0", "4"], stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    lines = {int(process.stdout.readline()) for _ in range(10)}
    process.kill()
    process.stdout.read()
    process.wait()
    process.stdout.close()
    assert (home / "a.db-wal").exists()
    (home / "a.db-shm").unlink()
    for file in home.iterdir():
        file.chmod(0o400)
    home.chmod(0o500)
    try:
        with Journal(home / "a.db") as journal:
            found = {int(payload.rstrip(b".")) for _, payload in journal.read().rows}
    finally:
        home.chmod(0o700)
    assert lines <= found


def test_a_cleanly_closed_journal_reads_without_its_log(tmp_path: Path) -> None:
    path = journal_with(tmp_path / "a.db", [b"1", b"2"])
    assert not path.with_name("a.db-wal").exists()
    copy = tmp_path / "copy"
    copy.mkdir()
    shutil.copy(path, copy)
    copy.chmod(0o500)
    try:
        with Journal(copy / "a.db") as journal:
            assert len(journal.read().rows) == 2
    finally:
        copy.chmod(0o700)


def test_what_is_no_journal_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        Journal(tmp_path / "none.db")
    sqlite3.connect(tmp_path / "other.db").execute("CREATE TABLE t (x)").connection.close()
    with pytest.raises(Damaged, match="not a journal"):
        Journal(tmp_path / "other.db")
    (tmp_path / "text.db").write_text("this is no database, and long enough to be looked at" * 30)
    with pytest.raises(Unavailable):
        Journal(tmp_path / "text.db")


def test_journals_are_listed_by_name_and_a_missing_folder_has_none(tmp_path: Path) -> None:
    assert journals(tmp_path / "none") == []
    for name in ("b", "a"):
        journal_with(tmp_path / f"{name}.db", [b"1"])
    (tmp_path / "c.txt").write_text("")
    assert [path.name for path in journals(tmp_path)] == ["a.db", "b.db"]


def test_nobody_comes_across_a_journal_that_is_half_made(tmp_path: Path) -> None:
    over, seen = threading.Event(), 0

    def look() -> None:
        nonlocal seen
        while not over.is_set():
            for path in journals(tmp_path):
                with Journal(path) as journal:
                    seen += bool(journal.journal_id)

    with ThreadPoolExecutor(2) as threads:
        looking = [threads.submit(look) for _ in range(2)]
        made = [create(tmp_path / f"gateway-{number}.db") for number in range(40)]
        over.set()
        for one in looking:
            one.result()
    assert seen > 0
    assert len(set(made)) == len(made)
    # Nothing of the making is left, and what is there already stays as it is.
    assert list(tmp_path.glob("*.new*")) == []
    assert create(tmp_path / "gateway-7.db") == made[7]
