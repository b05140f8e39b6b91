from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tritonclient.utils import deserialize_bytes_tensor, np_to_triton_dtype

from tests.grpc_door.served import tensor
from tsavo.endpoints.open_tensors import datatype_of
from tsavo.grpc.messages import message
from tsavo.grpc.tensors import read_inputs, write_contents, write_raw
from tsavo.vocabulary import NUMPY_DTYPES, DType, Invalid

NUMBERS: list[DType] = ["float64", "float32", "int64", "int32", "bool"]
# Code points of surrogates have no UTF-8.
TEXTS = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=20), min_size=1, max_size=20)


def typed_request(output: Any) -> Any:
    """A request whose input is an answer's output."""
    request = message("ModelInferRequest")()
    request.inputs.add(
        name=output.name, datatype=output.datatype, shape=output.shape, contents=output.contents
    )
    return request


@pytest.mark.parametrize("dtype", NUMBERS)
def test_numbers_go_there_and_back_bit_by_bit(dtype: DType) -> None:
    @settings(max_examples=25, deadline=None)
    @given(arrays(NUMPY_DTYPES[dtype], st.integers(1, 50)))
    def check(values: Any) -> None:
        response = message("ModelInferResponse")()
        output = response.outputs.add(name="x", datatype=datatype_of(dtype), shape=values.shape)
        write_contents(output, values, dtype)
        (read,), raw = read_inputs(typed_request(output))
        assert not raw
        assert isinstance(read.data, np.ndarray)
        assert read.data.dtype == values.dtype
        # A NaN's payload is no part of a 32-bit float that travels as a Python number.
        np.testing.assert_array_equal(read.data, values)
        write_raw(response, values)
        assert response.raw_output_contents == [values.tobytes()]

    check()


@settings(max_examples=50, deadline=None)
@given(TEXTS)
def test_strings_go_there_and_back(texts: list[str]) -> None:
    values = np.empty(len(texts), object)
    values[:] = texts
    response = message("ModelInferResponse")()
    output = response.outputs.add(name="x", datatype="BYTES", shape=values.shape)
    write_contents(output, values, "string")
    (read,), _ = read_inputs(typed_request(output))
    assert read.data == texts
    write_raw(response, values)
    theirs = deserialize_bytes_tensor(response.raw_output_contents[0])
    assert [value.decode() for value in theirs] == texts


def test_a_missing_string_becomes_an_empty_one() -> None:
    output = message("ModelInferResponse")().outputs.add()
    write_contents(output, np.array(["voi", None], object), "string")
    assert list(output.contents.bytes_contents) == [b"voi", b""]


def test_raw_numbers_are_taken_as_they_lie_there() -> None:
    rows = np.arange(60.0).reshape(3, 20)
    theirs = tensor("m", rows)
    request = message("ModelInferRequest")(raw_input_contents=[rows.tobytes()])
    request.inputs.add(name="m", datatype=np_to_triton_dtype(rows.dtype), shape=theirs.shape())
    (read,), raw = read_inputs(request)
    assert raw
    assert isinstance(read.data, np.ndarray)
    assert read.data.base is not None
    assert not read.data.flags.owndata
    np.testing.assert_array_equal(read.data.reshape(rows.shape), rows)


@pytest.mark.parametrize(
    ("datatype", "good", "bad"),
    [
        ("INT8", [-128, 127], -129),
        ("INT16", [-(2**15), 2**15 - 1], 2**15),
        ("UINT8", [0, 255], 256),
        ("UINT16", [0, 2**16 - 1], 2**16),
    ],
)
def test_a_narrow_datatype_in_wide_contents(datatype: str, good: list[int], bad: int) -> None:
    request = message("ModelInferRequest")()
    given_now = request.inputs.add(name="x", datatype=datatype, shape=[2])
    values = given_now.contents.uint_contents if datatype[0] == "U" else given_now.contents.int_contents
    values.extend(good)
    (read,), _ = read_inputs(request)
    assert isinstance(read.data, np.ndarray)
    assert read.data.tolist() == good
    values[1] = bad
    with pytest.raises(Invalid, match=datatype) as caught:
        read_inputs(request)
    assert caught.value.field == "inputs.x[1]"
    assert caught.value.found == bad
