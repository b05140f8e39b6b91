"""Raw tensors against numpy's own bytes and the published client's codec of strings."""

from __future__ import annotations

from typing import get_args

import ml_dtypes
import numpy as np
import pytest
import tritonclient.utils as triton
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from tsavo.endpoints.open_tensors import DATATYPES, check_shape, datatype_of, from_raw, to_raw
from tsavo.vocabulary import NUMPY_DTYPES, BadInput, DType, Invalid, Unreadable

NUMBERS = [name for name, element in DATATYPES.items() if element != "bytes" and name != "BF16"]


def refused(datatype: str, shape: list[int], raw: bytes) -> BadInput:
    with pytest.raises((Invalid, Unreadable)) as caught:
        from_raw("x", datatype, shape, raw, "inputs.x.data")
    assert caught.value.field is not None
    assert caught.value.field.startswith("inputs.x")
    return caught.value


def test_the_datatypes_are_those_of_the_published_client() -> None:
    for name in NUMBERS:
        assert np.dtype(triton.triton_to_np_dtype(name)) == DATATYPES[name]
        assert triton.triton_to_np_dtype(triton.np_to_triton_dtype(DATATYPES[name])) == DATATYPES[name]


@given(st.lists(st.floats(width=16), max_size=5))
def test_halves_of_floats_are_read_as_their_library_reads_them(values: list[float]) -> None:
    array = np.array(values, ml_dtypes.bfloat16)
    tensor = from_raw("x", "BF16", [len(values)], to_raw(array), "inputs.x.data")
    assert isinstance(tensor.data, np.ndarray)
    assert tensor.data.dtype == np.float32
    assert tensor.data.tobytes() == array.astype(np.float32).tobytes()


def test_every_type_of_a_signature_has_a_datatype() -> None:
    for dtype in get_args(DType):
        element = DATATYPES[datatype_of(dtype)]
        assert np.dtype(object if element == "bytes" else element) == NUMPY_DTYPES[dtype]


@given(st.data())
def test_numbers_go_there_and_back_bit_for_bit(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(NUMBERS))
    element = DATATYPES[name]
    array = data.draw(npst.arrays(element, npst.array_shapes(max_dims=2, max_side=4)))
    raw = to_raw(array)
    assert raw == array.tobytes()
    tensor = from_raw("x", name, array.shape, raw, "inputs.x.data")
    assert isinstance(tensor.data, np.ndarray)
    assert tensor.shape == array.shape
    assert tensor.data.tobytes() == array.tobytes()


@given(st.integers(0, 15), st.sampled_from(NUMBERS))
def test_values_at_any_place_of_a_body_are_aligned_and_right(offset: int, name: str) -> None:
    values = np.array([1, 0, 1], DATATYPES[name])
    body = bytes(offset) + values.tobytes() + b"after"
    raw = memoryview(body)[offset : offset + values.nbytes]
    tensor = from_raw("x", name, [3], raw, "inputs.x.data")
    assert isinstance(tensor.data, np.ndarray)
    assert tensor.data.flags.aligned
    assert tensor.data.tolist() == values.tolist()


def test_aligned_numbers_are_not_copied() -> None:
    body = np.arange(1000.0).tobytes()
    tensor = from_raw("x", "FP64", [1000], memoryview(body), "inputs.x.data")
    assert np.shares_memory(tensor.data, np.frombuffer(body, np.uint8))


def test_arrays_in_another_order_are_written_row_major_and_little_endian() -> None:
    columns_first = np.asfortranarray(np.arange(6, dtype=np.int32).reshape(2, 3))
    assert to_raw(columns_first) == np.arange(6, dtype="<i4").tobytes()
    assert to_raw(np.array([1, 256], dtype=">i2")) == b"\x01\x00\x00\x01"


