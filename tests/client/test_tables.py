from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsavo.client.tables import as_table, check_writable, read_table, write_table
from tsavo.vocabulary import Invalid, NotFound, Unreadable

ROWS = [{"a": 1, "b": "x"}, {"a": 2, "b": None}]


class Foreign:
    """A table of another library: all that is known of it is Arrow's stream."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        return self._table.__arrow_c_stream__(requested_schema)


@pytest.mark.parametrize(
    "data",
    [
        pd.DataFrame({"a": [1, 2], "b": ["x", None]}, index=[7, 8]),
        pa.table({"a": [1, 2], "b": ["x", None]}),
        pa.record_batch({"a": pa.array([1, 2]), "b": pa.array(["x", None])}),
        Foreign(pa.table({"a": [1, 2], "b": ["x", None]})),
        {"a": np.array([1, 2]), "b": pd.Series(["x", None])},
        {"a": (1, 2), "b": pa.array(["x", None])},
        ROWS,
    ],
    ids=["pandas", "arrow", "batch", "stream", "arrays", "sequences", "rows"],
)
def test_every_make_of_table_is_the_same_table(data: Any) -> None:
    assert as_table(data).to_pylist() == ROWS


def test_rows_may_have_different_keys() -> None:
    assert as_table([{"a": 1}, {"b": "x", "a": 2}]).to_pydict() == {"a": [1, 2], "b": [None, "x"]}


def test_missing_numbers_are_nulls_whatever_they_were() -> None:
    for data in (
        pd.DataFrame({"a": [1.5, np.nan]}),
        {"a": np.array([1.5, np.nan])},
        [{"a": 1.5}, {"a": float("nan")}],
    ):
        assert as_table(data).column("a").to_pylist() == [1.5, None]


def test_columns_of_an_array_are_called_as_scikit_learn_calls_them() -> None:
    table = as_table(np.arange(6).reshape(2, 3))
    assert table.to_pydict() == {"x0": [0, 3], "x1": [1, 4], "x2": [2, 5]}


@pytest.mark.parametrize(
    "data",
    [3, "a,b", [1, 2], {"a": 3}, {"a": "xy"}, {"a": [1, 2], "b": [1]}, {"a": [1, "x"]}, np.arange(3)],
)
def test_what_is_no_table_is_invalid(data: Any) -> None:
    with pytest.raises(Invalid) as caught:
        as_table(data)
    assert caught.value.field == "table"


def test_a_column_that_occurs_twice_is_named() -> None:
    with pytest.raises(Invalid) as caught:
        as_table(pd.DataFrame([[1, 2]], columns=["a", "a"]))
    assert "a" in str(caught.value)


cells = st.one_of(st.none(), st.integers(-(2**53), 2**53))
words = st.one_of(st.none(), st.text(st.characters(codec="utf-8", exclude_characters="\x00")))


@pytest.mark.parametrize("kind", ["parquet", "json", "jsonl", "csv"])
@given(rows=st.lists(st.fixed_dictionaries({"n": cells, "w": words}), min_size=1, max_size=5))
def test_what_is_written_is_read_again(kind: str, rows: list[dict[str, Any]]) -> None:
    if kind == "csv":
        # In CSV these words are how a missing value is written, and a line break ends a row.
        rows = [row | {"w": None if row["w"] is None else f"w {row['w'].encode().hex()}"} for row in rows]
    table = pa.table(
        {
            "n": pa.array([row["n"] for row in rows], pa.int64()),
            "w": pa.array([row["w"] for row in rows], pa.string()),
        }
    )
    path = Path(f"rows.{kind}")
    again = read_table(path, content=write_table(table, path), text=["w"])
    assert again.to_pylist() == table.to_pylist()


def test_lists_are_json_in_csv_cells() -> None:
    table = pa.table({"id": ["a"], "p": [[0.25, 0.75]]})
    assert write_table(table, Path("x.csv")) == b'"id","p"\n"a","[0.25,0.75]"\n'


def test_text_columns_keep_what_looks_like_something_else(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text('zip,flag,n\n01234,true,1\n1.0,"",2\n,x,\n')
    table = read_table(tmp_path / "rows.csv", text=["zip", "flag", "not there"])
    assert table.to_pydict() == {
        "zip": ["01234", "1.0", None],
        "flag": ["true", "", "x"],
        "n": [1, 2, None],
    }
    assert read_table(tmp_path / "rows.csv").column("zip").to_pylist() == [1234.0, 1.0, None]


def test_json_is_an_array_or_a_row_a_line(tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text(' [{"a": 1}, {"b": 2}]')
    (tmp_path / "lines.json").write_text('{"a": 1}\n\n{"b": 2}\n')
    expected = {"a": [1, None], "b": [None, 2]}
    assert read_table(tmp_path / "rows.json").to_pydict() == expected
    assert read_table(tmp_path / "lines.json").to_pydict() == expected


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("x.csv", b""),
        ("x.parquet", b"PAR1 not"),
        ("x.json", b"{"),
        ("x.json", b"[1]"),
        ("x.csv", b"a\n\xff\xfe\n"),
    ],
)
def test_files_that_are_not_what_their_name_says(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(Unreadable) as caught:
        read_table(tmp_path / name, text=["a"])
    assert str(tmp_path / name) in str(caught.value)


def test_paths_that_lead_nowhere(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        read_table(tmp_path / "x.csv")
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(Unreadable):
        read_table(tmp_path / "folder.csv")
    with pytest.raises(Invalid, match="--format"):
        read_table(tmp_path / "x.xlsx")


def test_an_output_is_looked_at_before_anything_is_done(tmp_path: Path) -> None:
    check_writable(tmp_path / "x.parquet")
    with pytest.raises(Invalid):
        check_writable(tmp_path / "x.xlsx")
    with pytest.raises(NotFound):
        check_writable(tmp_path / "nowhere" / "x.csv")
    with pytest.raises(Invalid):
        write_table(pa.table({"a": [1]}), tmp_path / "x.xlsx")
