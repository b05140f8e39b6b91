from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsavo.endpoints.open_tensors import from_raw
from tsavo.rest.declared_types import NARROW, as_declared
from tsavo.vocabulary import Invalid

WHOLE = sorted(name for name in NARROW if "INT" in name)


def numpy_type(datatype: str) -> np.dtype[Any]:
    return np.dtype(datatype.lower().replace("fp", "float"))


@given(st.sampled_from(["FP16", "FP32"]), st.lists(st.floats(-1e4, 1e4), min_size=1, max_size=6))
def test_json_numbers_are_those_that_raw_bytes_would_carry(datatype: str, values: list[float]) -> None:
    raw = np.array(values, numpy_type(datatype)).tobytes()
    shape = (len(values),)
    in_bytes: Any = from_raw("m", datatype, shape, raw, "inputs.m").data
    in_json: Any = as_declared("m", datatype, shape, list(values))
    assert in_json.dtype == in_bytes.dtype
    assert in_json.tobytes() == in_bytes.tobytes()


@given(st.sampled_from(WHOLE), st.lists(st.integers(-(2**65), 2**65), min_size=1, max_size=6))
def test_whole_numbers_are_taken_within_their_limits_and_refused_beyond(
    datatype: str, values: list[int]
) -> None:
    limits = np.iinfo(numpy_type(datatype))
    fits = all(limits.min <= value <= limits.max for value in values)
    read: Any = None
    try:
        read = as_declared("m", datatype, (len(values),), list(values))
    except Invalid as error:
        assert not fits
        assert datatype in error.reason
    else:
        # What is beyond all arrays is left to the column, which refuses it.
        assert fits or isinstance(read, list)
    if fits and read is not None:
        told = read if isinstance(read, list) else read.tolist()
        assert [int(value) for value in told] == values


@pytest.mark.parametrize(
    ("datatype", "data", "at"),
    [
        ("INT64", [1, 1.5], 1),
        ("UINT8", [-1], 0),
        ("INT8", [0, 128], 1),
        ("BOOL", [1, 0, 2], 2),
        ("BF16", [1], None),
    ],
)
def test_a_value_that_the_datatype_does_not_have_is_named(
    datatype: str, data: list[Any], at: int | None
) -> None:
    with pytest.raises(Invalid) as refused:
        as_declared("m", datatype, (len(data),), data)
    assert refused.value.field == ("inputs.m.datatype" if at is None else f"inputs.m[{at}]")


def test_truths_may_be_ones_and_noughts() -> None:
    read: Any = as_declared("m", "BOOL", (3,), [1, 0, True])
    assert read.dtype == np.bool_
    assert read.tolist() == [True, False, True]


def test_a_missing_value_stays_missing() -> None:
    read: Any = as_declared("m", "FP32", (2,), [0.1, None])
    assert read[0] == np.float32(0.1)
    assert np.isnan(read[1])


@pytest.mark.parametrize(
    "data", [[0.5, "1"], [None, True], [[1.5, 2.5]], [[1], [2, 3]], [1, 2, 3], [[[1], [2]]], [{}]]
)
def test_what_is_not_such_a_tensor_is_left_for_the_column_to_refuse(data: list[Any]) -> None:
    assert as_declared("m", "FP32", (2,), data) is data


def test_rows_may_be_nested() -> None:
    read: Any = as_declared("m", "FP32", (2, 3), [[1, 2, 3], [4, 5, 0.1]])
    assert read.shape == (2, 3)
    assert read[1, 2] == np.float32(0.1)
