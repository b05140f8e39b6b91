"""The data plane with a real journal, and models that fail, hang and vanish on purpose."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tsavo.endpoints import DataPlane, InputTensor, LoadedVersion, VersionShelf, project
from tsavo.endpoints.origins import Origin
from tsavo.journal import Journal, JournalWriter
from tsavo.storage import IdSource, SystemClock
from tsavo.vocabulary import (
    Batch,
    Challenger,
    ConstantFallback,
    Damaged,
    DecisionRecord,
    Field,
    Invalid,
    Lineage,
    NotFound,
    Output,
    Plug,
    Route,
    Signature,
    TsavoError,
    Unavailable,
    Version,
    VersionFallback,
    VersionRef,
    decode_record,
)

SIGNATURE = Signature(
    (Field("x", "float64"), Field("y", "float64")), (Output("value", "float64"),), "regression"
)
NOW = datetime(2026, 1, 1, tzinfo=UTC)
ONE, TWO, THREE = (VersionRef("m", number) for number in (1, 2, 3))
ROWS = [InputTensor("m", (2, 2), [1.0, 2.0, 3.0, 4.0])]


class Times:
    """Answers with the sum of a row, times a factor; or does whatever `behave` does first."""

    def __init__(self, factor: float, behave: Callable[[], None] = lambda: None) -> None:
        self.signature = SIGNATURE
        self.factor = factor
        self.behave = behave

    def predict(self, batch: Batch) -> tuple[npt.NDArray[Any], ...]:
        self.behave()
        assert batch.matrix is not None
        return (batch.matrix.sum(axis=1) * self.factor,)


class World:
    """A data plane whose versions are what the test says."""

    def __init__(self, folder: Path, versions: dict[VersionRef, Times | TsavoError]) -> None:
        self.versions = versions
        self.loads: list[VersionRef] = []
        self.threads = ThreadPoolExecutor(4)
        self.shelf = VersionShelf(self._load, self.threads)
        self.journal = JournalWriter(folder / "gateway-0.db")
        self.journal.start(asyncio.get_running_loop())
        clock = SystemClock()
        self.plane = DataPlane(self.shelf, self.journal, IdSource(clock).new, clock.nanoseconds)

    def _load(self, ref: VersionRef) -> LoadedVersion:
        self.loads.append(ref)
        time.sleep(0.02)
        version = Version(
            ref.model,
            ref.number,
            "d" * 64,
            "a" * 64,
            1,
            "onnx",
            SIGNATURE,
            Lineage("me", "f", "skops", "s" * 64, "none"),
            (),
            NOW,
        )
        return LoadedVersion(version, self.versions[ref], max_rows=1000, threads=self.threads)

    def route(self, **parts: Any) -> None:
        present = parts.pop("revision", 1)
        self.plane.apply([Route("e", present, ONE, **parts)])

    async def records(self) -> list[DecisionRecord]:
        """What the journal has, after everything was finished."""
        await self.plane.close()
        await asyncio.get_running_loop().run_in_executor(None, self.journal.close)
        with Journal(self.journal.path) as journal:
            decoded = [decode_record(payload) for _, payload in journal.read().rows]
        return [record for record in decoded if isinstance(record, DecisionRecord)]


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


def boom() -> None:
    raise ArithmeticError("this row is too much for me")


def test_an_answer_is_recorded_as_it_was_given(tmp_path: Path) -> None:
    async def test() -> None:
        world = World(tmp_path, {ONE: Times(1.0)})
        world.route()
        answer = await world.plane.infer("e", ROWS, origin=Origin("me"))
        assert answer.outputs[0].tolist() == [3.0, 7.0]
        assert (answer.role, answer.flags) == ("champion", ())
        (record,) = await world.records()
        assert (record.request, record.rows, record.role, record.version) == (
            answer.request,
            2,
            "champion",
            1,
        )
        assert record.caller == "me"
        assert record.inputs[0].array().tolist() == [[1.0, 2.0], [3.0, 4.0]]
        assert record.outputs[0].array().tolist() == [3.0, 7.0]

    run(test)


def test_a_refused_request_is_not_recorded(tmp_path: Path) -> None:
    async def test() -> None:
        world = World(tmp_path, {ONE: Times(1.0)})
        world.route()
        with pytest.raises(NotFound):
            await world.plane.infer("other", ROWS)
        with pytest.raises(Invalid):
            await world.plane.infer("e", [InputTensor("m", (1, 2), [1.0, "x"])])
        with pytest.raises(Invalid, match="no such output"):
            await world.plane.infer("e", ROWS, wanted=["nothing"])
        assert await world.records() == []

    run(test)


def test_no_answer_without_a_record(tmp_path: Path) -> None:
    async def test() -> None:
        world = World(tmp_path, {ONE: Times(1.0)})
        world.route()
        await world.plane.infer("e", ROWS)
        await asyncio.get_running_loop().run_in_executor(None, world.journal.close)
        with pytest.raises(Unavailable):
            await world.plane.infer("e", ROWS)

    run(test)


def test_a_failing_champion_falls_back_along_the_chain_and_says_so(tmp_path: Path) -> None:
    async def test() -> None:
        world = World(tmp_path, {ONE: Times(1.0, boom), TWO: Damaged("its file is gone"), THREE: Times(10.0)})
        world.route(fallback=(VersionFallback(TWO), VersionFallback(THREE), ConstantFallback({"value": 0.5})))
        answer = await world.plane.infer("e", ROWS)
        assert answer.outputs[0].tolist() == [30.0, 70.0]
        assert (answer.version, answer.role, answer.flags) == (THREE, "fallback", ("fallback:error",))
        (record,) = await world.records()
        assert (record.version, record.role, record.flags) == (3, "fallback", ("fallback:error",))

    run(test)


def test_a_constant_answers_every_row(tmp_path: Path) -> None:
    async def test() -> None:
        world = World(tmp_path, {ONE: Damaged("its file is gone")})
        world.route(fallback=(ConstantFallback({"value": 0.5}),))
        answer = await world.plane.infer("e", ROWS)
        assert answer.outputs[0].tolist() == [0.5, 0.5]
        assert answer.flags == ("fallback:error", "constant")

    run(test)


def test_where_nothing_can_answer_the_reason_is_said(tmp_path: Path) -> None:
    async def test() -> None:
        world = World(tmp_path, {ONE: Damaged("its file is gone")})
        world.route()
        with pytest.raises(Unavailable, match="its file is gone"):
            await world.plane.infer("e", ROWS)
        world.route(revision=2, plug=Plug("me", NOW, "drill"))
        with pytest.raises(Unavailable, match="plug") as caught:
            await world.plane.infer("e", ROWS)
        assert "--off" in str(caught.value.next_step)
        assert await world.records() == []

    run(test)


def test_an_older_route_never_replaces_a_newer_one(tmp_path: Path) -> None:
    async def test() -> None:
        world = World(tmp_path, {ONE: Times(1.0)})
        world.route(revision=5, plug=Plug("me", NOW))
        world.route(revision=4)
        assert world.plane.route("e").plug is not None

    run(test)


def test_many_requests_at_once_load_a_version_once(tmp_path: Path) -> None:
    async def test() -> None:
        world = World(tmp_path, {ONE: Times(1.0)})
        world.route()
        answers = await asyncio.gather(*(world.plane.infer("e", ROWS) for _ in range(50)))
        assert len({answer.request for answer in answers}) == 50
        assert world.loads == [ONE]
        assert len(await world.records()) == 50

    run(test)


def test_a_slow_model_does_not_keep_others_waiting(tmp_path: Path) -> None:
    async def test() -> None:
        hold = threading.Event()
        world = World(tmp_path, {ONE: Times(1.0, hold.wait), TWO: Times(2.0)})  # type: ignore[arg-type]
        world.route()
        world.plane.apply([Route("quick", 2, TWO)])
        slow = asyncio.ensure_future(world.plane.infer("e", ROWS))
        for _ in range(20):
            await asyncio.wait_for(world.plane.infer("quick", ROWS), 30)
        assert not slow.done()
        hold.set()
        assert (await slow).outputs[0].tolist() == [3.0, 7.0]

    run(test)


def test_a_shadow_scores_the_same_rows_and_cannot_break_the_answer(tmp_path: Path) -> None:
    async def test() -> None:
        world = World(tmp_path, {ONE: Times(1.0), TWO: Times(2.0), THREE: Times(3.0, boom)})
        world.route(challengers=(Challenger(TWO), Challenger(THREE)))
        answers = [await world.plane.infer("e", ROWS) for _ in range(5)]
        records = await world.records()
        assert world.plane.shadows_skipped == 5
        champions = {record.request for record in records if record.role == "champion"}
        shadows = [record for record in records if record.role == "shadow"]
        assert champions == {answer.request for answer in answers} == {record.request for record in shadows}
        assert {record.version for record in shadows} == {2}
        assert shadows[0].outputs[0].array().tolist() == [6.0, 14.0]

    run(test)


def test_shadows_that_cannot_keep_up_are_skipped_and_counted(tmp_path: Path) -> None:
    async def test() -> None:
        hold = threading.Event()
        world = World(tmp_path, {ONE: Times(1.0), TWO: Times(2.0, hold.wait)})  # type: ignore[arg-type]
        world.route(challengers=(Challenger(TWO),))
        many = [InputTensor("m", (1000, 2), np.zeros(2000).tolist())]
        for _ in range(150):
            await world.plane.infer("e", many)
        assert world.plane.shadows_skipped >= 40
        hold.set()
        roles = [record.role for record in await world.records()]
        assert roles.count("champion") == 150
        assert roles.count("shadow") == 150 - world.plane.shadows_skipped

    run(test)


def test_a_failed_load_is_tried_again_and_unused_versions_are_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test() -> None:
        world = World(tmp_path, {ONE: Damaged("its file is gone"), TWO: Times(2.0)})
        world.route()
        with pytest.raises(Unavailable):
            await world.plane.infer("e", ROWS)
        world.versions[ONE] = Times(1.0)
        monkeypatch.setattr("tsavo.endpoints.shelf._RETRY_SECONDS", 0.0)
        assert (await world.plane.infer("e", ROWS)).role == "champion"
        world.plane.apply([Route("e", 2, TWO)])
        world.plane.forget_unused()
        assert world.shelf.ready(ONE) is None

    run(test)


def test_a_pinned_version_answers_and_nothing_falls_back_for_it(tmp_path: Path) -> None:
    async def test() -> None:
        world = World(tmp_path, {ONE: Times(1.0), TWO: Times(2.0), THREE: Times(3.0, boom)})
        world.route(challengers=(Challenger(TWO),), fallback=(VersionFallback(THREE),))
        answer = await world.plane.infer("e", ROWS, pin=2)
        assert (answer.version, answer.role, answer.outputs[0].tolist()) == (TWO, "pinned", [6.0, 14.0])
        with pytest.raises(Unavailable, match="m@3 cannot answer"):
            await world.plane.infer("e", ROWS, pin=3)
        with pytest.raises(NotFound) as caught:
            await world.plane.infer("e", ROWS, pin=4)
        assert "m@1" in str(caught.value)
        # No shadow looks over its shoulder, and it is recorded as what it was.
        assert [(record.role, record.version) for record in await world.records()] == [("pinned", 2)]

    run(test)


def test_a_pulled_plug_holds_for_the_pinned_champion_too(tmp_path: Path) -> None:
    async def test() -> None:
        world = World(tmp_path, {ONE: Times(1.0), TWO: Times(2.0)})
        world.route(challengers=(Challenger(TWO),), plug=Plug("ada", NOW))
        with pytest.raises(Unavailable, match="plug"):
            await world.plane.infer("e", ROWS, pin=1)
        assert (await world.plane.infer("e", ROWS, pin=2)).version == TWO
        assert len(await world.records()) == 1

    run(test)


def test_a_version_that_a_coming_route_names_is_kept(tmp_path: Path) -> None:
    async def test() -> None:
        world = World(tmp_path, {ONE: Times(1.0), TWO: Times(2.0)})
        world.route()
        await world.plane.infer("e", ROWS)
        await world.shelf.get(TWO)
        coming = Route("e", 2, TWO)
        world.plane.announce([coming])
        world.plane.forget_unused()
        assert world.shelf.ready(TWO) is not None
        world.plane.apply([coming])
        world.plane.forget_unused()
        assert (world.shelf.ready(ONE), world.shelf.ready(TWO) is not None) == (None, True)
        # Another endpoint that goes on naming a version keeps it.
        world.plane.apply([Route("f", 3, TWO)])
        world.plane.apply([Route("e", 4, ONE)])
        world.plane.forget_unused()
        assert world.shelf.ready(TWO) is not None

    run(test)


def test_rows_are_projected_by_name_and_type() -> None:
    given = Signature(
        (Field("n", "int64"), Field("s", "string"), Field("x", "float64")), SIGNATURE.outputs, "regression"
    )
    wanted = Signature((Field("x", "float64"), Field("n", "float64")), SIGNATURE.outputs, "regression")
    strings = np.array(["a", "b"], dtype=object)
    batch = Batch(2, None, (np.array([1, 2]), strings, np.array([0.5, 1.5])))
    projected = project(batch, given, wanted)
    assert projected.matrix is not None
    assert projected.matrix.tolist() == [[0.5, 1.0], [1.5, 2.0]]
    back = project(projected, wanted, Signature((Field("n", "float64"),), SIGNATURE.outputs, "regression"))
    assert back.matrix is not None
    assert back.matrix.tolist() == [[1.0], [2.0]]
    assert project(batch, given, given) is batch
