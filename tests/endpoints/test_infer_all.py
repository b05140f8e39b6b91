"""Rows for every member of a family, with a real journal."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.endpoints.test_serving import NOW, ROWS, World, boom, run
from tests.endpoints.test_serving import Times as TimesOf
from tsavo.endpoints import InputTensor
from tsavo.endpoints.origins import Origin
from tsavo.vocabulary import (
    ConstantFallback,
    Damaged,
    Invalid,
    Limits,
    Member,
    NotFound,
    Overloaded,
    Plug,
    Refused,
    Route,
    Segments,
    TooLarge,
    TsavoError,
    Unavailable,
    VersionRef,
)

PARENT = VersionRef("m", 1)
BY_REGION = Segments("region")


def ref(number: int) -> VersionRef:
    return VersionRef("m", number)


def members(versions: dict[str, int | None], **changes: Any) -> list[Member]:
    """Members of family ``e``; segments in `changes` have a plug pulled."""
    return [
        Member(
            "e",
            segment,
            None if number is None else ref(number),
            revision,
            Plug("ada", NOW) if segment in changes.get("plugged", ()) else None,
        )
        for revision, (segment, number) in enumerate(versions.items(), 2)
    ]


def family(
    folder: Path,
    versions: dict[VersionRef, TimesOf | TsavoError],
    listed: dict[str, int | None],
    *,
    plugged: tuple[str, ...] = (),
    **route: Any,
) -> World:
    world = World(folder, versions)
    world.plane.apply(
        [Route("e", 1, PARENT, **{"segments": BY_REGION, **route})], members(listed, plugged=plugged)
    )
    return world


def times(*factors: float) -> dict[VersionRef, TimesOf | TsavoError]:
    return {ref(number): TimesOf(factor) for number, factor in enumerate(factors, 1)}


def test_every_member_answers_for_itself_and_each_decision_is_recorded(tmp_path: Path) -> None:
    async def test() -> None:
        world = family(tmp_path, times(1, 10, 100), {"south": 3, "north": 2, "west": 2})
        answer = await world.plane.families.infer_all("e", ROWS, origin=Origin("me", "f" * 32))
        told = [(one.segment, one.version, one.role, one.outputs[0].tolist()) for one in answer.members]
        assert told == [
            ("north", ref(2), "champion", [30.0, 70.0]),
            ("south", ref(3), "champion", [300.0, 700.0]),
            ("west", ref(2), "champion", [30.0, 70.0]),
        ]
        assert (answer.rows, answer.after) == (2, None)
        records = await world.records()
        assert [(one.segment, one.version, list(one.numbers)) for one in records] == [
            ("north", 2, [0, 1]),
            ("south", 3, [2, 3]),
            ("west", 2, [4, 5]),
        ]
        for record, one in zip(records, answer.members, strict=True):
            assert (record.request, record.endpoint, record.caller) == (answer.request, "e", "me")
            assert record.trace == "f" * 32
            assert record.numbers[0] == one.first
            assert record.inputs[0].array().tolist() == [[1.0, 2.0], [3.0, 4.0]]
            assert record.outputs[0].array().tolist() == one.outputs[0].tolist()

    run(test)


def test_it_answers_as_single_requests_do(tmp_path: Path) -> None:
    async def test() -> None:
        listed: dict[str, int | None] = {f"s{number}": 1 + number % 4 for number in range(100)}
        world = family(tmp_path, times(1, 0.1, 3, 7), listed)
        answer = await world.plane.families.infer_all("e", ROWS)
        for one in answer.members:
            key = InputTensor("region", (2,), [one.segment] * 2)
            alone = await world.plane.infer("e", [*ROWS_BY_COLUMN, key])
            assert (alone.version, alone.role) == (one.version, one.role)
            assert np.array_equal(alone.outputs[0], one.outputs[0])
        assert len(await world.records()) == 200

    run(test)


ROWS_BY_COLUMN = [InputTensor("x", (2,), [1.0, 3.0]), InputTensor("y", (2,), [2.0, 4.0])]


def test_pages_have_every_member_once(tmp_path: Path) -> None:
    async def test() -> None:
        listed: dict[str, int | None] = {f"s{number:03}": 1 for number in range(77)}
        world = family(tmp_path, times(1), {**listed, "gone": None})
        seen: list[str] = []
        after: str | None = ""
        while after is not None:
            answer = await world.plane.families.infer_all("e", ROWS, after=after, limit=20)
            seen += [one.segment for one in answer.members]
            after = answer.after
        assert seen == sorted(listed)
        # Rows times members are no more than one request may have, which is 1,000 here.
        many = [InputTensor("m", (100, 2), [1.0] * 200)]
        answer = await world.plane.families.infer_all("e", many, limit=77)
        assert (len(answer.members), answer.after) == (10, "s009")
        with pytest.raises(TooLarge):
            await world.plane.families.infer_all("e", [InputTensor("m", (1001, 2), [1.0] * 2002)])
        with pytest.raises(Invalid):
            await world.plane.families.infer_all("e", ROWS, limit=0)
        behind = await world.plane.families.infer_all("e", ROWS, after="z")
        assert (behind.members, behind.after) == ([], None)
        await world.records()

    run(test)


def test_segments_can_be_named(tmp_path: Path) -> None:
    async def test() -> None:
        world = family(tmp_path, times(1, 2), {"a": 1, "b": 2, "c": 1, "gone": None})
        answer = await world.plane.families.infer_all("e", ROWS, segments=["c", "b", "c"])
        assert [one.segment for one in answer.members] == ["b", "c"]
        answer = await world.plane.families.infer_all("e", ROWS, segments=["c", "b"], limit=1)
        assert answer.after == "b"
        for unknown in ("gone", "x"):
            with pytest.raises(Invalid) as caught:
                await world.plane.families.infer_all("e", ROWS, segments=["a", unknown])
            assert (caught.value.field, caught.value.found) == ("segments[1]", unknown)
        assert sum(record.rows for record in await world.records()) == 6

    run(test)


def test_a_member_that_fails_or_is_plugged_is_answered_by_the_parent(tmp_path: Path) -> None:
    async def test() -> None:
        versions: dict[VersionRef, TimesOf | TsavoError] = {
            **times(1, 10),
            ref(3): TimesOf(1, boom),
            ref(4): Damaged("bits are missing"),
        }
        world = family(tmp_path, versions, {"fine": 2, "fails": 3, "broken": 4, "off": 2}, plugged=("off",))
        answer = await world.plane.families.infer_all("e", ROWS)
        told = {one.segment: (one.version, one.role, one.flags) for one in answer.members}
        assert told == {
            "fine": (ref(2), "champion", ()),
            "fails": (PARENT, "fallback", ("fallback:error",)),
            "broken": (PARENT, "fallback", ("fallback:error",)),
            "off": (PARENT, "fallback", ("fallback:plug",)),
        }
        roles = {record.segment: (record.version, record.role) for record in await world.records()}
        assert roles["off"] == (1, "fallback")

    run(test)


def test_where_nobody_answers_the_others_do_all_the_same(tmp_path: Path) -> None:
    async def test() -> None:
        versions: dict[VersionRef, TimesOf | TsavoError] = {
            PARENT: TimesOf(1, boom),
            ref(2): TimesOf(2),
            ref(3): TimesOf(3, boom),
        }
        world = family(tmp_path, versions, {"a": 2, "b": 3, "c": 2})
        answer = await world.plane.families.infer_all("e", ROWS)
        assert [isinstance(one.error, Unavailable) for one in answer.members] == [False, True, False]
        assert answer.members[1].outputs == ()
        with pytest.raises(Unavailable):
            await world.plane.families.infer_all("e", ROWS, segments=["b"])
        records = await world.records()
        assert [(record.segment, record.numbers[0]) for record in records] == [("a", 0), ("c", 4)]

    run(test)


def test_with_the_familys_plug_pulled_the_fallback_answers_for_all(tmp_path: Path) -> None:
    async def test() -> None:
        chain = (ConstantFallback({"value": 9.0}),)
        world = family(tmp_path, times(1, 2), {"a": 2, "b": 2}, plug=Plug("ada", NOW), fallback=chain)
        answer = await world.plane.families.infer_all("e", ROWS)
        for one in answer.members:
            assert (one.role, one.outputs[0].tolist()) == ("fallback", [9.0, 9.0])
            assert one.flags == ("fallback:plug", "constant")
        assert len(await world.records()) == 2
        assert ref(2) not in world.loads

    run(test)


def test_a_slow_member_is_cut_off_by_the_endpoints_limit(tmp_path: Path) -> None:
    async def test() -> None:
        versions: dict[VersionRef, TimesOf | TsavoError] = {
            **times(1, 2),
            ref(3): TimesOf(3, lambda: time.sleep(0.4)),
        }
        world = family(tmp_path, versions, {"a": 2, "slow": 3}, limits=Limits(milliseconds=150))
        answer = await world.plane.families.infer_all("e", ROWS)
        assert [(one.role, one.flags) for one in answer.members] == [
            ("champion", ()),
            ("fallback", ("fallback:time-out",)),
        ]
        await world.records()

    run(test)


def test_what_is_wrong_for_all_is_refused_and_nothing_is_recorded(tmp_path: Path) -> None:
    async def test() -> None:
        world = family(tmp_path, times(1), {"a": 1}, limits=Limits(concurrent=1))
        scoring = world.plane.families
        with pytest.raises(NotFound):
            await scoring.infer_all("nowhere", ROWS)
        for wrong in (
            [],
            [InputTensor("x", (1,), [1.0])],
            [InputTensor("m", (1, 2), [1.0, "two"])],
            [InputTensor("m", (0, 2), [])],
            [InputTensor("region", (1,), ["a"])],
        ):
            with pytest.raises(Invalid):
                await scoring.infer_all("e", wrong)
        with pytest.raises(Invalid, match="no such output"):
            await scoring.infer_all("e", ROWS, wanted=["nothing"])
        world.plane.apply([Route("plain", 9, PARENT)])
        with pytest.raises(Refused, match="no family"):
            await scoring.infer_all("plain", ROWS)
        with pytest.raises(Refused):
            scoring.state("plain")
        together = await asyncio.gather(
            *(scoring.infer_all("e", ROWS) for _ in range(3)), return_exceptions=True
        )
        assert sum(isinstance(one, Overloaded) for one in together) == 2
        assert len(await world.records()) == 1

    run(test)


def test_the_state_of_a_family(tmp_path: Path) -> None:
    async def test() -> None:
        world = family(tmp_path, times(1), {"a": 1, "b": 1, "gone": None})
        state = world.plane.families.state("e")
        assert (state.key, state.dtype, state.unseen, state.parent) == ("region", "string", "parent", "m@1")
        assert (state.members, state.revision) == (2, 4)
        world.plane.apply([Route("e", 8, PARENT, segments=BY_REGION)])
        assert world.plane.families.state("e").revision == 8
        await world.records()

    run(test)


def test_other_requests_get_their_turn_while_a_large_family_is_asked(tmp_path: Path) -> None:
    async def test() -> None:
        turns = 0
        predicted_at: list[int] = []
        versions: dict[VersionRef, TimesOf | TsavoError] = {
            PARENT: TimesOf(1, lambda: predicted_at.append(turns))
        }
        world = family(tmp_path, versions, {f"s{number}": 1 for number in range(900)})
        row = [InputTensor("m", (1, 2), [1.0, 2.0])]
        await world.plane.families.infer_all("e", row, limit=1)
        predicted_at.clear()
        asking = asyncio.ensure_future(world.plane.families.infer_all("e", row))
        while not asking.done():
            turns += 1
            await asyncio.sleep(0)
        assert len(predicted_at) == 900
        # Others had their turn between any 16 of them at least.
        assert max(Counter(predicted_at).values()) <= 16
        await world.records()

    run(test)


def test_a_decisions_latency_is_what_its_own_version_took(tmp_path: Path) -> None:
    async def test() -> None:
        now = [1_000_000_000]

        def work() -> None:
            now[0] += 5_000_000

        versions: dict[VersionRef, TimesOf | TsavoError] = {**times(1, 2), ref(3): TimesOf(3, work)}
        world = family(tmp_path, versions, {"a": 3, "b": 2, "c": 3})
        world.plane.families._nanoseconds = lambda: now[0]
        await world.plane.families.infer_all("e", ROWS)
        records = await world.records()
        assert [record.latency_us for record in records] == [5_000, 0, 5_000]
        assert {record.time for record in records} == {1_000_000_000}

    run(test)
