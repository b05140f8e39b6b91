from __future__ import annotations

import struct
from typing import Any

import hypothesis.strategies as st
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis.extra import numpy as hnp

from tsavo.runtimes.python_worker.frames import (
    PREFIX_BYTES,
    Answer,
    ArrayHeader,
    BadFrame,
    FrameLimits,
    Predict,
    arrays_of,
    encode,
    read_answer,
    read_order,
    sizes_of,
)

ROOMY = FrameLimits(1 << 20, 1 << 24)


def packed(arrays: list[tuple[str, npt.NDArray[Any]]]) -> bytearray:
    return bytearray(b"".join(encode(lambda headers: Answer(arrays=headers), arrays)))


def unpacked(frame: bytes | bytearray, limits: FrameLimits = ROOMY) -> dict[str, npt.NDArray[Any]]:
    header, body, _ = sizes_of(frame[:PREFIX_BYTES], limits)
    if PREFIX_BYTES + header + body != len(frame):
        raise BadFrame("not all of it")
    return arrays_of(
        read_answer(frame[PREFIX_BYTES : PREFIX_BYTES + header]).arrays, frame[PREFIX_BYTES + header :]
    )


shapes = hnp.array_shapes(min_dims=1, max_dims=2, min_side=0, max_side=5)
numbers = st.sampled_from([np.float64, np.float32, np.int64, np.int32, np.bool_]).flatmap(
    lambda kind: hnp.arrays(kind, shapes)
)
texts = hnp.arrays(object, shapes, elements=st.none() | st.text(st.characters(exclude_categories=["Cs"])))


@settings(max_examples=200, deadline=None)
@given(st.lists(numbers | texts, max_size=4))
def test_what_goes_in_comes_out_bit_for_bit(arrays: list[npt.NDArray[Any]]) -> None:
    frame = packed([(f"a{at}", array) for at, array in enumerate(arrays)])
    assert len(frame) % 8 == 0
    found = unpacked(frame)
    assert list(found) == [f"a{at}" for at in range(len(arrays))]
    for array, other in zip(arrays, found.values(), strict=True):
        assert (array.dtype, array.shape) == (other.dtype, other.shape)
        if array.dtype == object:
            assert array.tolist() == other.tolist()
        else:
            assert array.tobytes() == other.tobytes()


def test_columns_of_a_matrix_need_not_lie_together() -> None:
    matrix = np.arange(12.0).reshape(4, 3)
    found = unpacked(packed([("every other", matrix[::2, 1]), ("turned", matrix.T)]))
    assert found["every other"].tolist() == [1.0, 7.0]
    assert found["turned"].tolist() == matrix.T.tolist()


def test_an_order_survives_the_journey() -> None:
    order = Predict("m@1", (ArrayHeader("x", "float64", (2,)),))
    frame = b"".join(encode(lambda headers: Predict("m@1", headers), [("x", np.zeros(2))]))
    assert read_order(frame[PREFIX_BYTES : -2 * 8]) == order


@pytest.mark.parametrize(
    "array", [np.array([1 + 2j]), np.array(["a"]), np.array([object()]), np.array(["\ud800"], dtype=object)]
)
def test_what_has_no_place_in_a_frame_is_refused(array: npt.NDArray[Any]) -> None:
    with pytest.raises(BadFrame):
        packed([("odd", array)])


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_frame_is_refused_or_reads_as_arrays_of_its_own_size(data: st.DataObject) -> None:
    whole = packed(
        [("a", np.arange(5.0)), ("b", np.array(["é", None, "xyz"], dtype=object)), ("c", np.ones(3, bool))]
    )
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(whole) - 1))
        whole[at] = data.draw(st.integers(0, 255))
    frame = whole[: data.draw(st.integers(0, len(whole)))] if data.draw(st.booleans()) else whole
    if len(frame) < PREFIX_BYTES:
        return
    try:
        found = unpacked(frame)
    except BadFrame:
        return
    assert sum(array.nbytes for array in found.values()) <= len(frame)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_an_answer_or_refused(junk: bytes) -> None:
    for read in (read_answer, read_order):
        try:
            read(junk)
        except BadFrame:
            continue


def test_sizes_are_believed_up_to_the_limits_only() -> None:
    limits = FrameLimits(64, 1000)
    assert sizes_of(struct.pack("<4sIQQ", b"TSF1", 64, 1000, 7), limits) == (64, 1000, 7)
    for header, body in [(72, 0), (64, 1001), (0, 0), (7, 0), (64, 2**63)]:
        with pytest.raises(BadFrame):
            sizes_of(struct.pack("<4sIQQ", b"TSF1", header, body, 0), limits)
    with pytest.raises(BadFrame):
        sizes_of(struct.pack("<4sIQQ", b"PWND", 64, 0, 0), limits)


@pytest.mark.parametrize(
    "header",
    [
        ArrayHeader("a", "float64", (2**40,)),
        ArrayHeader("a", "float64", (2**62, 2**62)),
        ArrayHeader("a", "float64", (-1,)),
        ArrayHeader("a", "float64", ()),
        ArrayHeader("a", "float64", (1, 1, 1)),
        ArrayHeader("a", "string", (1,), -8),
        ArrayHeader("a", "string", (1,), 2**60),
        ArrayHeader("a", "float64", (0,)),
    ],
)
def test_a_header_that_does_not_describe_its_body_is_refused(header: ArrayHeader) -> None:
    with pytest.raises(BadFrame):
        arrays_of([header], bytes(8))


def test_an_output_comes_once() -> None:
    header = ArrayHeader("a", "float64", (1,))
    with pytest.raises(BadFrame):
        arrays_of([header, header], bytes(16))


def test_text_has_its_offsets_in_order_and_is_utf8() -> None:
    def body(offsets: list[int], text: bytes) -> bytes:
        return np.array(offsets, "<i8").tobytes() + b"\1\1" + bytes(6) + text.ljust(8, b"\0")

    header = ArrayHeader("a", "string", (2,), 4)
    assert arrays_of([header], body([0, 2, 4], b"abcd"))["a"].tolist() == ["ab", "cd"]
    for offsets, text in [
        ([0, 5, 4], b"abcd"),
        ([1, 2, 4], b"abcd"),
        ([0, 2, 3], b"abcd"),
        ([0, -9, 4], b"abcd"),
        ([0, 2, 4], b"ab\xff\xfe"),
        ([0, 1, 4], "éab".encode()),
    ]:
        with pytest.raises(BadFrame):
            arrays_of([header], body(offsets, text))


def test_booleans_are_zero_or_one() -> None:
    with pytest.raises(BadFrame):
        arrays_of([ArrayHeader("a", "bool", (2,))], b"\1\2" + bytes(6))
