from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tsavo.runtimes.reference import generated_rows, read_reference
from tsavo.vocabulary import Invalid


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "reference.csv"
    path.write_text("c,a,b,y\n1,2.5,x,0\n3,4.5,z,1\n")
    return path


def test_columns_come_in_the_models_order_and_the_target_apart(rows: Path) -> None:
    reference = read_reference(rows, "y", ["a", "b"], 2)
    assert list(reference.columns) == ["a", "b"]
    assert reference.columns["a"].tolist() == [2.5, 4.5]
    assert reference.rows == 2
    assert reference.target is not None
    assert reference.target[1].to_pylist() == [0, 1]


def test_a_model_without_names_takes_the_files_order(rows: Path) -> None:
    assert list(read_reference(rows, "y", None, 3).columns) == ["c", "a", "b"]


def test_missing_columns_are_all_listed(rows: Path) -> None:
    with pytest.raises(Invalid, match="d, e") as refusal:
        read_reference(rows, None, ["a", "d", "e"], 3)
    assert refusal.value.field == "reference"


def test_another_number_of_columns_reminds_of_the_target(rows: Path) -> None:
    with pytest.raises(Invalid, match="no target was named"):
        read_reference(rows, None, None, 3)


def test_made_up_rows_are_the_same_every_time() -> None:
    one = generated_rows(["a", "b", "c", "d"], ["float64", "int32", "bool", "string"])
    other = generated_rows(["a", "b", "c", "d"], ["float64", "int32", "bool", "string"])
    assert one.generated
    assert [values.dtype for values in one.columns.values()] == [np.float64, np.int32, np.bool_, object]
    for name, values in one.columns.items():
        np.testing.assert_array_equal(values, other.columns[name])
        assert len(set(values.tolist())) > 1
