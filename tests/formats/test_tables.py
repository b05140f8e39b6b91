from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsavo.formats.tables import (
    batch_of,
    evenly,
    field_of,
    read_columns,
    read_table,
    table_with_predictions,
    without_target,
)
from tsavo.vocabulary import Field, Invalid, Output, Signature, Unreadable


@pytest.mark.parametrize(
    ("values", "dtype", "expected"),
    [
        (pa.array([1, 2], pa.int8()), np.int64, [1, 2]),
        (pa.array([1, None], pa.int32()), np.float64, [1.0, np.nan]),
        (pa.array([1.5, None], pa.float32()), np.float64, [1.5, np.nan]),
        (pa.array([True, False]), np.bool_, [True, False]),
        (pa.array([True, None]), np.float64, [1.0, np.nan]),
        (pa.array(["a", None]), object, ["a", None]),
        (pa.array(["a", None, "a"]).dictionary_encode(), object, ["a", None, "a"]),
        (pa.array([None, None]), np.float64, [np.nan, np.nan]),
        (pa.array([Decimal("1.25"), None]), np.float64, [1.25, np.nan]),
    ],
    ids=str,
)
def test_columns_of_every_kind(values: Any, dtype: Any, expected: list[Any]) -> None:
    found = read_columns(pa.table({"x": values}), ["x"])["x"]
    assert found.dtype == dtype
    if dtype is np.float64:
        np.testing.assert_array_equal(found, expected)
    else:
        assert found.tolist() == expected


def test_a_column_that_models_cannot_take_is_named() -> None:
    table = pa.table({"when": pa.array([datetime(2026, 1, 1, tzinfo=UTC)])})
    with pytest.raises(Invalid) as refusal:
        read_columns(table, ["when"])
    assert refusal.value.field == "reference.when"


def test_parquet_and_csv_give_the_same_columns(tmp_path: Path) -> None:
    table = pa.table({"n": [1, 2, 3], "x": [0.5, None, 2.0], "s": ["a", None, "c"]})
    pq.write_table(table, tmp_path / "t")
    (tmp_path / "t.csv").write_text("n,x,s\n1,0.5,a\n2,,\n3,2.0,c\n")
    for name in table.column_names:
        one = read_columns(read_table(tmp_path / "t"), [name])[name]
        other = read_columns(read_table(tmp_path / "t.csv"), [name])[name]
        assert one.dtype == other.dtype
        assert str(one.tolist()) == str(other.tolist())


@pytest.mark.parametrize("content", [b"", b"PAR1 but no more", b'a,b\n1\n"'])
def test_files_that_are_no_table(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "t"
    path.write_bytes(content)
    with pytest.raises(Unreadable):
        read_table(path)


def test_tables_without_rows_or_with_a_column_twice(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n")
    with pytest.raises(Invalid, match="no rows"):
        read_table(tmp_path / "t.csv")
    (tmp_path / "t.csv").write_text("a,a\n1,2\n")
    with pytest.raises(Invalid, match="twice"):
        read_table(tmp_path / "t.csv")


def test_an_unknown_target_is_refused() -> None:
    table = pa.table({"a": [1], "b": [2]})
    assert without_target(table, None) == (["a", "b"], None)
    names, target = without_target(table, "b")
    assert names == ["a"]
    assert target is not None
    assert target[0] == "b"
    with pytest.raises(Invalid):
        without_target(table, "c")


def test_fields_describe_what_was_seen() -> None:
    assert field_of("x", np.array([1.0, np.nan, np.inf])) == Field(
        "x", "float64", nullable=True, low=1.0, high=1.0
    )
    assert field_of("x", np.array([3, 1])) == Field("x", "int64", low=1.0, high=3.0)
    assert field_of("x", np.array([True])) == Field("x", "bool")
    texts = np.array(["b", None, "a"], dtype=object)
    assert field_of("x", texts) == Field("x", "string", nullable=True, categories=("a", "b"))
    many = np.array([str(at) for at in range(201)], dtype=object)
    assert field_of("x", many).categories is None


@given(st.integers(1, 5000), st.integers(1, 300))
def test_even_rows_are_distinct_ordered_and_reach_both_ends(rows: int, most: int) -> None:
    chosen = evenly(rows, most)
    assert len(chosen) == min(rows, most)
    assert (np.diff(chosen) > 0).all()
    assert chosen[0] == 0
    assert most == 1 or chosen[-1] == rows - 1


def test_predictions_stand_beside_inputs_and_target() -> None:
    signature = Signature(
        (Field("x", "float64"), Field("s", "string")),
        (Output("label", "string"), Output("probabilities", "float64", 2)),
        "binary",
        ("a", "b"),
    )
    columns = {"x": np.array([1.0, np.nan]), "s": np.array(["u", None], dtype=object)}
    outputs = (np.array(["a", "b"], dtype=object), np.array([[0.9, 0.1], [0.2, 0.8]]))
    table = table_with_predictions(signature, columns, outputs, ("y", pa.chunked_array([["a", "a"]])))
    assert table.to_pydict() == {
        "x": [1.0, None],
        "s": ["u", None],
        "y": ["a", "a"],
        "prediction.label": ["a", "b"],
        "prediction.probabilities.0": [0.9, 0.2],
        "prediction.probabilities.1": [0.1, 0.8],
    }
    assert batch_of(signature, columns).matrix is None
