from __future__ import annotations

import datetime
import decimal
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsavo.client.columns import InputColumn, fitted
from tsavo.endpoints.inputs import InputReader, InputTensor
from tsavo.rest.open_inference import decode_request
from tsavo.vocabulary import DType, Field, Invalid, Signature, Unavailable

DTYPES: dict[str, DType] = {
    "FP64": "float64",
    "FP32": "float32",
    "INT64": "int64",
    "INT32": "int32",
    "BOOL": "bool",
    "BYTES": "string",
}


def column(datatype: str, **rules: Any) -> InputColumn:
    told = {"name": "c", "datatype": datatype, "shape": [-1], "parameters": rules}
    return msgspec.convert(told, InputColumn)


def fit(datatype: str, values: Any, **rules: Any) -> list[Any]:
    given_column = values if isinstance(values, pa.ChunkedArray) else pa.chunked_array([pa.array(values)])
    return fitted(column(datatype, **rules), given_column)


@pytest.mark.parametrize(
    ("datatype", "values", "expected"),
    [
        ("FP64", [1.5, None, float("nan")], [1.5, None, None]),
        ("FP64", [1, 2], [1, 2]),
        ("FP32", [True, False], [1, 0]),
        ("FP64", [decimal.Decimal("1.25")], [1.25]),
        ("FP64", pa.array([None, None]), [None, None]),
        ("INT64", [2**62 + 1], [2**62 + 1]),
        ("INT64", [3.0, 4.0], [3, 4]),
        ("INT32", [True], [1]),
        ("BOOL", [True, False], [True, False]),
        ("BOOL", [1, 0], [True, False]),
        ("BYTES", ["a", None, ""], ["a", None, ""]),
        ("BYTES", [12, None], ["12", None]),
        ("BYTES", pa.array(["a", "b", "a"]).dictionary_encode(), ["a", "b", "a"]),
        ("BYTES", pa.array(["a"], pa.large_string()), ["a"]),
        ("BYTES", pa.array(["a"], pa.string_view()), ["a"]),
    ],
)
def test_values_are_turned_into_what_the_column_is(datatype: str, values: Any, expected: list[Any]) -> None:
    found = fit(datatype, values)
    assert found == expected
    assert [type(value) for value in found] == [type(value) for value in expected]


@pytest.mark.parametrize(
    ("datatype", "values", "row", "shown"),
    [
        ("FP64", ["1", "2", "n/a", "4"], 2, "'n/a'"),
        ("FP64", [None, "1"], 1, "'1'"),
        ("FP64", [1.0, float("inf")], 1, "inf"),
        ("INT64", [1.0, 2.5], 1, "2.5"),
        ("INT64", [1.0, float("-inf")], 1, "-inf"),
        ("BOOL", [0, 1, 2], 2, "2"),
        ("INT64", [2.0**54], 0, "1.8014398509481984e+16"),
        ("INT32", [2**31 - 1, 2**31], 1, "2147483648"),
        ("FP32", [3.5e38], 0, "3.5e+38"),
        ("BYTES", [1.5], 0, "1.5"),
        ("BYTES", [True], 0, "True"),
    ],
)
def test_what_does_not_fit_is_named_with_its_row(datatype: str, values: Any, row: int, shown: str) -> None:
    with pytest.raises(Invalid) as caught:
        fit(datatype, values)
    assert caught.value.field == f"inputs.c[{row}]"
    assert f"found: {shown}" in str(caught.value)


@pytest.mark.parametrize(
    "values",
    [[datetime.date(2026, 1, 1)], [datetime.timedelta(1)], [b"bytes"], [[1, 2]], [{"a": 1}]],
)
def test_types_that_no_model_takes(values: Any) -> None:
    with pytest.raises(Invalid) as caught:
        fit("FP64", values)
    assert caught.value.field == "inputs.c"


def test_a_missing_value_where_none_is_taken() -> None:
    assert fit("FP64", [1.0, None], nullable=True) == [1.0, None]
    for values in ([1.0, None], [1.0, float("nan")]):
        with pytest.raises(Invalid) as caught:
            fit("FP64", values, nullable=False)
        assert caught.value.field == "inputs.c[1]"


def test_an_unknown_category_is_refused_only_where_the_model_fails_on_it() -> None:
    rules: dict[str, Any] = {"categories": ["a", "b"]}
    assert fit("BYTES", ["a", "z", None], unseen="flag", **rules) == ["a", "z", None]
    assert fit("BYTES", ["a", "b", None], unseen="refuse", **rules) == ["a", "b", None]
    with pytest.raises(Invalid) as caught:
        fit("BYTES", ["a", "z"], unseen="refuse", **rules)
    assert (caught.value.field, caught.value.found) == ("inputs.c[1]", "z")


def test_a_pandas_category_is_its_text() -> None:
    series = pd.Series(["x", "y", None], dtype="category")
    assert fit("BYTES", pa.chunked_array([pa.array(series)])) == ["x", "y", None]


anything = st.lists(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(2**63), 2**63 - 1),
        st.floats(),
        st.sampled_from(
            [2.0**53, 2.0**53 + 2, 2.0**63, 3.4028235677973366e38, 3.4028235e38, 2**31, -(2**31)]
        ),
        st.text(max_size=3),
    ),
    min_size=1,
    max_size=4,
)


@pytest.mark.parametrize("nullable", [False, True])
@pytest.mark.parametrize("datatype", list(DTYPES))
@given(values=anything)
def test_what_the_client_lets_through_the_gateway_takes(
    datatype: str, nullable: bool, values: list[Any]
) -> None:
    """The gateway's own reader is asked about the bytes that would be sent."""
    nullable = nullable and datatype in ("FP64", "FP32", "BYTES")
    try:
        arrow = pa.chunked_array([pa.array(values)])
        sent = fitted(column(datatype, nullable=nullable), arrow)
    except (Invalid, pa.ArrowException, OverflowError):
        return
    tensor = {"name": "c", "datatype": datatype, "shape": [len(sent)], "data": sent}
    request = decode_request(msgspec.json.encode({"inputs": [tensor]}))
    signature = Signature((Field("c", DTYPES[datatype], nullable),), (), "generic")
    batch, _ = InputReader(signature, max_rows=10).read(request.tensors)
    read = batch.matrix[:, 0] if batch.matrix is not None else batch.columns[0]
    for one, other in zip(sent, read.tolist(), strict=True):
        missing = other is None or other != other
        assert missing if one is None else other == np.asarray(one, read.dtype).item()


def test_a_type_of_another_version_is_named() -> None:
    with pytest.raises(Unavailable) as caught:
        fit("FP16", [1.0])
    assert "FP16" in str(caught.value)


def test_the_reader_of_the_last_test_does_refuse() -> None:
    signature = Signature((Field("c", "bool"),), (), "generic")
    with pytest.raises(Invalid):
        InputReader(signature, max_rows=10).read([InputTensor("c", (1,), [1])])
