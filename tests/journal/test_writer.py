"""What a writer promises: done means on disk, in order, once; what cannot be written is said."""

from __future__ import annotations

import asyncio
import os
import random
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tsavo.journal import Journal, JournalWriter
from tsavo.vocabulary import Overloaded, Unavailable

_PROCESS = Path(__file__).with_name("writer_process.py")


def payloads(path: Path) -> list[bytes]:
    with Journal(path) as journal:
        return [payload for _, payload in journal.read(0, max_rows=10_000_000, max_bytes=1 << 40).rows]


def rows_in(path: Path) -> int:
    """Records that are in the file, trimmed or not."""
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT count(*) FROM records").fetchone()[0])


def with_writer(path: Path, work: Callable[[JournalWriter], object], **limits: Any) -> None:
    async def run() -> None:
        writer = JournalWriter(path, **limits)
        writer.start(asyncio.get_running_loop())
        try:
            await work(writer)  # type: ignore[misc]
        finally:
            await asyncio.get_running_loop().run_in_executor(None, writer.close)

    asyncio.run(run())


def test_a_done_append_is_seen_by_another_connection_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a.db"

    async def work(writer: JournalWriter) -> None:
        for number in range(50):
            await writer.append(b"%d" % number)
            assert payloads(path)[-1] == b"%d" % number

    with_writer(path, work)
    assert payloads(path) == [b"%d" % number for number in range(50)]


@pytest.mark.parametrize("count", [1, 255, 256, 257, 5000])
def test_a_group_of_any_size_keeps_the_order_of_its_appends(tmp_path: Path, count: int) -> None:
    path = tmp_path / "a.db"

    async def work(writer: JournalWriter) -> None:
        await asyncio.gather(*[writer.append(b"%d" % number) for number in range(count)])
        assert writer.pending == 0

    with_writer(path, work)
    assert payloads(path) == [b"%d" % number for number in range(count)]


def test_close_commits_what_waits(tmp_path: Path) -> None:
    path = tmp_path / "a.db"

    async def run() -> None:
        writer = JournalWriter(path)
        writer.start(asyncio.get_running_loop())
        futures = [writer.append(b"%d" % number) for number in range(3000)]
        writer.close()
        assert len(payloads(path)) == 3000
        await asyncio.gather(*futures)
        with pytest.raises(Unavailable, match="not open"):
            writer.append(b"late")

    asyncio.run(run())


def test_a_caller_that_goes_away_does_not_disturb_the_others(tmp_path: Path) -> None:
    path = tmp_path / "a.db"

    async def work(writer: JournalWriter) -> None:
        futures = [writer.append(b"%d" % number) for number in range(20)]
        futures[3].cancel()
        done = await asyncio.gather(*futures, return_exceptions=True)
        assert [type(result) for result in done].count(asyncio.CancelledError) == 1
        await writer.append(b"after")

    with_writer(path, work)
    assert len(payloads(path)) == 21


def test_append_before_start_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="not open"):
        JournalWriter(tmp_path / "a.db").append(b"early")


