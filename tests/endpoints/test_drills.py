"""Fire drills with versions that fail, hang and come back on purpose."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from tsavo.endpoints import LoadedVersion, VersionShelf
from tsavo.endpoints.answers import Answer
from tsavo.endpoints.drills import DrillBook
from tsavo.vocabulary import (
    Batch,
    Condition,
    ConstantFallback,
    Damaged,
    Drill,
    Field,
    Limits,
    Lineage,
    Output,
    Plug,
    Route,
    Rule,
    RulesFallback,
    Signature,
    StepTried,
    TsavoError,
    Version,
    VersionFallback,
    VersionRef,
    WorkerDrill,
)

SIGNATURE = Signature(
    (Field("x", "float64"), Field("y", "float64")), (Output("value", "float64"),), "regression"
)
NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
ONE, TWO, THREE = (VersionRef("m", number) for number in (1, 2, 3))
BATCH = Batch(2, np.array([[1.0, 2.0], [3.0, 4.0]]))
DRILL = Drill("first", 10, NOW + timedelta(seconds=60), "ada", NOW)
RULES = RulesFallback((Rule((Condition("x", below=2),), {"value": 0.0}),), {"value": 10.0})
CHAIN = (VersionFallback(TWO), RULES, ConstantFallback({"value": 5.0}))


class Times:
    """Answers with the sum of a row, times a factor; does what `behave` says first."""

    def __init__(self, factor: float, behave: Callable[[], Any] = lambda: None) -> None:
        self.signature = SIGNATURE
        self.factor = factor
        self.behave = behave
        self.asked = 0

    def predict(self, batch: Batch) -> tuple[npt.NDArray[Any], ...]:
        self.asked += 1
        self.behave()
        assert batch.matrix is not None
        return (batch.matrix.sum(axis=1) * self.factor,)


class World:
    """A book of drills whose versions and clock are what the test says."""

    def __init__(
        self, folder: Path, versions: dict[VersionRef, Times | TsavoError], worker: str = "0"
    ) -> None:
        self.versions = versions
        self.now = NOW
        self.threads = ThreadPoolExecutor(4)
        self.file = folder / "drills" / "e" / f"{worker}.json"
        self.shelf = VersionShelf(self._load, self.threads)
        self.book = DrillBook(self.shelf, self._nanoseconds, folder / "drills", worker)

    def _nanoseconds(self) -> int:
        return int(self.now.timestamp()) * 10**9

    def _load(self, ref: VersionRef) -> LoadedVersion:
        lineage = Lineage("me", "f", "skops", "s" * 64, "none")
        version = Version(ref.model, ref.number, "d" * 64, str(ref), 1, "onnx", SIGNATURE, lineage, (), NOW)
        return LoadedVersion(version, self.versions[ref], max_rows=1000, threads=self.threads)

    def follow(self, **parts: Any) -> None:
        self.book.follow(Route("e", 1, ONE, **{"fallback": CHAIN, "drill": DRILL, **parts}))

    def offer(self, answered: float | None = 1.0, batch: Batch = BATCH) -> None:
        """What the data plane does after an answer."""
        drill = self.book.of("e")
        if drill is None:
            return
        answer = None
        if answered is not None:
            assert batch.matrix is not None
            outputs = (batch.matrix.sum(axis=1) * answered,)
            answer = Answer("id", "e", ONE, "champion", batch.rows, SIGNATURE, outputs, (), {})
        drill.offer(SIGNATURE, batch, answer)

    async def done(self, requests: int) -> WorkerDrill:
        """The running drill's findings, once so many requests were tried."""
        drill = self.book._running["e"]
        while drill.found.requests < requests:  # noqa: ASYNC110 -- nobody else waits for it
            await asyncio.sleep(0.001)
        return drill.found

    def written(self) -> WorkerDrill:
        return msgspec.json.decode(self.file.read_bytes(), type=WorkerDrill)


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


def boom() -> None:
    raise ArithmeticError("this row is too much for me")


def counted(step: StepTried) -> tuple[int, int, int, int]:
    return step.requests, step.rows, step.answered, step.failed


def test_every_step_is_tried_by_itself_and_measured_against_the_real_answer(tmp_path: Path) -> None:
    async def test() -> None:
        world = World(tmp_path, {ONE: Times(1.0), TWO: Times(2.0)})
        world.follow()
        for _ in range(3):
            world.offer()
        found = await world.done(3)
        assert (found.drill, found.requests, found.rows, found.skipped) == ("first", 3, 6, 0)
        champion, version, rules, constant = found.steps
        assert [step.what for step in found.steps] == ["m@1", "m@2", "rule table", "constant"]
        assert [step.step for step in found.steps] == [0, 1, 2, 3]
        assert all(counted(step) == (3, 6, 3, 0) for step in found.steps)
        assert all(len(step.latencies_us) == 3 for step in found.steps)
        # The rows were answered with 3 and 7.
        assert (champion.largest, champion.differences, champion.compared) == (0.0, 0.0, 6)
        assert (version.largest, version.differences) == (7.0, 30.0)
        assert (rules.largest, rules.differences) == (3.0, 18.0)
        assert (constant.largest, constant.differences) == (2.0, 12.0)
        await world.book.close()
        assert world.written() == found

    run(test)


