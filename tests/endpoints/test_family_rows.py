"""What every member of a family is asked, where the versions take the key as an input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from tests.endpoints.test_infer_all import PARENT, ref
from tests.endpoints.test_serving import NOW, World, run
from tsavo.endpoints import InputTensor, LoadedVersion
from tsavo.runtimes import Runtime
from tsavo.vocabulary import (
    Batch,
    DecisionRecord,
    Field,
    Invalid,
    Lineage,
    Member,
    Output,
    Route,
    Segments,
    Signature,
    Version,
    VersionRef,
)

KEYED = Signature(
    (Field("x", "float64"), Field("store", "int64")), (Output("value", "float64"),), "regression"
)
TOWNS = Signature(
    (Field("x", "float64"), Field("town", "string", categories=("voi", "ham"), unseen="refuse")),
    (Output("value", "float64"),),
    "regression",
)


class Keyed:
    """Answers ``1000 x + store``, or ``x`` and the length of the town's name."""

    def __init__(self, signature: Signature) -> None:
        self.signature = signature

    def predict(self, batch: Batch) -> tuple[npt.NDArray[Any], ...]:
        x, key = batch.columns
        last = np.array([len(text) for text in key]) if key.dtype == object else key
        return (1000 * x + last,)


class KeyedWorld(World):
    """Versions that take the key themselves."""

    def __init__(self, folder: Path, signature: Signature) -> None:
        self.signature = signature
        super().__init__(folder, {})

    def _load(self, ref: VersionRef) -> LoadedVersion:
        lineage = Lineage("me", "f", "skops", "s" * 64, "none")
        version = Version(
            ref.model, ref.number, "d" * 64, "a" * 64, 1, "onnx", self.signature, lineage, (), NOW
        )
        runtime: Runtime = Keyed(self.signature)
        return LoadedVersion(version, runtime, max_rows=1000, threads=self.threads)


def keyed(folder: Path, signature: Signature, segments: Segments, listed: list[str]) -> KeyedWorld:
    world = KeyedWorld(folder, signature)
    world.plane.apply(
        [Route("e", 1, PARENT, segments=segments)],
        [Member("e", segment, ref(2), at) for at, segment in enumerate(listed, 2)],
    )
    return world


def test_members_that_take_the_key_get_their_own_segment(tmp_path: Path) -> None:
    async def test() -> None:
        world = keyed(tmp_path, KEYED, Segments("store", "int64"), ["7", "-12", "100"])
        x = InputTensor("x", (2,), [1.0, 2.0])
        answer = await world.plane.families.infer_all("e", [x])
        assert {one.segment: one.outputs[0].tolist() for one in answer.members} == {
            "7": [1007.0, 2007.0],
            "-12": [988.0, 1988.0],
            "100": [1100.0, 2100.0],
        }
        # The key of a row that was copied from another request does not matter.
        again = await world.plane.families.infer_all("e", [x, InputTensor("store", (2,), [5, 5])])
        assert [one.outputs[0].tolist() for one in again.members] == [
            one.outputs[0].tolist() for one in answer.members
        ]
        with pytest.raises(Invalid, match="no room for the column"):
            await world.plane.families.infer_all("e", [InputTensor("m", (1, 2), [1.0, 7.0])])
        records: list[DecisionRecord] = await world.records()
        assert {record.segment: record.inputs[1].array().tolist() for record in records} == {
            "7": [7, 7],
            "-12": [-12, -12],
            "100": [100, 100],
        }

    run(test)


def test_a_segment_that_the_models_refuse_as_an_input_is_an_error_of_its_own(tmp_path: Path) -> None:
    async def test() -> None:
        world = keyed(tmp_path, TOWNS, Segments("town"), ["atlantis", "ham", "voi"])
        answer = await world.plane.families.infer_all("e", [InputTensor("x", (1,), [1.0])])
        assert [one.error is None for one in answer.members] == [False, True, True]
        error = answer.members[0].error
        assert error is not None
        assert error.found == "atlantis"
        with pytest.raises(Invalid) as caught:
            await world.plane.families.infer_all("e", [InputTensor("x", (1,), ["one"])])
        assert (caught.value.field or "").startswith("inputs.x")
        assert len(await world.records()) == 2

    run(test)


def test_a_member_with_other_outputs_in_another_order(tmp_path: Path) -> None:
    async def test() -> None:
        wide = msgspec.structs.replace(KEYED, outputs=(Output("reason", "float64"), *KEYED.outputs))
        world = keyed(tmp_path, KEYED, Segments("store", "int64"), ["7"])

        class Wide(Keyed):
            def predict(self, batch: Batch) -> tuple[npt.NDArray[Any], ...]:
                return (np.zeros(batch.rows), *super().predict(batch))

        lineage = Lineage("me", "f", "skops", "s" * 64, "none")
        version = Version("m", 2, "d" * 64, "a" * 64, 1, "onnx", wide, lineage, (), NOW)
        loaded = LoadedVersion(version, Wide(wide), max_rows=1000, threads=world.threads)
        parent = world._load
        world.shelf._load = lambda wanted: loaded if wanted == ref(2) else parent(wanted)
        answer = await world.plane.families.infer_all("e", [InputTensor("x", (1,), [1.0])], wanted=["value"])
        (one,) = answer.members
        assert [output.name for output in one.signature.outputs] == ["reason", "value"]
        (record,) = await world.records()
        assert [tensor.array().tolist() for tensor in record.outputs] == [[0.0], [1007.0]]

    run(test)
