"""A key is worked on once at a time and answered once, whoever asks, and however the first one ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from tsavo.endpoints.retries import Keeping, Replayed, Retries, check_key, digest_of
from tsavo.journal import JournalWriter, KeptReplies, Reservations
from tsavo.storage import SystemClock
from tsavo.vocabulary import Conflict, Invalid, Unavailable, Unreadable

SAME, OTHER = b"s" * 16, b"o" * 16


class Worker:
    """A gateway worker as far as keys go: its journal, and how often it decided."""

    def __init__(self, folder: Path, wait_seconds: float = 10.0, seconds: float = 60.0) -> None:
        clock = SystemClock()
        self.journal = JournalWriter(folder / "gateway-0.db")
        self.journal.start(asyncio.get_running_loop())
        self.reservations = Reservations(folder / "reserved")
        self.retries = Retries(
            KeptReplies(folder),
            self.reservations,
            clock.nanoseconds,
            seconds=seconds,
            wait_seconds=wait_seconds,
        )
        self.decided = 0
        self.go = asyncio.Event()
        self.go.set()

    async def decide(self, keeping: Keeping) -> bytes:
        """Decide, when `go` is set, and keep the answer."""
        await self.go.wait()
        self.decided += 1
        answer = b"answer %d" % self.decided
        await self.journal.append(b"decision", reply=keeping.keep(answer))
        return answer

    async def fail(self, keeping: Keeping) -> bytes:
        """Fail, when `go` is set."""
        await self.go.wait()
        self.decided += 1
        raise Unavailable("not now")

    async def once(self, act: Any = None, digest: bytes = SAME, key: str = "k", **who: str) -> Any:
        return await self.retries.once(
            who.get("endpoint", "e"), who.get("caller", ""), key, digest, act or self.decide
        )

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(None, self.journal.close)
        self.retries.close()
        self.reservations.close()


def with_worker(folder: Path, test: Callable[[Worker], Coroutine[Any, Any, None]], **options: float) -> None:
    async def run() -> None:
        worker = Worker(folder, **options)
        try:
            await test(worker)
        finally:
            await worker.close()

    asyncio.run(run())


def test_the_second_request_is_given_what_the_first_got(tmp_path: Path) -> None:
    async def test(worker: Worker) -> None:
        assert await worker.once() == b"answer 1"
        assert await worker.once() == Replayed(b"answer 1")
        assert await worker.once(key="another") == b"answer 2"
        assert await worker.once(endpoint="another") == b"answer 3"
        assert await worker.once(caller="another") == b"answer 4"
        assert await worker.once() == Replayed(b"answer 1")

    with_worker(tmp_path, test)


def test_another_request_with_the_key_is_refused_and_names_the_header(tmp_path: Path) -> None:
    async def test(worker: Worker) -> None:
        worker.go.clear()
        first = asyncio.create_task(worker.once())
        await asyncio.sleep(0.01)
        beside = asyncio.create_task(worker.once(digest=OTHER))
        worker.go.set()
        with pytest.raises(Invalid) as refused:
            await beside
        assert refused.value.field == "Idempotency-Key"
        assert await first == b"answer 1"
        with pytest.raises(Invalid):
            await worker.once(digest=OTHER)
        assert worker.decided == 1

    with_worker(tmp_path, test)


def test_who_asks_at_the_same_moment_waits_and_is_given_the_same(tmp_path: Path) -> None:
    async def test(worker: Worker) -> None:
        worker.go.clear()
        asking = [asyncio.create_task(worker.once()) for _ in range(50)]
        await asyncio.sleep(0.02)
        worker.go.set()
        answers = await asyncio.gather(*asking)
        assert answers == [b"answer 1"] + [Replayed(b"answer 1")] * 49
        assert worker.decided == 1

    with_worker(tmp_path, test)


def test_a_failure_is_not_kept_and_those_who_waited_try_one_after_the_other(tmp_path: Path) -> None:
    async def test(worker: Worker) -> None:
        worker.go.clear()
        first = asyncio.create_task(worker.once(worker.fail))
        await asyncio.sleep(0)
        others = [asyncio.create_task(worker.once()) for _ in range(5)]
        await asyncio.sleep(0.02)
        worker.go.set()
        with pytest.raises(Unavailable):
            await first
        answers = await asyncio.gather(*others)
        assert sorted(answers, key=str) == sorted([b"answer 2"] + [Replayed(b"answer 2")] * 4, key=str)
        assert worker.decided == 2
        with pytest.raises(Unavailable):
            await worker.once(worker.fail, key="else")
        assert await worker.once(key="else") == b"answer 4"

    with_worker(tmp_path, test)


def test_who_waited_for_an_answer_that_could_not_be_recorded_is_not_given_it(tmp_path: Path) -> None:
    async def test(worker: Worker) -> None:
        async def lose(keeping: Keeping) -> bytes:
            await worker.go.wait()
            keeping.keep(b"lost")
            raise Unavailable("the disk is full")

        worker.go.clear()
        first = asyncio.create_task(worker.once(lose))
        await asyncio.sleep(0)
        other = asyncio.create_task(worker.once())
        await asyncio.sleep(0.02)
        worker.go.set()
        with pytest.raises(Unavailable):
            await first
        assert await other == b"answer 1"

    with_worker(tmp_path, test)


def test_when_a_journal_cannot_be_read_all_who_asked_are_told_and_may_ask_again(tmp_path: Path) -> None:
    async def test(worker: Worker) -> None:
        stranger = tmp_path / "gateway-9.db"
        stranger.write_bytes(b"no database" * 1000)
        asking = [worker.once(key=f"{number}") for number in range(5)]
        told = await asyncio.gather(*asking, return_exceptions=True)
        assert [type(error) for error in told] == [Unavailable] * 5
        assert worker.decided == 0
        stranger.unlink()
        assert await worker.once(key="1") == b"answer 1"

    with_worker(tmp_path, test)


def test_what_was_not_kept_is_done_again(tmp_path: Path) -> None:
    async def look(keeping: Keeping) -> bytes:
        return b"looked"

    async def test(worker: Worker) -> None:
        assert [await worker.once(look) for _ in range(2)] == [b"looked", b"looked"]
        # Nor does it stand in the way of another request.
        assert await worker.once(digest=OTHER) == b"answer 1"

    with_worker(tmp_path, test)


def test_a_decision_that_could_not_be_recorded_frees_the_key(tmp_path: Path) -> None:
    async def test(worker: Worker) -> None:
        await asyncio.get_running_loop().run_in_executor(None, worker.journal.close)
        with pytest.raises(Unavailable):
            await worker.once()
        worker.journal.start(asyncio.get_running_loop())
        assert await worker.once() == b"answer 2"

    with_worker(tmp_path, test)


def test_a_caller_that_goes_away_does_not_undo_what_was_begun(tmp_path: Path) -> None:
    async def test(worker: Worker) -> None:
        worker.go.clear()
        first = asyncio.create_task(worker.once())
        await asyncio.sleep(0.02)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        again = asyncio.create_task(worker.once())
        await asyncio.sleep(0.02)
        worker.go.set()
        assert await again == Replayed(b"answer 1")
        assert worker.decided == 1

    with_worker(tmp_path, test)


def test_waiting_has_an_end_and_says_when_to_come_again(tmp_path: Path) -> None:
    async def test(worker: Worker) -> None:
        worker.go.clear()
        first = asyncio.create_task(worker.once())
        await asyncio.sleep(0.01)
        with pytest.raises(Conflict) as refused:
            await worker.once()
        assert refused.value.retry_after
        assert refused.value.field == "Idempotency-Key"
        worker.go.set()
        assert await first == b"answer 1"
        assert await worker.once() == Replayed(b"answer 1")

    with_worker(tmp_path, test, wait_seconds=0.05)


def test_an_answer_is_given_again_within_the_window_only(tmp_path: Path) -> None:
    async def test(worker: Worker) -> None:
        assert await worker.once() == b"answer 1"
        assert await worker.once() == Replayed(b"answer 1")
        await asyncio.sleep(0.5)
        # Then the key may be used for anything.
        assert await worker.once(digest=OTHER) == b"answer 2"
        assert await worker.once(digest=OTHER) == Replayed(b"answer 2")

    with_worker(tmp_path, test, seconds=0.4)


@pytest.mark.parametrize("key", ["a", "!" * 255, '"8e03978e-40d5-43dd-bc93-6894a57f9324"', "~"])
def test_a_key_is_visible_ascii(key: str) -> None:
    assert check_key(key) == key


@pytest.mark.parametrize("key", ["", "a" * 256, "a b", "a\tb", "é", "\x7f", "a\n"])
def test_what_is_no_key_is_refused_and_nothing_is_decided(tmp_path: Path, key: str) -> None:
    async def test(worker: Worker) -> None:
        with pytest.raises(Unreadable) as refused:
            await worker.once(key=key)
        assert refused.value.field == "Idempotency-Key"
        assert worker.decided == 0

    with_worker(tmp_path, test)


def test_the_digest_depends_on_where_parts_end_and_not_on_where_it_is_made() -> None:
    async def test() -> None:
        assert await digest_of(b"ab", b"c") != await digest_of(b"a", b"bc")
        assert await digest_of(b"a", b"") != await digest_of(b"a")
        large = bytes(1 << 20)
        assert await digest_of(large) == await digest_of(large)
        assert await digest_of(large) != await digest_of(large + b"\0")

    asyncio.run(test())
