"""What was scored comes out of Delta as it was, bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from tests.lake.scene import MIXED, Scene, decision, outcome, row_id, signature_of
from tsavo.lake.layout import lay_out_decisions
from tsavo.lake.relations import RECORDED
from tsavo.lake.rows import Decided, Resolved, decision_rows, outcome_rows
from tsavo.vocabulary import (
    Damaged,
    DecisionRecord,
    Field,
    Output,
    Signature,
    Tensor,
    decode_record,
    encode_record,
)

DTYPES: dict[Any, st.SearchStrategy[Any]] = {
    "float64": st.floats(allow_nan=False),
    "float32": st.floats(width=32, allow_nan=False),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "int32": st.integers(-(2**31), 2**31 - 1),
    "bool": st.booleans(),
    "string": st.one_of(st.none(), st.text(max_size=5)),
}


Scored: TypeAlias = tuple[Signature, list[DecisionRecord], list[list[Any]], list[list[Any]]]


@st.composite
def scored(draw: st.DrawFn) -> Scored:
    """A signature, records of it, and the values that are in them, column by column."""
    inputs = draw(st.lists(st.sampled_from(sorted(DTYPES)), min_size=1, max_size=4))
    outputs = draw(
        st.lists(st.tuples(st.sampled_from(sorted(DTYPES)), st.none() | st.integers(1, 3)), max_size=2)
    )
    outputs = outputs or [("float64", None)]
    signature = Signature(
        tuple(Field(f"f{place}", dtype, True) for place, dtype in enumerate(inputs)),
        tuple(Output(f"o{place}", dtype, width) for place, (dtype, width) in enumerate(outputs)),
        "generic",
    )
    records = []
    given_inputs: list[list[Any]] = [[] for _ in inputs]
    given_outputs: list[list[Any]] = [[] for _ in outputs]
    for number in range(draw(st.integers(1, 3))):
        rows = draw(st.integers(1, 3))
        columns = [draw(st.lists(DTYPES[dtype], min_size=rows, max_size=rows)) for dtype in inputs]
        for place, column in enumerate(columns):
            given_inputs[place] += column
        arrays = [_array(column, dtype) for column, dtype in zip(columns, inputs, strict=True)]
        tensors = (
            (Tensor.of(np.ascontiguousarray(np.stack(arrays, axis=1))),)
            if signature.matrix_dtype is not None
            else tuple(Tensor.of(array) for array in arrays)
        )
        results = []
        for place, (dtype, width) in enumerate(outputs):
            values = draw(st.lists(DTYPES[dtype], min_size=rows * (width or 1), max_size=rows * (width or 1)))
            shape = (rows,) if width is None else (rows, width)
            results.append(Tensor.of(_array(values, dtype).reshape(shape)))
            given_outputs[place] += (
                values if width is None else [values[i : i + width] for i in range(0, len(values), width)]
            )
        records.append(replace(decision(number), rows=rows, inputs=tensors, outputs=tuple(results)))
    return signature, records, given_inputs, given_outputs


def _array(values: list[Any], dtype: str) -> np.ndarray[Any, Any]:
    return np.array(values, dtype=object if dtype == "string" else dtype)


@settings(deadline=None, max_examples=60)
@given(scored())
def test_values_come_out_as_they_went_in(
    case: tuple[Signature, list[DecisionRecord], list[list[Any]], list[list[Any]]],
) -> None:
    signature, records, inputs, outputs = case
    entries = []
    for number, record in enumerate(records):
        decoded = decode_record(encode_record(record))
        assert isinstance(decoded, DecisionRecord)
        entries.append(Decided("j", number + 1, decoded))
    table = decision_rows(entries, signature)
    rows = table.to_pylist()
    for place in range(len(inputs)):
        assert [row["features"][f"f{place}"] for row in rows] == inputs[place]
    for place in range(len(outputs)):
        assert [row["prediction"][f"o{place}"] for row in rows] == outputs[place]
    assert [row["seq"] for row in rows] == [entry.seq for entry in entries for _ in range(entry.record.rows)]
    assert table.column("decision_id").to_pylist() == [
        f"{record.request}:{row}" for record in records for row in range(record.rows)
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"inputs": ()},
        {"outputs": ()},
        {"rows": 2},
        {"inputs": (Tensor.of(np.zeros((1, 2))),)},
        {"inputs": (Tensor.of(np.zeros(1)), Tensor.of(np.array(["a"], object)), Tensor.of(np.array([True])))},
    ],
)
def test_a_record_that_does_not_fit_its_signature_is_damaged_and_alone(wrong: dict[str, Any]) -> None:
    good = [Decided("j", number, decision(number, version=2)) for number in range(1, 8)]
    bad = Decided("j", 4, replace(decision(4, version=2), **wrong))
    with pytest.raises(Damaged):
        decision_rows([bad], MIXED)
    entries = [*good[:3], bad, *good[4:]]
    table, misfits = lay_out_decisions(entries, signature_of, {})
    assert table is not None
    assert table.column("seq").to_pylist() == [1, 2, 3, 5, 6, 7]
    assert [misfit.seq for misfit in misfits] == [4]


def test_row_flags_belong_to_their_row(scene: Scene) -> None:
    record = replace(decision(1, rows=3, row_flags={1: ["unseen:carrier"]}), flags=("fallback:plug",))
    scene.write(record)
    for _ in range(2):
        assert scene.rows("SELECT flags FROM decisions ORDER BY decision_id") == [
            (["fallback:plug"],),
            (["fallback:plug", "unseen:carrier"],),
            (["fallback:plug"],),
        ]
        scene.ship()


@given(
    st.lists(
        st.one_of(
            st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(), st.text(max_size=5)
        ),
        max_size=8,
    )
)
def test_outcomes_are_kept_exactly_whatever_they_are(values: list[Any]) -> None:
    record = decode_record(encode_record(outcome([row_id(place) for place in range(len(values))], values)))
    rows = outcome_rows([Resolved("j", 1, record)]).to_pylist()  # type: ignore[arg-type]
    read: dict[str, Callable[[str], Any]] = {
        "boolean": lambda text: text == "true",
        "integer": int,
        "number": _number,
        "string": str,
    }
    back = [None if row["kind"] is None else read[row["kind"]](row["outcome"]) for row in rows]
    assert repr(back) == repr(values)


def _number(text: str) -> float | int:
    try:
        return int(text)
    except ValueError:
        return float(text)


def test_outcome_lists_out_of_step_are_damaged() -> None:
    record = replace(outcome([row_id(1), row_id(2)], [1, 2]), values=[1])
    with pytest.raises(Damaged):
        outcome_rows([Resolved("j", 1, record)])


def test_the_columns_of_a_table_are_those_of_the_design(scene: Scene) -> None:
    scene.write(decision(1))
    scene.ship()
    from deltalake import DeltaTable

    schema = pa.schema(DeltaTable(str(scene.root / "decisions" / "credit-risk")).schema())
    assert schema.names[:10] == [
        "decision_id",
        "time",
        "endpoint",
        "model",
        "version",
        "role",
        "segment",
        "caller",
        "latency_us",
        "flags",
    ]
    assert tuple(schema.names[10:19]) == RECORDED
    assert schema.names[19:] == ["sealed", "journal", "seq", "features", "prediction", "explanation"]
    assert schema.field("time").type == pa.timestamp("us", tz="UTC")
    assert schema.field("explanation").type == pa.struct([("age", pa.float64()), ("income", pa.float64())])
