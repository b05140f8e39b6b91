"""Disks that fail in the middle of it: real calls of a real process are made to fail."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import time
from collections import Counter
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from tests.journal.bad_writer import BadWriter, numbers_in, numbers_of
from tests.journal.faults.disk import BadDisk
from tsavo.journal import Bounds, Journal, JournalWriter, RecordedGap, log, mend
from tsavo.vocabulary import Unavailable

FAULTS = [
    pytest.param("enospc", "wt", id="no-space-for-anything"),
    pytest.param("full", "wt", id="full"),
    pytest.param("eio", "w", id="write-fails"),
    pytest.param("eio", "s", id="sync-fails"),
    pytest.param("erofs", "wsto", id="read-only"),
    pytest.param("torn", "w", id="torn-writes"),
    pytest.param("torn", "ws", id="torn-writes-and-failing-syncs"),
]
# Where the disk is bad in another way, but the same is done about it.
KINDS = [fault for fault in FAULTS if fault.id in {"full", "sync-fails", "read-only", "torn-writes"}]


def folders(tmp_path: Path) -> tuple[Path, BadDisk]:
    folder = tmp_path / "journal"
    folder.mkdir()
    return folder, BadDisk(folder, tmp_path)


@pytest.mark.parametrize(("what", "calls"), FAULTS)
def test_what_a_bad_disk_refuses_is_not_there_and_what_it_took_is(
    tmp_path: Path, what: str, calls: str
) -> None:
    folder, disk = folders(tmp_path)
    with BadWriter(folder / "a.db", disk, size=20_000) as writer:
        writer.more("recorded")
        for per_mille in (1000, 300):
            disk.goes_wrong(what, calls, per_mille=per_mille)
            writer.more("refused")
            disk.works()
            writer.more("recorded")
    check(folder, writer)


@pytest.mark.parametrize(("what", "calls"), FAULTS)
def test_a_kill_while_the_disk_fails_brings_nothing_back_that_was_refused(
    tmp_path: Path, what: str, calls: str
) -> None:
    folder, disk = folders(tmp_path)
    said = []
    for turn in range(2):
        disk.works()
        with BadWriter(folder / "a.db", disk, first=1_000_000 * turn, awaiters=1, size=20_000) as writer:
            writer.more("recorded", 5)
            disk.goes_wrong(what, calls)
            writer.more("refused", 3)
        said.append(writer)
    disk.works()
    check(folder, *said)


@pytest.mark.parametrize(("what", "calls"), KINDS)
def test_what_is_spilled_is_recorded_once_and_the_first_place_is_taken_again(
    tmp_path: Path, what: str, calls: str
) -> None:
    folder, disk = folders(tmp_path)
    second = tmp_path / "second"
    second.mkdir()
    options: dict[str, Any] = {"when_full": "spill", "spill": str(second), "size": 20_000}
    with BadWriter(folder / "a.db", disk, **options) as writer:
        writer.more("recorded")
        disk.goes_wrong(what, calls)
        spilled = next(second.iterdir())
        writer.until((spilled / "a.db").exists)
        writer.more("recorded", 100)
        disk.works()
        mended = max(writer.recorded)
        writer.until(lambda: max(numbers_of(folder / "a.db"), default=0) > mended)
    assert writer.refused == []
    check(folder, writer)
    assert len(numbers_of(spilled / "a.db")) >= 50


@pytest.mark.parametrize(("what", "calls"), KINDS)
def test_answers_without_a_record_are_counted_and_the_count_is_journalled(
    tmp_path: Path, what: str, calls: str
) -> None:
    folder, disk = folders(tmp_path)
    options: dict[str, Any] = {"when_full": "answer-and-flag", "size": 20_000}
    with BadWriter(folder / "a.db", disk, **options) as writer:
        writer.more("recorded")
        disk.goes_wrong(what, calls)
        writer.more("flagged", 30)
    # It is killed while the disk fails: the count outlives it.
    disk.works()
    with BadWriter(folder / "a.db", disk, first=1_000_000, **options) as second:
        second.more("recorded")
        disk.goes_wrong(what, calls)
        second.more("flagged", 30)
        disk.works()
        second.until(lambda: len(gaps(folder)) > 1)
        second.more("recorded")
    assert writer.refused == second.refused == []
    found = numbers_in(folder)
    assert len(found) == len(set(found))
    assert {*writer.recorded, *second.recorded} <= set(found)
    assert not {*writer.flagged, *second.flagged} & set(found)
    first, last = gaps(folder)
    # One more for each awaiter whose answer the kill took with it.
    assert len(writer.flagged) <= first.answers <= len(writer.flagged) + 4
    assert len(second.flagged) == last.answers == last.decisions
    assert first.first < first.last < last.first < last.last


def test_a_reply_is_never_answered_unrecorded(tmp_path: Path) -> None:
    folder, disk = folders(tmp_path)
    with BadWriter(folder / "a.db", disk, when_full="answer-and-flag", keyed=True) as writer:
        writer.more("recorded")
        disk.goes_wrong("eio", "w")
        writer.more("refused")
        disk.works()
        writer.more("recorded")
    assert writer.flagged == []
    assert gaps(folder) == []


def test_a_disk_that_does_not_answer_is_said_so_in_time_and_waited_for(tmp_path: Path) -> None:
    folder, disk = folders(tmp_path)
    with BadWriter(folder / "a.db", disk, patience_seconds=0.3) as writer:
        writer.more("recorded")
        disk.goes_wrong("slow", "s", milliseconds=4_000)
        writer.more("refused", 50)
        disk.works()
        writer.more("recorded")
    found = Counter(numbers_in(folder))
    assert set(writer.recorded) <= found.keys()
    assert max(found.values()) == 1
    # What the disk had been given when patience ended may be there; nothing that came later is.
    assert len(set(writer.refused) & found.keys()) <= 4


@pytest.mark.parametrize("when_full", ["refuse", "spill", "answer-and-flag"])
def test_a_journal_that_nobody_ships_stops_at_its_bound_and_goes_on_when_it_was_shipped(
    tmp_path: Path, when_full: str
) -> None:
    folder, disk = folders(tmp_path)
    second = tmp_path / "second"
    second.mkdir()
    path, most = folder / "a.db", 2 << 20
    kind = {"refuse": "refused", "spill": "recorded", "answer-and-flag": "flagged"}[when_full]
    options: dict[str, Any] = {
        "when_full": when_full,
        "spill": str(second),
        "size": 5_000,
        "bounds": [most, 0],
    }
    with BadWriter(path, disk, **options) as writer:
        writer.more("recorded")
        writer.more(kind, 1_000)
        # The bound may be passed by what comes between two looks.
        assert most * 0.8 < sum(map(len, payloads_of(path))) < 1.2 * most
        before = numbers_of(path)
        with Journal(path) as journal:
            (*_, (last, _)) = journal.read().rows
            journal.trim(journal.journal_id, last)
        writer.until(lambda: len(numbers_of(path)) > 20)
    found = [*before, *numbers_in(folder)]
    assert len(found) == len(set(found))
    assert set(writer.recorded) <= set(found)
    assert not {*writer.refused, *writer.flagged} & set(found)
    assert (when_full == "answer-and-flag") == bool(gaps(folder))


def test_a_file_system_that_is_really_full_is_no_other_case(tmp_path: Path) -> None:
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=24m", "tsavo-test", str(folder)]
    if subprocess.run(mount, check=False, capture_output=True).returncode != 0:
        pytest.skip("file systems can be mounted by root alone")
    try:
        with BadWriter(folder / "a.db", size=20_000, bounds=[0, 6 << 20]) as writer:
            # The journal itself stops before the disk is full, so that there is room to remove what was shipped.
            writer.more("refused", 50)
            before = shipped(folder / "a.db")
            writer.more("recorded", 50)
            # Somebody else fills it, and makes room again.
            other = folder / "other"
            with suppress(OSError), other.open("wb") as file:
                while True:
                    file.write(bytes(4096))
            writer.more("refused", 50)
            other.unlink()
            # The writer may have reached its own bound meanwhile.
            before += shipped(folder / "a.db")
            writer.more("recorded", 50)
        found = [*before, *numbers_in(folder)]
        assert len(found) == len(set(found))
        assert set(writer.recorded) <= set(found)
        assert not set(writer.refused) & set(found)
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_the_room_of_a_long_backlog_is_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log, "_LARGE_BYTES", 1 << 20)
    path = tmp_path / "a.db"
    writer = JournalWriter(path)
    for _ in range(200):
        writer.append_blocking(b"x" * 10_000)
    with Journal(path) as journal:
        journal.trim(journal.journal_id, 199)
    while path.stat().st_size > 200_000:
        writer._places.rest(1_000)
        # Pages in the log get into the file, and the file shorter, with the next checkpoint.
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA wal_checkpoint")
    writer.append_blocking(b"after")
    writer.close()
    with Journal(path) as journal:
        assert journal.read().rows == [(200, b"x" * 10_000), (201, b"after")]


def test_a_disk_keeps_its_free_space(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    free = shutil.disk_usage(tmp_path).free
    writer = JournalWriter(path, bounds=Bounds(0, 2 * free))
    with pytest.raises(Unavailable, match="too little is free") as caught:
        writer.append_blocking(b"1")
    assert caught.value.field == "journal.least_free_mib"
    assert writer.standing.state == "refusing"
    writer.close()


def payloads_of(path: Path) -> list[bytes]:
    with Journal(path) as journal:
        return [payload for _, payload in journal.read().rows]


def shipped(path: Path) -> list[int]:
    """The numbers that were recorded, which need not stay there any more."""
    with Journal(path) as journal:
        rows = journal.read().rows
        journal.trim(journal.journal_id, rows[-1][0])
    return [int(payload.rstrip(b".")) for _, payload in rows]


def gaps(folder: Path) -> list[RecordedGap]:
    with Journal(folder / "a.db") as journal:
        return journal.gaps()


def check(folder: Path, *writers: BadWriter) -> None:
    """Each number that was recorded is there once, and none that was not, but for what the kill met under way."""
    # What SQLite itself may lose on a disk that is read-only now and then is saved.
    mend(folder, time.time_ns())
    found = Counter(numbers_in(folder))
    assert all(count == 1 for count in found.values()), [number for number in found if found[number] > 1]
    recorded = {number for writer in writers for number in writer.recorded}
    assert recorded <= found.keys(), sorted(recorded - found.keys())
    refused = {number for writer in writers for number in writer.refused}
    assert not refused & found.keys(), sorted(refused & found.keys())
