from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tsavo.formats.ejected.columns import Refusal, as_columns, flattened

SIGNATURE: dict[str, Any] = {
    "inputs": [
        {"name": "age", "dtype": "int64"},
        {"name": "income", "dtype": "float64", "nullable": True},
        {"name": "city", "dtype": "string", "nullable": True, "categories": ["voi"], "unseen": "refuse"},
        {"name": "member", "dtype": "bool"},
    ],
    "outputs": [
        {"name": "label", "dtype": "int64"},
        {"name": "probabilities", "dtype": "float32", "width": 2},
    ],
}
GOOD: dict[str, list[Any]] = {
    "age": [1, 2],
    "income": [0.5, None],
    "city": ["voi", None],
    "member": [True, False],
}


def test_columns_have_the_types_of_the_signature() -> None:
    columns = as_columns(SIGNATURE, {"more": [1, 2], **GOOD})
    assert [values.dtype for values in columns.values()] == [np.int64, np.float64, object, np.bool_]
    assert columns["income"][0] == 0.5
    assert math.isnan(columns["income"][1])
    assert columns["city"].tolist() == ["voi", None]


def test_every_kind_of_missing_value_is_missing() -> None:
    for hole in (None, float("nan"), np.nan, np.float64("nan"), pd.NA, pd.NaT):
        columns = as_columns(SIGNATURE, {**GOOD, "income": [0.5, hole], "city": ["voi", hole]})
        assert math.isnan(columns["income"][1])
        assert columns["city"][1] is None


def test_what_arrays_and_frames_give_is_taken() -> None:
    columns = as_columns(
        SIGNATURE, {**GOOD, "age": np.array([1, 2], np.int32), "member": np.array([True, False])}
    )
    assert columns["age"].tolist() == [1, 2]
    assert as_columns(SIGNATURE, {**GOOD, "age": [3.0, -0.0]})["age"].tolist() == [3, 0]


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("age", [1, 1.5]),
        ("age", [1, None]),
        ("age", [1, True]),
        ("age", [1, "2"]),
        ("age", [1, 2.0**60]),
        ("age", [1, 2**63]),
        ("income", [1.0, math.inf]),
        ("income", [1.0, "high"]),
        ("city", ["voi", 3]),
        ("city", ["voi", "nairobi"]),
        ("member", [True, 1]),
        ("member", [True, None]),
    ],
)
def test_what_the_gateway_refuses_is_refused_with_its_place(name: str, values: list[Any]) -> None:
    with pytest.raises(Refusal, match=f"column '{name}', row 1"):
        as_columns(SIGNATURE, {**GOOD, name: values})


def test_a_missing_or_short_column_is_refused() -> None:
    with pytest.raises(Refusal, match="columns are missing: member"):
        as_columns(SIGNATURE, {name: values for name, values in GOOD.items() if name != "member"})
    with pytest.raises(Refusal, match="same number of rows"):
        as_columns(SIGNATURE, {**GOOD, "age": [1]})


def test_wide_outputs_become_a_column_for_each_value() -> None:
    outputs = {"label": np.array([0, 1]), "probabilities": np.array([[0.25, 0.75], [0.5, 0.5]])}
    flat = flattened(SIGNATURE, outputs)
    assert list(flat) == ["label", "probabilities.0", "probabilities.1"]
    assert flat["probabilities.1"].tolist() == [0.75, 0.5]
    assert flat["probabilities.1"].dtype == np.float32
