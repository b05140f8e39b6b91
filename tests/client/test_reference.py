from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tsavo.client.reference import reference_of
from tsavo.vocabulary import Invalid, NotFound

FRAME = pd.DataFrame({"a": [1, 2], "late": [0, 1]})


def rows_of(reference: Any, target: Any) -> tuple[list[dict[str, Any]], str | None]:
    source, name = reference_of(reference, target)
    assert isinstance(source.content, bytes)
    rows: list[dict[str, Any]] = pq.read_table(io.BytesIO(source.content)).to_pylist()
    return rows, name


@pytest.mark.parametrize("name", ["ref.parquet", "ref.csv", "ref"])
def test_a_file_goes_as_it_is(tmp_path: Path, name: str) -> None:
    """So that the digest in the lineage is the digest of the person's own file."""
    (tmp_path / name).write_bytes(b"whatever it holds")
    given = reference_of(str(tmp_path / name), "late")
    assert (given.source.name, given.source.content, given.target) == (name, tmp_path / name, "late")


def test_json_goes_as_parquet(tmp_path: Path) -> None:
    (tmp_path / "ref.jsonl").write_text('{"a": 1}\n{"a": 2}\n')
    assert rows_of(tmp_path / "ref.jsonl", None) == ([{"a": 1}, {"a": 2}], None)


def test_a_path_that_leads_nowhere(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.csv", tmp_path):
        with pytest.raises(NotFound) as caught:
            reference_of(path, None)
        assert caught.value.field == "reference"


@pytest.mark.parametrize(
    ("target", "name"),
    [
        (pd.Series([0, 1], name="late"), "late"),
        (pd.Series([0, 1]), "target"),
        (np.array([0, 1]), "target"),
        (pa.array([0, 1]), "target"),
        ([0, 1], "target"),
        ("late", "late"),
        (None, None),
    ],
)
def test_the_target_is_a_column_or_becomes_one(target: Any, name: str | None) -> None:
    reference = FRAME if target is None or isinstance(target, str) else FRAME[["a"]]
    rows, found = rows_of(reference, target)
    assert found == name
    if name is not None:
        assert [row[name] for row in rows] == [0, 1]


def test_a_target_that_is_in_the_reference_already() -> None:
    rows, name = rows_of(FRAME, FRAME["late"])
    assert (rows, name) == (FRAME.to_dict("records"), "late")
    with pytest.raises(Invalid, match="another column"):
        reference_of(FRAME, pd.Series([1, 1], name="late"))


@pytest.mark.parametrize("target", [[0], [0, 1, 1], [0, "x"]])
def test_a_target_that_does_not_fit(target: Any) -> None:
    with pytest.raises(Invalid) as caught:
        reference_of(FRAME, target)
    assert caught.value.field == "target"


def test_a_missing_outcome_is_null() -> None:
    rows, _ = rows_of(FRAME[["a"]], pd.Series([0.0, np.nan]))
    assert [row["target"] for row in rows] == [0.0, None]
