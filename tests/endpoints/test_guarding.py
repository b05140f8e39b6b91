"""Rows that lack what the model needs: the chain answers for them, and for nobody else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.endpoints.test_parts import family, key
from tests.endpoints.test_serving import ONE, THREE, TWO, Times, World
from tsavo.endpoints import InputReader, InputTensor
from tsavo.endpoints.guarding import read_guarded
from tsavo.vocabulary import (
    Challenger,
    ConstantFallback,
    Field,
    Invalid,
    Output,
    Segments,
    Signature,
    VersionFallback,
)

MIXED = Signature(
    (
        Field("age", "int64"),
        Field("city", "string", categories=("voi", "nairobi")),
        Field("income", "float64", nullable=True),
        Field("open", "bool"),
    ),
    (Output("value", "float64"),),
    "regression",
)
CONSTANT = ConstantFallback({"value": -1.0})


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


def columns(x: list[Any], y: list[Any]) -> list[InputTensor]:
    return [InputTensor("x", (len(x),), x), InputTensor("y", (len(y),), y)]


def test_the_chain_answers_the_rows_that_lack_something_and_no_others(tmp_path: Path) -> None:
    async def test() -> None:
        world = World(tmp_path, {ONE: Times(1.0), TWO: Times(2.0)})
        # The version of the chain needs the same columns, so the constant answers.
        world.route(guard=True, fallback=(VersionFallback(TWO), CONSTANT), challengers=(Challenger(TWO),))
        answer = await world.plane.infer("e", columns([1.0, None, 3.0, 4.0], [1.0, 2.0, 3.0, None]))
        assert answer.outputs[0].tolist() == [2.0, -1.0, 6.0, -1.0]
        assert answer.row_roles == ("champion", "fallback", "champion", "fallback")
        assert answer.row_flags == {
            1: ["fallback:guard", "constant", "missing:x"],
            3: ["fallback:guard", "constant", "missing:y"],
        }
        whole = await world.plane.infer("e", columns([5.0], [5.0]))
        assert (whole.role, whole.flags) == ("champion", ())
        records = await world.records()
        lacking = next(record for record in records if record.role == "fallback")
        assert (lacking.numbers, lacking.row_flags) == ((1, 3), {0: ["missing:x"], 1: ["missing:y"]})
        assert np.isnan(lacking.inputs[0].array()).tolist() == [[True, False], [False, True]]
        # A shadow looks at whole requests only.
        assert [record.request for record in records if record.role == "shadow"] == [whole.request]

    run(test)


def test_a_column_that_is_not_there_is_missing_in_every_row(tmp_path: Path) -> None:
    async def test() -> None:
        world = World(tmp_path, {ONE: Times(1.0)})
        world.route(guard=True, fallback=(CONSTANT,))
        answer = await world.plane.infer("e", [InputTensor("x", (2,), [1.0, 2.0])])
        assert (answer.role, answer.flags) == ("fallback", ("fallback:guard", "constant"))
        assert answer.row_flags == {0: ["missing:y"], 1: ["missing:y"]}

    run(test)


def test_without_a_guard_or_a_step_that_can_answer_the_request_is_refused(tmp_path: Path) -> None:
    async def test() -> None:
        world = World(tmp_path, {ONE: Times(1.0), TWO: Times(2.0)})
        for revision, parts in enumerate(
            (
                {"fallback": (CONSTANT,)},
                {"guard": True},
                {"guard": True, "fallback": (VersionFallback(TWO),)},
            ),
            1,
        ):
            world.route(revision=revision, **parts)  # type: ignore[arg-type]
            with pytest.raises(Invalid, match="missing value in column 'y'"):
                await world.plane.infer("e", columns([1.0], [None]))
        # A guard is for missing values, not for wrong ones.
        world.route(revision=9, guard=True, fallback=(CONSTANT,))
        for wrong in (
            columns([1.0], ["x"]),
            columns([None, 1.0], ["x", 1.0]),
            [],
            columns([1.0], [1.0, 2.0]),
        ):
            with pytest.raises(Invalid):
                await world.plane.infer("e", wrong)
        assert await world.records() == []

    run(test)


def test_a_family_with_a_guard(tmp_path: Path) -> None:
    async def test() -> None:
        world = World(tmp_path, {ONE: Times(1.0), TWO: Times(2.0), THREE: Times(3.0)})
        family(world, guard=True, fallback=(CONSTANT,))
        rows = InputTensor("m", (3, 2), [1.0, 0.0, None, 0.0, 3.0, 0.0])
        answer = await world.plane.infer("e", [rows, key("north", "north", "south")])
        assert answer.outputs[0].tolist() == [2.0, -1.0, 9.0]
        assert answer.row_versions == (TWO, ONE, THREE)
        assert world.plane.route("e").segments == Segments("region")

    run(test)


def test_every_type_has_something_to_stand_in() -> None:
    reader = InputReader(MIXED, max_rows=10)
    tensors = [
        InputTensor("age", (3, 1), [[30], [None], [50]]),
        InputTensor("city", (3,), ["voi", "nairobi", None]),
        InputTensor("income", (3,), [None, 1.5, 2.5]),
        InputTensor("open", (3,), [None, True, False]),
    ]
    batch, flags, guarded = read_guarded(reader, MIXED, tensors)
    assert [column.tolist() for column in batch.columns[:2]] == [[30, 0, 50], ["voi", "nairobi", None]]
    assert np.isnan(batch.columns[2]).tolist() == [True, False, False]
    assert batch.columns[3].tolist() == [False, True, False]
    assert flags == {0: ["missing:open"], 1: ["missing:age"], 2: ["missing:city"]}
    assert guarded is not None
    assert guarded.lacking.all()
    assert guarded.columns == frozenset({"age", "city", "open"})
    whole = [
        InputTensor("age", (1,), [30]),
        InputTensor("city", (1,), ["elsewhere"]),
        InputTensor("income", (1,), [None]),
        InputTensor("open", (1,), [True]),
    ]
    _, flags, guarded = read_guarded(reader, MIXED, whole)
    assert (flags, guarded) == ({0: ["unseen:city"]}, None)