def test_a_failing_step_is_counted_with_its_reasons_and_hides_no_other(tmp_path: Path) -> None:
    async def test() -> None:
        world = World(tmp_path, {ONE: Times(1.0, boom), TWO: Damaged("its file is gone")})
        world.follow(fallback=(VersionFallback(TWO), ConstantFallback({"value": 5.0})))
        world.offer()
        world.offer(answered=None)
        champion, version, constant = (await world.done(2)).steps
        assert counted(champion) == counted(version) == (2, 4, 0, 2)
        assert champion.reasons == {"ArithmeticError: this row is too much for me": 2}
        assert version.reasons == {"its file is gone": 2}
        # Where nobody was answered there is nothing to compare with.
        assert (counted(constant), constant.compared) == ((2, 4, 2, 0), 2)

    run(test)


def test_a_step_that_hangs_is_not_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def test() -> None:
        monkeypatch.setattr("tsavo.endpoints.drills._HANGS_SECONDS", 0.02)
        hold = threading.Event()
        hanging = Times(2.0, hold.wait)
        world = World(tmp_path, {ONE: Times(1.0), TWO: hanging})
        world.follow(limits=Limits(milliseconds=20))
        for _ in range(3):
            world.offer()
        found = await world.done(3)
        hold.set()
        assert (counted(found.steps[1]), found.steps[1].given_up, hanging.asked) == ((1, 2, 0, 1), True, 1)
        assert found.steps[1].reasons == {"no answer within 0.02 s": 1}
        assert counted(found.steps[3]) == (3, 6, 3, 0)

    run(test)


def test_a_step_slower_than_the_time_limit_fails_but_is_tried_again(tmp_path: Path) -> None:
    async def test() -> None:
        slow = Times(2.0, lambda: threading.Event().wait(0.05))
        world = World(tmp_path, {ONE: Times(1.0), TWO: slow})
        world.follow(limits=Limits(milliseconds=10))
        world.offer()
        world.offer()
        found = await world.done(2)
        assert (counted(found.steps[1]), found.steps[1].given_up, slow.asked) == ((2, 4, 0, 2), False, 2)

    run(test)


def test_it_takes_so_many_requests_and_ends_in_time(tmp_path: Path) -> None:
    async def test() -> None:
        world = World(tmp_path, {ONE: Times(1.0), TWO: Times(2.0)})
        world.follow()
        for _ in range(15):
            world.offer()
        assert world.book.of("e") is None
        assert (await world.done(10)).requests == 10
        world.follow(drill=msgspec.structs.replace(DRILL, id="second"))
        world.offer()
        await world.done(1)
        world.now += timedelta(seconds=61)
        assert world.book.of("e") is None
        # A worker that starts now does not begin a drill of the past.
        later = World(tmp_path, {}, worker="1")
        later.now = world.now
        later.follow()
        assert later.book.of("e") is None

    run(test)


def test_what_comes_too_fast_is_left_out_and_counted(tmp_path: Path) -> None:
    async def test() -> None:
        world = World(tmp_path, {ONE: Times(1.0), TWO: Times(2.0)})
        world.follow(drill=msgspec.structs.replace(DRILL, requests=1000))
        wide = Batch(9000, np.zeros((9000, 2)))
        for _ in range(5):
            world.offer(batch=wide)
        assert (await world.done(2)).skipped == 3
        for _ in range(100):
            world.offer()
        found = await world.done(2 + 64)
        assert (found.requests, found.skipped) == (66, 3 + 36)
        # Once the line is empty there is room again.
        for _ in range(2):
            world.offer(batch=wide)
        assert (await world.done(68)).skipped == 3 + 36

    run(test)


def test_a_change_of_the_chain_ends_the_drill_and_other_changes_do_not(tmp_path: Path) -> None:
    async def test() -> None:
        world = World(tmp_path, {ONE: Times(1.0), TWO: Times(2.0)})
        world.follow()
        world.offer()
        await world.done(1)
        world.follow(limits=Limits(concurrent=5), why="another limit")
        world.offer()
        assert (await world.done(2)).requests == 2
        world.follow(fallback=CHAIN[:1])
        world.offer()
        found = await world.done(1)
        assert (found.requests, len(found.steps)) == (1, 2)
        world.follow(drill=None)
        assert world.book.of("e") is None

    run(test)


def test_a_champion_whose_plug_is_pulled_is_not_asked(tmp_path: Path) -> None:
    async def test() -> None:
        champion = Times(1.0)
        world = World(tmp_path, {ONE: champion, TWO: Times(2.0)})
        world.follow(plug=Plug("ada", NOW))
        world.offer(answered=2.0)
        found = await world.done(1)
        assert ([step.step for step in found.steps], champion.asked) == ([1, 2, 3], 0)
        assert found.steps[0].largest == 0.0

    run(test)


def test_closing_waits_for_no_step_and_leaves_what_was_found(tmp_path: Path) -> None:
    async def test() -> None:
        hold = threading.Event()
        world = World(tmp_path, {ONE: Times(1.0), TWO: Times(2.0)})
        world.follow()
        world.offer()
        await world.done(1)
        world.versions[TWO] = Times(2.0, hold.wait)
        world.shelf.forget([TWO])
        world.offer()
        await asyncio.sleep(0.01)
        await asyncio.wait_for(world.book.close(), timeout=30)
        hold.set()
        assert world.written().requests == 1
        assert world.book.of("e") is None

    run(test)


def test_a_report_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    async def test() -> None:
        (tmp_path / "drills").write_text("not a folder")
        world = World(tmp_path, {ONE: Times(1.0), TWO: Times(2.0)})
        world.follow()
        world.offer()
        assert (await world.done(1)).requests == 1
        await world.book.close()

    run(test)