def test_blocking_appends_need_no_loop_and_mix_with_others(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    writer = JournalWriter(path)
    writer.append_blocking(b"one")
    assert payloads(path) == [b"one"]
    writer.close()

    async def work(writer: JournalWriter) -> None:
        loop = asyncio.get_running_loop()
        blocking = [
            loop.run_in_executor(None, writer.append_blocking, b"b%d" % number) for number in range(50)
        ]
        await asyncio.gather(*blocking, *[writer.append(b"a%d" % number) for number in range(50)])

    with_writer(path, work)
    found = payloads(path)
    assert len(found) == len(set(found)) == 101


def test_more_than_the_disk_takes_is_overloaded_and_says_when_to_come_back(tmp_path: Path) -> None:
    path = tmp_path / "a.db"

    async def work(writer: JournalWriter) -> None:
        # Another transaction holds the writing thread still.
        blocker = sqlite3.connect(path, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        futures = []
        with pytest.raises(Overloaded) as caught:
            for number in range(200):
                futures.append(writer.append(b"%d" % number))
        assert caught.value.retry_after
        assert writer.pending >= 8
        blocker.execute("ROLLBACK")
        blocker.close()
        await asyncio.gather(*futures)
        await writer.append(b"again")

    with_writer(path, work, max_pending=8)
    assert payloads(path)[-1] == b"again"


def test_waiting_bytes_are_bounded_but_one_large_record_always_passes(tmp_path: Path) -> None:
    path = tmp_path / "a.db"

    async def work(writer: JournalWriter) -> None:
        await writer.append(b"x" * 5000)
        blocker = sqlite3.connect(path, isolation_level=None)
        blocker.execute("BEGIN IMMEDIATE")
        futures = [writer.append(b"x" * 400) for _ in range(2)]
        with pytest.raises(Overloaded):
            writer.append(b"x" * 400)
        blocker.execute("ROLLBACK")
        blocker.close()
        await asyncio.gather(*futures)
        await writer.append(b"x" * 400)

    with_writer(path, work, max_pending_bytes=1000)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="journal cannot be written") as caught:
        JournalWriter(tmp_path / "nowhere" / "a.db")
    assert "nowhere" in str(caught.value.found)


def test_the_journal_id_stays_with_the_file_and_a_new_file_is_a_new_journal(tmp_path: Path) -> None:
    first = JournalWriter(tmp_path / "a.db").journal_id
    assert JournalWriter(tmp_path / "a.db").journal_id == first
    (tmp_path / "a.db").unlink()
    assert JournalWriter(tmp_path / "a.db").journal_id != first


def _fill_the_disk(path: str) -> None:
    """Runs in a child: no file may grow beyond 400 kB, as on a full disk."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

    async def run() -> None:
        writer = JournalWriter(Path(path))
        writer.start(asyncio.get_running_loop())
        await writer.append(b"first")
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, hard))
        kept, refused = [b"first"], 0
        for number in range(40):
            payload = b"%d" % number + b"." * 30_000
            try:
                await writer.append(payload)
            except Unavailable as error:
                refused += 1
                assert "journal cannot be written" in str(error)
                assert writer.failure is error
            else:
                kept.append(payload)
        assert refused
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        await writer.append(b"room again")
        assert writer.failure is None
        kept.append(b"room again")
        writer.close()
        # Nothing that was acknowledged may be missing; nothing may be there twice.
        found = payloads(Path(path))
        assert [payload for payload in found if payload in kept] == kept
        assert len(found) == len(set(found))

    asyncio.run(run())


def test_every_commit_waits_for_the_disk_also_after_removing_what_was_trimmed(tmp_path: Path) -> None:
    path = tmp_path / "a.db"

    async def work(writer: JournalWriter) -> None:
        for number in range(300):
            await writer.append(b"%d" % number)
        with Journal(path) as journal:
            journal.trim(journal.journal_id, 300)
        while rows_in(path) > 0:  # noqa: ASYNC110 -- the file is looked at as another process would
            await asyncio.sleep(0.02)
        await writer.append(b"after")
        # SQLite's own word (2 is FULL): a process that dies cannot show the difference, only a power cut can.
        connection = writer._first._connection
        assert connection is not None
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)

    with_writer(path, work)


def test_a_full_disk_is_said_and_recording_resumes_by_itself(tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        try:
            _fill_the_disk(str(tmp_path / "a.db"))
        except BaseException as error:
            os.write(2, repr(error).encode())
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0


def test_every_acknowledged_record_survives_sigkill_at_random_moments(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    chance = random.Random(7)
    acknowledged: list[int] = []
    first = 0
    for awaiters in (1, 32, 32, 8, 64):
        process = subprocess.Popen(
            [sys.executable, str(_PROCESS), str(path), str(first), str(awaiters)], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        head = process.stdout.readline()
        time.sleep(chance.uniform(0.0, 0.25))
        process.kill()
        rest = (head + process.stdout.read()).split(b"\n")
        # A line that the kill cut off was not acknowledged to anyone.
        acknowledged += [int(line) for line in rest[:-1]]
        process.wait()
        process.stdout.close()
        first = max(acknowledged) + 1_000_000
    found = [int(payload.rstrip(b".")) for payload in payloads(path)]
    assert len(found) == len(set(found))
    assert set(acknowledged) <= set(found)
    assert len(acknowledged) > 100


def test_a_torn_log_loses_only_what_was_being_written(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    process = subprocess.Popen([sys.executable, str(_PROCESS), str(path), "0", "1"], stdout=subprocess.PIPE)
    assert process.stdout is not None
    lines = [process.stdout.readline() for _ in range(20)]
    process.kill()
    process.stdout.read()
    process.wait()
    process.stdout.close()
    log = path.with_name("a.db-wal")
    # What a power cut leaves of the transaction under way: part of a page, then noise.
    with log.open("ab") as file:
        file.write(random.Random(1).randbytes(5000))
    found = [int(payload.rstrip(b".")) for payload in payloads(path)]
    assert found[:20] == [int(line) for line in lines] == list(range(20))
    assert found == list(range(len(found)))
    writer = JournalWriter(path)
    writer.append_blocking(b"after")
    writer.close()
    assert payloads(path)[-1] == b"after"
