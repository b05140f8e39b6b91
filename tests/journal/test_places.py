"""Where records go, without any fault: a journal that may take nothing stands for a disk that takes nothing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tsavo.journal import Bounds, Journal, JournalWriter, KeptReplies, KeptReply, journals
from tsavo.journal.notes import Gap, Notes
from tsavo.vocabulary import Unavailable

NOTHING = Bounds(1, 0)


def second_place(tmp_path: Path) -> Path:
    spill = tmp_path / "second"
    spill.mkdir()
    return spill


def with_writer(path: Path, work: Callable[[JournalWriter], Awaitable[None]], **options: Any) -> None:
    async def run() -> None:
        writer = JournalWriter(path, **options)
        writer.start(asyncio.get_running_loop())
        try:
            await work(writer)
        finally:
            await asyncio.to_thread(writer.close)

    path.parent.mkdir(exist_ok=True)
    asyncio.run(run())


def payloads(path: Path) -> list[bytes]:
    with Journal(path) as journal:
        return [payload for _, payload in journal.read().rows]


async def comes(so: Callable[[], bool]) -> bool:
    """Whether it is so within a while: the writing thread looks now and then."""
    deadline = time.monotonic() + 20
    while not so() and time.monotonic() < deadline:  # noqa: ASYNC110 -- another thread's doing is looked at
        await asyncio.sleep(0.05)
    return so()


def test_by_default_what_cannot_be_recorded_is_refused_and_says_what_to_do(tmp_path: Path) -> None:
    async def work(writer: JournalWriter) -> None:
        with pytest.raises(Unavailable, match="as large as it may be") as caught:
            await writer.append(b"1")
        assert caught.value.retry_after
        assert caught.value.field == "journal.most_gib"
        assert writer.standing.state == "refusing"
        assert writer.standing.why

    with_writer(tmp_path / "a" / "a.db", work, bounds=NOTHING)
    assert payloads(tmp_path / "a" / "a.db") == []


def test_spilled_records_and_replies_are_found_where_all_others_are(tmp_path: Path) -> None:
    path = tmp_path / "a" / "a.db"
    reply = KeptReply(b"key", time.time_ns(), b"digest", b"reply")
    spill = second_place(tmp_path)

    async def work(writer: JournalWriter) -> None:
        replies = KeptReplies(path.parent)
        assert replies.find([b"key"], 0) == {}
        assert await writer.append(b"1") is None
        assert await writer.append(b"2", b"3", reply=reply) is None
        assert replies.find([b"key"], 0) == {b"key": reply}
        replies.close()
        assert writer.standing.state == "spilling"
        assert writer.standing.spilled == 3

    with_writer(path, work, when_full="spill", spill=spill, bounds=NOTHING)
    first, second = journals(path.parent)
    assert payloads(first) == []
    assert payloads(second) == [b"1", b"2", b"3"]
    assert second.resolve().is_relative_to(spill)


def test_homes_that_share_a_second_place_do_not_meet_there(tmp_path: Path) -> None:
    spill = second_place(tmp_path)

    async def work(writer: JournalWriter) -> None:
        await writer.append(writer.path.parent.name.encode())

    for home in ("a", "b"):
        with_writer(tmp_path / home / "gateway-0.db", work, when_full="spill", spill=spill, bounds=NOTHING)
    for home in ("a", "b"):
        _, second = journals(tmp_path / home)
        assert payloads(second) == [home.encode()]


def test_a_second_place_that_takes_nothing_either_refuses(tmp_path: Path) -> None:
    async def work(writer: JournalWriter) -> None:
        with pytest.raises(Unavailable):
            await writer.append(b"1")
        assert writer.standing.state == "spilling"

    with_writer(
        tmp_path / "a" / "a.db",
        work,
        when_full="spill",
        spill=second_place(tmp_path),
        bounds=Bounds(1, 1 << 60),
    )


def test_an_answer_without_a_record_is_flagged_counted_and_noted_for_the_next_writer(tmp_path: Path) -> None:
    path = tmp_path / "a" / "a.db"
    reply = KeptReply(b"key", time.time_ns(), b"digest", b"reply")

    async def work(writer: JournalWriter) -> None:
        assert await writer.append(b"1", b"22") == "unrecorded"
        with pytest.raises(Unavailable):
            await writer.append(b"333", reply=reply)
        with pytest.raises(Unavailable, match="kept for its key"):
            await asyncio.gather(writer.append(b"333", reply=reply), writer.append(b"44"))
        with pytest.raises(Unavailable):
            await asyncio.to_thread(writer.append_blocking, b"an outcome")
        assert writer.standing.state == "not recording"
        assert (writer.standing.answers, writer.standing.unrecorded) == (2, 5)

    options: dict[str, Any] = {"when_full": "answer-and-flag", "weigh": len}
    with_writer(path, work, bounds=NOTHING, **options)
    with Journal(path) as journal:
        assert journal.gaps() == []

    async def more(writer: JournalWriter) -> None:
        assert await writer.append(b"4444") is None

    with_writer(path, more, **options)
    with Journal(path) as journal:
        (gap,) = journal.gaps()
        assert (gap.answers, gap.decisions, gap.told) == (2, 5, 0)
        journal.tell_gap(gap)
        assert journal.gaps()[0].told
    assert payloads(path) == [b"4444"]


def test_the_count_of_a_process_that_was_killed_is_written_though_no_record_comes(tmp_path: Path) -> None:
    path = tmp_path / "a" / "a.db"
    path.parent.mkdir()
    killed = Notes(path)
    killed.unrecorded(33, 61, 1_000)
    killed.close()

    def written() -> list[tuple[int, int]]:
        with Journal(path) as journal:
            return [(gap.answers, gap.decisions) for gap in journal.gaps()]

    async def work(writer: JournalWriter) -> None:
        assert await comes(lambda: written() == [(33, 61)])

    with_writer(path, work)
    assert written() == [(33, 61)]


def test_a_count_that_began_on_a_read_only_disk_outlives_the_process_too(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    beside = path.with_name("a.db-notes")
    # What is in the way cannot be opened for writing: as a file on a read-only disk.
    beside.mkdir()
    noted = Notes(path)
    noted.unrecorded(2, 5, 1_000)
    # The next process, still there; then one on a disk that works.
    again = Notes(path)
    assert again.gap == Gap(2, 5, 1_000, 1_000)
    again.unrecorded(1, 1, 3_000)
    beside.rmdir()
    mended = Notes(path)
    assert mended.gap == Gap(3, 6, 1_000, 3_000)
    assert Notes(path).gap == mended.gap
    for one in (noted, again, mended):
        one.close()


def test_a_count_from_before_a_read_only_start_is_told_without_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "a" / "a.db"
    path.parent.mkdir()
    before = Notes(path)
    before.unrecorded(2, 5, 1_000)
    before.close()
    beside = path.with_name("a.db-notes")
    beside.rename(tmp_path / "kept")
    beside.mkdir()

    async def work(writer: JournalWriter) -> None:
        assert not writer._first.notes.beside
        beside.rmdir()
        (tmp_path / "kept").rename(beside)
        # The first place was closed to it, and works again.
        writer._places._failure = Unavailable("read-only")
        assert await comes(lambda: writer.standing.state == "well" and writer._first.notes.beside)
        await writer.append(b"1")

    with_writer(path, work)
    with Journal(path) as journal:
        assert [gap[1:3] for gap in journal.gaps()] == [(2, 5)]


def test_it_warns_before_it_is_full(tmp_path: Path) -> None:
    async def work(writer: JournalWriter) -> None:
        for _ in range(88):
            await writer.append(b"x" * 10_000)
        assert await comes(lambda: writer.standing.state == "nearly full")
        assert "wait to be shipped" in writer.standing.why

    with_writer(tmp_path / "a" / "a.db", work, bounds=Bounds(1 << 20, 0))


def test_the_age_of_the_oldest_record_is_that_of_the_first_one_not_shipped(tmp_path: Path) -> None:
    path = tmp_path / "a" / "a.db"

    async def work(writer: JournalWriter) -> None:
        for payload in (b"30", b"50", b"70"):
            await writer.append(payload)
        assert await oldest(writer, 30)
        with Journal(path) as journal:
            journal.trim(journal.journal_id, 2)
        assert await oldest(writer, 70)
        with Journal(path) as journal:
            journal.trim(journal.journal_id, 3)
        assert await oldest(writer, 0)

    async def oldest(writer: JournalWriter, expected: int) -> bool:
        return await comes(lambda: writer.standing.oldest == expected)

    with_writer(path, work, moment=int)
