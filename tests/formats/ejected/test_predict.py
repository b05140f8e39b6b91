from __future__ import annotations

import csv
import io
import math
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest

from tsavo.formats.ejected.predict import MISSING, cell, read_rows, write_answers

FIELDS = [
    {"name": "n", "dtype": "int64"},
    {"name": "x", "dtype": "float64"},
    {"name": "t", "dtype": "string"},
    {"name": "b", "dtype": "bool"},
]


def test_csv_and_both_kinds_of_json_are_the_same_rows() -> None:
    told: dict[str, list[Any]] = {"n": [1, 2], "x": [0.1, None], "t": ["01", None], "b": [True, False]}
    assert read_rows("n,x,t,b,more\n1,0.1,01,true,?\n2,,NA,False,?\n", FIELDS) == told
    rows = '{"n": 1, "x": 0.1, "t": "01", "b": true}\n{"n": 2, "x": null, "b": false}\n'
    assert read_rows(rows, FIELDS) == told
    assert read_rows(f"[{rows.strip().replace(chr(10), ',')}]", FIELDS) == told


def test_a_cell_with_line_breaks_and_quotes_is_one_cell() -> None:
    assert read_rows('t,n\n"two\nlines, ""quoted""",3\n', FIELDS) == {"t": ['two\nlines, "quoted"'], "n": [3]}


def test_missing_values_are_spelled_as_arrow_spells_them() -> None:
    assert set(pa.csv.ConvertOptions().null_values) == MISSING


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("9007199254740993", "int64", 9007199254740993),
        ("3.0", "int64", 3.0),
        ("-7", "int64", -7),
        ("1_000", "int64", "1_000"),
        ("1_0.5", "float64", "1_0.5"),
        ("0.1", "float64", 0.1),
        ("1e-320", "float64", 1e-320),
        ("high", "float64", "high"),
        ("1", "bool", "1"),
        ("1", "string", "1"),
    ],
)
def test_a_cell_is_read_exactly_or_stays_text(text: str, kind: str, value: Any) -> None:
    found = cell(text, kind)
    assert found == value
    assert type(found) is type(value)


def test_answers_read_back_the_same() -> None:
    values = np.array([0.1, 1 / 3, 1e300, math.pi])
    sink = io.StringIO()
    write_answers({"value": values, "label": np.array(["a", "b,c", 'd"', "e"], dtype=object)}, sink)
    rows = list(csv.DictReader(io.StringIO(sink.getvalue())))
    assert [float(row["value"]) for row in rows] == values.tolist()
    assert [row["label"] for row in rows] == ["a", "b,c", 'd"', "e"]
