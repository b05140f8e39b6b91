from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from tests.rest.scoring_world import MIXED, NAMES, RECORDS, REQUEST, ROWS, an_answer, texts
from tsavo.rest.plain_rows import decode_rows, encode_rows
from tsavo.vocabulary import Field, Invalid, Output, Signature, Unreadable

X = (Field("x", "float64"),)


def test_rows_as_objects_or_lists() -> None:
    for rows in (ROWS, RECORDS):
        tensors, wanted = decode_rows(json.dumps({"rows": rows, "outputs": ["label"]}).encode(), MIXED)
        assert [tensor.name for tensor in tensors] == NAMES
        assert [list(tensor.data) for tensor in tensors] == [
            list(column) for column in zip(*ROWS, strict=True)
        ]
        assert wanted == ["label"]
    assert decode_rows(json.dumps({"rows": ROWS}).encode(), MIXED)[1] is None


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"{}", "body"),
        (b"[]", "body"),
        (b'{"rows": 5}', "rows"),
        (b'{"rows": []}', "rows"),
        (b'{"rows": [[1]]}', "rows[0]"),
        (b'{"rows": [[1]], "row": 1}', "body"),
        (b'{"rows": [[1]], "outputs": [1]}', "outputs[0]"),
    ],
)
def test_what_is_not_such_a_request_names_the_field(body: bytes, field: str) -> None:
    with pytest.raises(Invalid) as caught:
        decode_rows(body, MIXED)
    assert caught.value.field == field


def test_what_is_not_json_cannot_be_read() -> None:
    with pytest.raises(Unreadable):
        decode_rows(b"rows=1", MIXED)


def test_an_answer_reads_well() -> None:
    shares = np.array([[0.9, 0.1], [0.25, 0.75]], np.float32)
    answer = an_answer(
        MIXED, texts("no", "yes"), shares, row_flags={1: ["unseen:city"]}, flags=("fallback:plug",)
    )
    written = encode_rows(answer, None)
    # 0.9 as 32 bits has no other neighbours nearer than itself; no digits that mean nothing.
    assert b'"probabilities":{"no":0.9,"yes":0.1}' in written
    assert json.loads(written) == {
        "endpoint": "e",
        "version": "credit@3",
        "role": "champion",
        "flags": ["fallback:plug"],
        "rows": [
            {
                "decision_id": f"{REQUEST}:0",
                "label": "no",
                "probabilities": {"no": 0.9, "yes": 0.1},
                "flags": [],
            },
            {
                "decision_id": f"{REQUEST}:1",
                "label": "yes",
                "probabilities": {"no": 0.25, "yes": 0.75},
                "flags": ["unseen:city"],
            },
        ],
    }
    assert [list(row) for row in json.loads(encode_rows(answer, ["label"]))["rows"]] == [
        ["decision_id", "label", "flags"]
    ] * 2


NAME = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6)
VALUES = {
    "float64": st.floats(allow_infinity=False),
    "float32": st.floats(width=32, allow_infinity=False),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "bool": st.booleans(),
}


@st.composite
def answers(draw: st.DrawFn) -> tuple[Signature, int, list[Any]]:
    rows = draw(st.integers(1, 4))
    outputs, arrays = [], []
    for name in draw(st.lists(NAME, min_size=1, max_size=4, unique=True)):
        width = draw(st.none() | st.integers(1, 3))
        shape = (rows,) if width is None else (rows, width)
        dtype: Any = draw(st.sampled_from(["string", *VALUES]))
        if dtype == "string":
            array: Any = np.empty(shape, dtype=object)
            array.reshape(-1)[:] = draw(st.lists(st.none() | NAME, min_size=array.size, max_size=array.size))
        else:
            array = draw(npst.arrays(np.dtype(dtype), shape, elements=VALUES[dtype]))
        outputs.append(Output(name, dtype, width))
        arrays.append(array)
    classes = draw(st.none() | st.lists(NAME, min_size=2, max_size=3, unique=True).map(tuple))
    return Signature(X, tuple(outputs), "generic", classes), rows, arrays


def plain(array: Any) -> Any:
    """The array as nested lists, a missing number as None."""
    listed = array.tolist()
    if array.ndim == 2:
        return [[None if value != value else value for value in row] for row in listed]
    return [None if value != value else value for value in listed]


@given(answers())
def test_an_answer_is_json_of_exactly_the_outputs(example: tuple[Signature, int, list[Any]]) -> None:
    signature, rows, arrays = example
    written = json.loads(encode_rows(an_answer(signature, *arrays), None))["rows"]
    assert [row["decision_id"] for row in written] == [f"{REQUEST}:{row}" for row in range(rows)]
    for output, array in zip(signature.outputs, arrays, strict=True):
        name = f"output.{output.name}" if output.name in {"flags", "decision_id"} else output.name
        told = [row[name] for row in written]
        if array.dtype == np.float32:
            # The digits read back to the same 32 bits.
            told = plain(np.array(told, dtype=np.float32))
        assert told == plain(array)


def test_probabilities_go_by_class_whatever_the_classes_are() -> None:
    shares = np.array([[0.25, 0.5, 0.25]])
    for classes, keys in (
        ((1, 2, 3), ["1", "2", "3"]),
        ((False, True, 'a "b" %s'), ["false", "true", 'a "b" %s']),
        ((0.5, 1.5, 2.5), ["0.5", "1.5", "2.5"]),
    ):
        signature = Signature(X, (Output("probabilities", "float64", 3),), "multiclass", classes)
        (row,) = json.loads(encode_rows(an_answer(signature, shares), None))["rows"]
        assert row["probabilities"] == dict(zip(keys, [0.25, 0.5, 0.25], strict=True))


def test_a_missing_prediction_is_null() -> None:
    signature = Signature(X, (Output("value", "float32"),), "regression")
    (row,) = json.loads(encode_rows(an_answer(signature, np.array([math.nan], np.float32)), None))["rows"]
    assert row["value"] is None