@given(st.lists(st.text(max_size=8), max_size=5))
def test_strings_go_there_and_back_as_the_client_writes_and_reads_them(texts: list[str]) -> None:
    array = np.empty(len(texts), object)
    array[:] = texts
    raw = to_raw(array)
    if texts:
        assert raw == triton.serialize_byte_tensor(array).item()
        assert [text.decode() for text in triton.deserialize_bytes_tensor(raw)] == texts
    assert from_raw("x", "BYTES", [len(texts)], raw, "inputs.x.data").data == texts
    assert from_raw("x", "BYTES", [len(texts), 1], memoryview(raw), "inputs.x.data").data == texts


def test_a_missing_string_is_written_as_an_empty_one() -> None:
    assert to_raw(np.array(["a", None], object)) == b"\x01\0\0\0a\0\0\0\0"


@pytest.mark.parametrize("shape", [[], [-1], [2**63], [1, -1], [1] * 9, [10**400]])
def test_shapes_that_are_none_are_refused(shape: list[int]) -> None:
    with pytest.raises(Invalid) as caught:
        check_shape("x", shape)
    assert caught.value.field == "inputs.x.shape"
    assert refused("FP64", shape, b"").field == "inputs.x.shape"


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ([2], 8),
        ([1], 7),
        ([1], 0),
        ([0], 8),
        # Products that 64 bits cannot hold, and one that comes out as 0 there.
        ([2**62, 2**62], 16),
        ([2**32, 2**32], 0),
        ([2**63 - 1], 8),
    ],
)
def test_data_of_another_size_than_its_shape_is_refused(shape: list[int], size: int) -> None:
    error = refused("FP64", shape, bytes(size))
    assert error.field == "inputs.x.data"
    assert str(error.found) == f"{size} bytes"


def test_a_truth_value_is_0_or_1() -> None:
    assert refused("BOOL", [3], b"\x00\x01\x02").field == "inputs.x.data[2]"


def test_an_unknown_datatype_is_told_those_there_are() -> None:
    error = refused("DOUBLE", [1], bytes(8))
    assert error.field == "inputs.x.datatype"
    assert "FP64" in str(error.expected)


def string(text: bytes, said: int | None = None) -> bytes:
    return (len(text) if said is None else said).to_bytes(4, "little") + text


@pytest.mark.parametrize(
    ("shape", "raw", "field"),
    [
        ([1], b"", "inputs.x.data"),
        ([1], b"\x01\0\0", "inputs.x.data"),
        ([1], string(b"abc", 4), "inputs.x.data[0]"),
        ([1], string(b"abc", 2**32 - 1), "inputs.x.data[0]"),
        ([2], string(b"abc") + string(b"d", 9), "inputs.x.data[1]"),
        # The first takes what was meant as the length of the second.
        ([2], string(b"\0\0\0\0", 3), "inputs.x.data[1]"),
        ([1], string(b"abc") + b"!", "inputs.x.data"),
        ([2**40], string(b"abc"), "inputs.x.data"),
        ([0], string(b"abc"), "inputs.x.data"),
    ],
)
def test_strings_whose_lengths_lie_are_refused(shape: list[int], raw: bytes, field: str) -> None:
    assert refused("BYTES", shape, raw).field == field


@pytest.mark.parametrize("text", [b"\xff", b"\xc3", b"\xed\xa0\x80"])
def test_strings_that_are_not_utf_8_are_refused(text: bytes) -> None:
    error = refused("BYTES", [2], string(b"fine") + string(text))
    assert isinstance(error, Unreadable)
    assert error.field == "inputs.x.data[1]"


@given(st.sampled_from([*DATATYPES, "?"]), st.lists(st.integers(-1, 5), max_size=3), st.binary(max_size=40))
def test_whatever_comes_is_read_or_refused_in_words(datatype: str, shape: list[int], raw: bytes) -> None:
    try:
        tensor = from_raw("x", datatype, shape, raw, "inputs.x.data")
    except (Invalid, Unreadable) as error:
        assert error.field is not None
        assert error.field.startswith("inputs.x")
    else:
        assert len(tensor.data) == np.prod(shape)
