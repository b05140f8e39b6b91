"""Replies beside records: there exactly when the records are, found from anywhere, gone when they are old."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tsavo.journal import Journal, JournalWriter, KeptReplies, KeptReply
from tsavo.vocabulary import Unavailable

HOUR = 3600 * 10**9
SCHEMA_BEFORE = """
    CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL);
    CREATE TABLE records (seq INTEGER PRIMARY KEY AUTOINCREMENT, payload BLOB NOT NULL);
    INSERT INTO meta VALUES ('journal_id', 'the-one-from-before');
    INSERT INTO records (payload) VALUES (x'6f6c64');
"""


def kept(name: str, time: int = HOUR, reply: bytes = b"answer") -> KeptReply:
    return KeptReply(name.encode().ljust(16, b"."), time, b"digest of " + name.encode(), reply)


def payloads(path: Path) -> list[bytes]:
    with Journal(path) as journal:
        return [payload for _, payload in journal.read().rows]


def with_writer(path: Path, work: Callable[[JournalWriter], object], now: int = HOUR, **limits: Any) -> None:
    async def run() -> None:
        writer = JournalWriter(path, nanoseconds=lambda: now, **limits)
        writer.start(asyncio.get_running_loop())
        try:
            await work(writer)  # type: ignore[misc]
        finally:
            await asyncio.get_running_loop().run_in_executor(None, writer.close)

    asyncio.run(run())


def find(replies: KeptReplies, name: str, since: int) -> KeptReply | None:
    return replies.find([kept(name).key], since).get(kept(name).key)


def keys_in(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        rows = connection.execute("SELECT key FROM replies ORDER BY place").fetchall()
    return [row[0].decode().rstrip(".") for row in rows]


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not true():  # noqa: ASYNC110 -- the file is looked at as another process would
            await asyncio.sleep(0.02)


def test_a_reply_is_there_with_its_record_and_is_found_by_its_key(tmp_path: Path) -> None:
    path = tmp_path / "gateway-0.db"

    async def work(writer: JournalWriter) -> None:
        replies = KeptReplies(tmp_path)
        assert find(replies, "a", 0) is None
        await writer.append(b"record", reply=kept("a"))
        assert find(replies, "a", 0) == kept("a")
        assert find(replies, "b", 0) is None
        replies.close()

    with_writer(path, work)
    assert payloads(path) == [b"record"]


@pytest.mark.parametrize("count", [1, 63, 64, 65, 300, 5000])
def test_a_group_of_any_size_keeps_all_its_replies_and_the_order_of_its_records(
    tmp_path: Path, count: int
) -> None:
    path = tmp_path / "gateway-0.db"
    expected: list[bytes] = []

    async def work(writer: JournalWriter) -> None:
        futures = []
        for number in range(count):
            more = [b"%d.%d" % (number, part) for part in range(1, number % 3)]
            reply = kept(str(number)) if number % 2 == 0 else None
            futures.append(writer.append(b"%d" % number, *more, reply=reply))
            expected.extend([b"%d" % number, *more])
        await asyncio.gather(*futures)
        assert writer.pending == 0

    with_writer(path, work)
    assert payloads(path) == expected
    assert sorted(keys_in(path), key=int) == [str(number) for number in range(0, count, 2)]


def test_records_and_replies_of_a_group_that_fails_are_not_there_and_the_next_are(tmp_path: Path) -> None:
    path = tmp_path / "gateway-0.db"

    async def work(writer: JournalWriter) -> None:
        await writer.append(b"before", reply=kept("before"))
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            # What fails is the second statement of the transaction.
            other.execute("CREATE TRIGGER no BEFORE INSERT ON replies BEGIN SELECT RAISE(ABORT, 'full'); END")
            with pytest.raises(Unavailable, match="full"):
                await writer.append(b"lost", b"lost too", reply=kept("lost"))
            other.execute("DROP TRIGGER no")
        await writer.append(b"after", reply=kept("after"))

    with_writer(path, work)
    assert payloads(path) == [b"before", b"after"]
    assert keys_in(path) == ["before", "after"]


def test_the_newest_reply_of_all_writers_within_the_window_is_found(tmp_path: Path) -> None:
    async def keep(writer: JournalWriter, *replies: KeptReply) -> None:
        for reply in replies:
            await writer.append(b"r", reply=reply)

    replies = KeptReplies(tmp_path)
    with_writer(
        tmp_path / "gateway-0.db",
        lambda writer: keep(writer, kept("a", 10 * HOUR), kept("c", 10 * HOUR)),
        now=10 * HOUR,
    )
    assert find(replies, "a", 0) == kept("a", 10 * HOUR)
    # A writer that comes later, with a file of its own.
    with_writer(
        tmp_path / "gateway-1.db",
        lambda writer: keep(writer, kept("a", 11 * HOUR), kept("b", 9 * HOUR), kept("c", 9 * HOUR)),
        now=9 * HOUR,
    )
    assert find(replies, "a", 0) == kept("a", 11 * HOUR)
    assert find(replies, "c", 0) == kept("c", 10 * HOUR)
    assert find(replies, "b", 9 * HOUR) == kept("b", 9 * HOUR)
    assert find(replies, "b", 9 * HOUR + 1) is None
    # A file that is made anew is another one.
    (tmp_path / "gateway-1.db").unlink()
    JournalWriter(tmp_path / "gateway-1.db").append_blocking(b"r")
    assert find(replies, "a", 0) == kept("a", 10 * HOUR)
    replies.close()


def test_any_number_of_keys_is_found_in_any_number_of_files(tmp_path: Path) -> None:
    names = [f"{number}" for number in range(300)]

    async def keep(writer: JournalWriter) -> None:
        mine = names[int(writer.path.stem.removeprefix("gateway-")) :: 20]
        await asyncio.gather(*[writer.append(b"r", reply=kept(name)) for name in mine])

    for file in range(20):
        with_writer(tmp_path / f"gateway-{file}.db", keep)
    replies = KeptReplies(tmp_path)
    for count in (1, 2, 3, 64, 65, 300):
        asked = [kept(name).key for name in names[:count]]
        absent = [kept(f"no {number}").key for number in range(count)]
        assert replies.find([*absent, *asked], 0) == {kept(name).key: kept(name) for name in names[:count]}
    replies.close()


def test_a_key_that_is_used_again_has_its_newest_reply(tmp_path: Path) -> None:
    async def work(writer: JournalWriter) -> None:
        await writer.append(b"r", reply=kept("a", HOUR, b"old"))
        await writer.append(b"r", reply=kept("a", 2 * HOUR, b"new"))

    with_writer(tmp_path / "gateway-0.db", work, now=2 * HOUR, reply_seconds=7200)
    replies = KeptReplies(tmp_path)
    assert find(replies, "a", 0) == kept("a", 2 * HOUR, b"new")
    replies.close()


def test_old_replies_go_and_young_ones_stay_also_when_nothing_is_appended(tmp_path: Path) -> None:
    path = tmp_path / "gateway-0.db"
    now = [HOUR]

    async def run() -> None:
        writer = JournalWriter(path, nanoseconds=lambda: now[0], reply_seconds=60)
        writer.start(asyncio.get_running_loop())
        await asyncio.gather(*[writer.append(b"r", reply=kept(f"old{n}", HOUR)) for n in range(700)])
        now[0] += 30 * 10**9
        await writer.append(b"r", reply=kept("young", now[0]))
        await asyncio.sleep(0.3)
        assert len(keys_in(path)) == 701
        now[0] += 31 * 10**9
        await until(lambda: keys_in(path) == ["young"])
        now[0] += 60 * 10**9
        await until(lambda: keys_in(path) == [])
        await asyncio.get_running_loop().run_in_executor(None, writer.close)

    asyncio.run(run())
    # What belongs to readers of records is not touched.
    assert len(payloads(path)) == 701


def test_the_oldest_go_where_there_are_too_many_bytes_also_after_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "gateway-0.db"

    async def fill(writer: JournalWriter, numbers: range, left: int) -> None:
        for number in numbers:
            await writer.append(b"r", reply=kept(f"{number:03}", reply=bytes(10_000)))
        await until(lambda: len(keys_in(path)) == left)
        await asyncio.sleep(0.3)
        # Nine fit into 95,000 bytes, with what each takes beside its own.
        assert keys_in(path) == [f"{number:03}" for number in range(numbers.stop - left, numbers.stop)]

    with_writer(path, lambda writer: fill(writer, range(30), 9), reply_bytes=95_000)
    with_writer(path, lambda writer: fill(writer, range(30, 34), 9), reply_bytes=95_000)
    # A limit that was lowered holds for what is there already.
    with_writer(path, lambda writer: fill(writer, range(34, 35), 4), reply_bytes=45_000)


def test_waiting_replies_count_as_waiting_bytes(tmp_path: Path) -> None:
    async def work(writer: JournalWriter) -> None:
        for _ in range(20):
            await writer.append(b"r", reply=kept("a", reply=bytes(900)))
        assert writer._bytes_in == writer._bytes_out == 20 * 901

    with_writer(tmp_path / "gateway-0.db", work)


def test_a_file_from_before_there_were_replies_opens_and_keeps_them(tmp_path: Path) -> None:
    path, other = tmp_path / "gateway-0.db", tmp_path / "gateway-7.db"
    for file in (path, other):
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.executescript(SCHEMA_BEFORE)

    async def work(writer: JournalWriter) -> None:
        assert writer.journal_id == "the-one-from-before"
        await writer.append(b"new", reply=kept("a"))

    with_writer(path, work)
    assert payloads(path) == [b"old", b"new"]
    # Nobody writes the other one any more, so it stays as it was.
    replies = KeptReplies(tmp_path)
    assert find(replies, "a", 0) == kept("a")
    with Journal(other) as journal:
        assert [payload for _, payload in journal.read().rows] == [b"old"]

    # Until somebody does, which those who have it open notice.
    async def keep(writer: JournalWriter) -> None:
        await writer.append(b"new", reply=kept("b"))
        assert find(replies, "b", 0) == kept("b")

    with_writer(other, keep)
    replies.close()


def test_trimming_records_leaves_replies_alone(tmp_path: Path) -> None:
    path = tmp_path / "gateway-0.db"

    async def work(writer: JournalWriter) -> None:
        await writer.append(b"r", reply=kept("a"))

    with_writer(path, work)
    with Journal(path) as journal:
        journal.trim(journal.journal_id, 1)
    assert payloads(path) == []
    assert keys_in(path) == ["a"]


def test_a_journal_that_cannot_be_read_is_said_since_nobody_knows_what_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "gateway-0.db").write_bytes(b"no database" * 1000)
    replies = KeptReplies(tmp_path)
    with pytest.raises(Unavailable, match="cannot be read"):
        replies.find([b"k" * 16], 0)
