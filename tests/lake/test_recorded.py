"""Requests come out of the lake as the arrays that versions were asked with, whatever lay beside them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.lake.scene import SIGNATURES, START, Scene, decision, request_id
from tests.lake.test_rows import Scored, scored
from tsavo.lake import Lake
from tsavo.vocabulary import DecisionRecord, NotFound, Signature, Tensor, input_tensors


def bits(array: npt.NDArray[np.generic]) -> object:
    """What two equal arrays have in common to the last bit; one NaN is like another."""
    if array.dtype == object:
        return array.tolist()
    if array.dtype.kind == "f":
        array = np.where(np.isnan(array), np.float64("nan"), array).astype(array.dtype)
    return array.dtype, array.shape, array.tobytes()


def same(one: Tensor, other: npt.NDArray[np.generic]) -> bool:
    return bits(one.array()) == bits(other)


@settings(max_examples=40, deadline=None)
@given(first=scored(), second=scored(), shipped=st.integers(0, 2), merged=st.booleans())
def test_any_request_comes_back_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, first: Scored, second: Scored, shipped: int, merged: bool
) -> None:
    # Two versions whose columns have the same names and other types, in one table.
    signatures = {1: first[0], 2: second[0]}
    scene = Scene(tmp_path_factory.mktemp("scene"))
    scene.lake = Lake(scene.root, scene.journals, lambda _model, version: signatures[version])
    written: list[DecisionRecord] = []
    for version, records in ((1, first[1]), (2, second[1])):
        for record in records:
            written.append(replace(record, version=version, request=request_id(len(written)), caller="me"))
    for number, record in enumerate(written):
        scene.write(record)
        if number < shipped:
            scene.ship()
    if merged:
        scene.lake.maintain(most_small_files=0)
    found = scene.lake.recorded("credit-risk", [record.request for record in written])
    assert sorted(one.request for one in found) == [record.request for record in written]
    for one in found:
        record = next(record for record in written if record.request == one.request)
        asked = input_tensors(one.batch.matrix, one.batch.columns)
        assert one.whole
        assert all(same(was, now.array()) for was, now in zip(record.inputs, asked, strict=True))
        assert all(same(was, now) for was, now in zip(record.outputs, one.outputs, strict=True))


def test_rows_of_a_request_that_several_versions_answered_stand_apart(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    north = replace(decision(1, rows=2), segment="north", row_numbers=(0, 3), flags=("a",))
    south = replace(decision(1, rows=3, version=2), segment="south", row_numbers=(1, 2, 4))
    shadow = decision(1, rows=5, version=1, role="shadow")
    scene.write(north, south, shadow, decision(2))
    for _ in range(2):
        parts = scene.lake.recorded("credit-risk", [request_id(1)])
        assert [(one.segment, one.rows, one.version) for one in parts[:2]] == [
            ("north", (0, 3), 1),
            ("south", (1, 2, 4), 2),
        ]
        assert parts[0].flags == (("a",), ("a",))
        assert (parts[2].role, parts[2].rows) == ("shadow", (0, 1, 2, 3, 4))
        assert same(north.inputs[0], parts[0].batch.matrix)  # type: ignore[arg-type]
        assert [column.tolist() for column in parts[1].batch.columns] == [
            tensor.array().tolist() for tensor in south.inputs
        ]
        scene.ship()


def test_requests_are_listed_page_by_page_in_their_order(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    for number in range(0, 30, 2):
        scene.write(decision(number, rows=2), decision(number + 1, version=2))
        if number == 14:
            scene.ship()
    scene.write(decision(40, role="shadow"))
    listed: list[str] = []
    more = True
    while more:
        page, more = scene.lake.request_ids(
            "credit-risk", after=listed[-1] if listed else "", limit=7, most_rows=8
        )
        assert 1 <= len(page) <= 7
        listed += page
    assert listed == [request_id(number) for number in range(30)]
    since = datetime.fromtimestamp(START / 1e9, UTC) + timedelta(seconds=5)
    some, _ = scene.lake.request_ids(
        "credit-risk", since=since, until=since + timedelta(seconds=4), version=("m", 2)
    )
    assert some == [request_id(5), request_id(7)]
    scene.write(decision(41, version=3, role="shadow"))
    assert scene.lake.request_ids("credit-risk", version=("m", 3)) == ([request_id(41)], False)
    assert scene.lake.request_ids("credit-risk", most_rows=1) == ([request_id(0)], True)
    assert scene.lake.request_ids("nobody") == ([], False)
    assert scene.lake.recorded("nobody", [request_id(1)]) == []
    assert scene.lake.recorded("credit-risk", []) == []


def test_a_part_that_is_not_all_there_says_so(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.write(decision(1, rows=3))
    scene.ship()
    assert [one.whole for one in scene.lake.recorded("credit-risk", [request_id(1)])] == [True]
    # As retention, or somebody's hand, may leave it.
    from deltalake import DeltaTable

    DeltaTable(str(scene.root / "decisions" / "credit-risk")).delete(f"decision_id = '{request_id(1)}:1'")
    assert [one.whole for one in scene.lake.recorded("credit-risk", [request_id(1)])] == [False]


def test_a_version_that_nobody_knows_is_named(tmp_path: Path) -> None:
    scene = Scene(tmp_path)
    scene.write(decision(1))
    scene.ship()
    known: dict[int, Signature] = dict(SIGNATURES)
    del known[1]

    def signature_of(model: str, version: int) -> Signature:
        if version not in known:
            raise NotFound("no such version", field="version", found=f"{model}@{version}")
        return known[version]

    lake = Lake(scene.root, scene.journals, signature_of)
    with pytest.raises(NotFound, match="m@1"):
        lake.recorded("credit-risk", [request_id(1)])
