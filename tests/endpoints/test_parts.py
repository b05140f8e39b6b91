"""Requests whose rows are answered by several versions: shares of traffic, families, time limits, room for others."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.endpoints.test_serving import NOW, ONE, ROWS, THREE, TWO, Times, World, boom
from tsavo.endpoints import InputTensor
from tsavo.endpoints.origins import Origin
from tsavo.endpoints.splitting import assign, key_of
from tsavo.vocabulary import (
    Challenger,
    ConstantFallback,
    Damaged,
    Invalid,
    Limits,
    Member,
    Overloaded,
    Plug,
    Route,
    Segments,
    Split,
    Unavailable,
    VersionFallback,
    VersionRef,
)

FACTORS = {ONE: 1.0, TWO: 2.0, THREE: 3.0}
MATRIX = InputTensor("m", (4, 2), [1.0, 0.0, 2.0, 0.0, 3.0, 0.0, 4.0, 0.0])


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


def healthy() -> dict[VersionRef, Any]:
    return {ref: Times(factor) for ref, factor in FACTORS.items()}


def key(*values: Any, name: str = "region") -> InputTensor:
    return InputTensor(name, (len(values),), list(values))


def member(segment: str, version: VersionRef | None, revision: int = 10, **parts: Any) -> Member:
    return Member("e", segment, version, revision, **parts)


def test_a_share_is_answered_by_the_challenger_and_can_be_worked_out_again(tmp_path: Path) -> None:
    async def test() -> None:
        world = World(tmp_path, healthy())
        world.route(challengers=(Challenger(TWO, "share", 0.3),), split=Split("request", 7))
        answers = [await world.plane.infer("e", ROWS) for _ in range(400)]
        roles = Counter(answer.role for answer in answers)
        assert 80 < roles["challenger"] < 160
        for answer in answers:
            taken = assign(7, answer.request, [0.3])
            assert answer.version == (TWO if taken == 0 else ONE)
            assert answer.outputs[0].tolist() == [
                3.0 * FACTORS[answer.version],
                7.0 * FACTORS[answer.version],
            ]
        records = {record.request: record for record in await world.records()}
        assert all(records[answer.request].role == answer.role for answer in answers)
        assert all(records[answer.request].version == answer.version.number for answer in answers)

    run(test)


@pytest.mark.parametrize("by", ["key", "caller"])
def test_equal_keys_get_the_same_version(tmp_path: Path, by: str) -> None:
    async def test() -> None:
        world = World(tmp_path, healthy())
        world.route(challengers=(Challenger(TWO, "share", 0.5),), split=Split(by, 3))
        chosen: dict[str, set[VersionRef]] = {}
        for turn in range(3):
            for name in map(str, range(40)):
                answer = await world.plane.infer(
                    "e", ROWS, key=name if by == "key" else "", origin=Origin(name if by == "caller" else "")
                )
                chosen.setdefault(name, set()).add(answer.version)
            world.route(revision=turn + 2, challengers=(Challenger(TWO, "share", 0.5),), split=Split(by, 3))
        assert all(len(versions) == 1 for versions in chosen.values())
        assert set().union(*chosen.values()) == {ONE, TWO}
        # Nobody is bound to one version for having no key.
        assert len({(await world.plane.infer("e", ROWS)).version for _ in range(40)}) == 2

    run(test)


def test_rows_are_divided_by_a_column_and_come_back_in_their_order(tmp_path: Path) -> None:
    async def test() -> None:
        world = World(tmp_path, healthy())
        world.route(challengers=(Challenger(TWO, "share", 0.5),), split=Split("column:x", 1))
        values = np.arange(40, dtype=np.float64)
        rows = InputTensor("m", (40, 2), np.stack([values, np.ones(40)], axis=1))
        answer = await world.plane.infer("e", [rows])
        expected = [TWO if assign(1, key_of(value), [0.5]) == 0 else ONE for value in values.tolist()]
        assert list(answer.row_versions) == expected
        assert list(answer.row_roles) == ["challenger" if ref == TWO else "champion" for ref in expected]
        assert answer.outputs[0].tolist() == [
            (value + 1) * FACTORS[ref] for value, ref in zip(values.tolist(), expected, strict=True)
        ]
        found: dict[int, tuple[int, float, float]] = {}
        for record in await world.records():
            inputs, outputs = record.inputs[0].array(), record.outputs[0].array()
            for at, number in enumerate(record.numbers):
                found[number] = (record.version, inputs[at, 0], outputs[at])
        assert [found[row] for row in range(40)] == [
            (ref.number, value, (value + 1) * FACTORS[ref])
            for value, ref in zip(values.tolist(), expected, strict=True)
        ]

    run(test)


def test_a_failing_challenger_is_stood_in_for_by_the_champion(tmp_path: Path) -> None:
    async def test() -> None:
        world = World(tmp_path, {ONE: Times(1.0), TWO: Times(2.0, boom)})
        world.route(challengers=(Challenger(TWO, "share", 1.0),))
        answer = await world.plane.infer("e", ROWS)
        assert (answer.version, answer.role, answer.flags) == (ONE, "fallback", ("fallback:error",))
        assert answer.outputs[0].tolist() == [3.0, 7.0]

    run(test)


def family(world: World, unseen: str = "parent", **parts: Any) -> None:
    world.route(segments=Segments("region", "string", unseen), **parts)  # type: ignore[arg-type]
    world.plane.apply([], [member("north", TWO), member("south", THREE, 11)])


def test_a_family_answers_each_row_by_its_segment(tmp_path: Path) -> None:
    async def test() -> None:
        world = World(tmp_path, healthy())
        family(world)
        answer = await world.plane.infer("e", [MATRIX, key("south", "north", "west", None)])
        assert answer.outputs[0].tolist() == [3.0, 4.0, 3.0, 4.0]
        assert answer.row_versions == (THREE, TWO, ONE, ONE)
        assert answer.row_flags == {2: ["segment:unseen"], 3: ["segment:unseen"]}
        assert (answer.role, answer.row_roles) == ("champion", ())
        records = await world.records()
        found = {
            (number, record.version, record.segment, record.flags)
            for record in records
            for number in record.numbers
        }
        assert found == {
            (0, 3, "south", ()),
            (1, 2, "north", ()),
            (2, 1, "west", ("segment:unseen",)),
            (3, 1, "", ("segment:unseen",)),
        }
        # The key is no input of the versions.
        assert {record.inputs[0].array().shape[1] for record in records} == {2}

    run(test)


def test_a_family_of_one_segment_in_a_request(tmp_path: Path) -> None:
    async def test() -> None:
        world = World(tmp_path, healthy())
        family(world)
        columns = [InputTensor("y", (1,), [1.0]), key("north"), InputTensor("x", (1,), [4.0])]
        answer = await world.plane.infer("e", columns)
        assert (answer.version, answer.outputs[0].tolist(), answer.row_versions) == (TWO, [10.0], ())
        (record,) = await world.records()
        assert (record.segment, record.row_numbers, record.version) == ("north", (), 2)
        spoken = await world.plane.spoken("e")
        assert [field.name for field in spoken.inputs] == ["x", "y", "region"]

    run(test)


def test_what_a_family_does_not_take(tmp_path: Path) -> None:
    async def test() -> None:
        world = World(tmp_path, healthy())
        family(world, "refuse")
        for tensors, reason in (
            ([MATRIX], "must be there once"),
            ([MATRIX, key("north", "north", "north", "north"), key("south")], "must be there once"),
            ([MATRIX, key("north")], "same number of rows"),
            ([MATRIX, key("north", "north", 3, "north")], "a wrong type in column 'region'"),
            ([MATRIX, key("north", "north", "west", "north")], "no version for this segment"),
        ):
            with pytest.raises(Invalid, match=reason):
                await world.plane.infer("e", tensors)
        assert await world.records() == []

    run(test)


def test_whole_numbers_choose_segments_by_their_digits(tmp_path: Path) -> None:
    async def test() -> None:
        world = World(tmp_path, healthy())
        world.route(segments=Segments("x", "int64"))
        world.plane.apply([], [member("1", TWO), member("3", THREE, 11)])
        # The key is an input of the versions, and a float among them.
        answer = await world.plane.infer("e", [MATRIX])
        assert answer.row_versions == (TWO, ONE, THREE, ONE)
        with pytest.raises(Invalid, match="wrong type"):
            await world.plane.infer("e", [InputTensor("m", (1, 2), [0.5, 1.0])])

    run(test)


def test_members_come_and_go_and_are_forgotten(tmp_path: Path) -> None:
    async def test() -> None:
        world = World(tmp_path, healthy())
        family(world)
        assert (await world.plane.infer("e", [MATRIX, key(*["north"] * 4)])).version == TWO
        world.plane.apply([], [member("north", None, 12)])
        world.plane.forget_unused()
        assert (await world.plane.infer("e", [MATRIX, key(*["north"] * 4)])).version == ONE
        assert world.shelf.ready(TWO) is None
        # What is older than what is known changes nothing.
        world.plane.apply([], [member("north", TWO, 10)])
        assert (await world.plane.infer("e", [MATRIX, key(*["north"] * 4)])).version == ONE

    run(test)


def test_a_member_that_is_off_or_fails_is_stood_in_for_by_the_parent(tmp_path: Path) -> None:
    async def test() -> None:
        world = World(tmp_path, {ONE: Times(1.0), TWO: Times(2.0), THREE: Damaged("its file is gone")})
        family(world)
        world.plane.apply([], [member("north", TWO, 12, plug=Plug("ada", NOW))])
        answer = await world.plane.infer("e", [MATRIX, key("north", "south", "east", "north")])
        assert answer.outputs[0].tolist() == [1.0, 2.0, 3.0, 4.0]
        assert (answer.version, answer.role, answer.row_versions) == (ONE, "fallback", ())
        assert answer.row_roles == ("fallback", "fallback", "champion", "fallback")
        assert answer.row_flags == {
            0: ["fallback:plug"],
            1: ["fallback:error"],
            2: ["segment:unseen"],
            3: ["fallback:plug"],
        }
        # The plug of the whole family switches its parent off too.
        world.route(revision=20, segments=Segments("region"), plug=Plug("ada", NOW))
        with pytest.raises(Unavailable, match="plug"):
            await world.plane.infer("e", [MATRIX, key(*["east"] * 4)])

    run(test)


def test_who_takes_too_long_is_stood_in_for(tmp_path: Path) -> None:
    async def test() -> None:
        hold = threading.Event()
        world = World(tmp_path, {ONE: Times(1.0, hold.wait), TWO: Times(2.0)})  # type: ignore[arg-type]
        world.route(limits=Limits(milliseconds=30), fallback=(VersionFallback(TWO),))
        answer = await asyncio.wait_for(world.plane.infer("e", ROWS), 30)
        assert (answer.version, answer.flags) == (TWO, ("fallback:time-out",))
        world.route(revision=2, limits=Limits(milliseconds=30))
        with pytest.raises(Unavailable, match="longer than the 30 ms"):
            await asyncio.wait_for(world.plane.infer("e", ROWS), 30)
        hold.set()

    run(test)


def test_a_time_out_within_a_model_is_its_own_error(tmp_path: Path) -> None:
    def late() -> None:
        raise TimeoutError("a lookup took too long")

    async def test() -> None:
        world = World(tmp_path, {ONE: Times(1.0, late)})
        world.route(limits=Limits(milliseconds=5_000), fallback=(ConstantFallback({"value": 0.0}),))
        assert (await world.plane.infer("e", ROWS)).flags == ("fallback:error", "constant")
        world.route(revision=2, fallback=(ConstantFallback({"value": 0.0}),))
        assert (await world.plane.infer("e", ROWS)).flags == ("fallback:error", "constant")

    run(test)


def test_an_endpoint_takes_in_no_more_than_it_may(tmp_path: Path) -> None:
    async def test() -> None:
        hold = threading.Event()
        world = World(tmp_path, {ONE: Times(1.0, hold.wait), TWO: Times(2.0)})  # type: ignore[arg-type]
        world.route(limits=Limits(concurrent=2))
        world.plane.apply([Route("other", 2, TWO)])
        waiting = [asyncio.ensure_future(world.plane.infer("e", ROWS)) for _ in range(2)]
        await asyncio.sleep(0.05)
        with pytest.raises(Overloaded) as caught:
            await world.plane.infer("e", ROWS)
        assert caught.value.retry_after is not None
        # A new route does not begin to count anew, and others have their own room.
        world.route(revision=3, limits=Limits(concurrent=2))
        with pytest.raises(Overloaded):
            await world.plane.infer("e", ROWS)
        assert (await world.plane.infer("other", ROWS)).version == TWO
        hold.set()
        assert [(await one).version for one in waiting] == [ONE, ONE]
        assert (await world.plane.infer("e", ROWS)).version == ONE

    run(test)


def test_slow_predictions_leave_threads_for_others(tmp_path: Path) -> None:
    async def test() -> None:
        hold = threading.Event()
        world = World(tmp_path, {ONE: Times(1.0, hold.wait), TWO: Times(2.0)})  # type: ignore[arg-type]
        world.route()
        world.plane.apply([Route("other", 2, TWO)])
        await world.shelf.get(TWO)
        waiting = [asyncio.ensure_future(world.plane.infer("e", ROWS)) for _ in range(20)]
        await asyncio.sleep(0.05)
        # Its first prediction goes to a thread, because nobody knows yet how long it takes.
        assert (await asyncio.wait_for(world.plane.infer("other", ROWS), 30)).version == TWO
        hold.set()
        await asyncio.gather(*waiting)

    run(test)


def test_warm_versions_stay_when_room_is_made(tmp_path: Path) -> None:
    async def test() -> None:
        world = World(tmp_path, healthy())
        world.route(warm=True)
        # All have the same artifact, whose room is counted once.
        world.shelf._budget = (await world.shelf.get(ONE)).bytes + world.shelf.bytes
        world.plane.apply([Route("two", 2, TWO), Route("three", 3, THREE)])
        for ref in (TWO, THREE):
            await world.shelf.get(ref)
        assert world.shelf.kept == [ONE]
        assert [world.shelf.ready(ref) is not None for ref in (ONE, TWO, THREE)] == [True, False, True]
        world.route(revision=4)
        assert world.shelf.kept == []

    run(test)
