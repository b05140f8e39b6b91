from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tsavo.storage import IdSource, SystemClock
from tsavo.vocabulary import (
    Damaged,
    DecisionRecord,
    Invalid,
    OutcomeRecord,
    Tensor,
    decision_id,
    decode_record,
    encode_record,
    parse_decision_id,
)

arrays = st.sampled_from([np.float64, np.float32, np.int64, np.int32, np.bool_]).flatmap(
    lambda dtype: hnp.arrays(dtype, hnp.array_shapes(min_dims=1, max_dims=2, min_side=0, max_side=5))
)
strings = st.lists(st.none() | st.text(max_size=5), max_size=5)


@given(arrays)
def test_numbers_are_recorded_bit_for_bit(array: np.ndarray) -> None:
    back = Tensor.of(array).array()
    assert (back.dtype, back.shape, back.tobytes()) == (array.dtype, array.shape, array.tobytes())


def test_the_bits_of_unusual_numbers_are_kept() -> None:
    bits = np.array([0x7FF8_0000_0000_0001, 0xFFF0_0000_0000_0000, 0x8000_0000_0000_0000, 1], dtype=np.uint64)
    assert (Tensor.of(bits.view(np.float64)).array().view(np.uint64) == bits).all()


def test_a_transposed_matrix_is_recorded_as_it_reads() -> None:
    matrix = np.arange(6.0).reshape(2, 3).T
    assert (Tensor.of(matrix).array() == matrix).all()


@given(strings)
def test_strings_and_missing_ones_are_recorded(values: list[str | None]) -> None:
    array = np.array(values, dtype=object)
    assert Tensor.of(array).array().tolist() == values


@given(
    arrays,
    strings,
    st.dictionaries(st.integers(0, 99), st.lists(st.text(max_size=9), max_size=2), max_size=3),
)
def test_a_decision_comes_back_as_it_was_written(
    array: np.ndarray,
    values: list[str | None],
    row_flags: dict[int, list[str]],
) -> None:
    record = DecisionRecord(
        request=IdSource(SystemClock()).new(),
        time=1_700_000_000_123_456_789,
        endpoint="credit",
        model="credit",
        version=3,
        role="champion",
        rows=4,
        latency_us=17,
        inputs=(Tensor.of(array), Tensor.of(np.array(values, dtype=object))),
        outputs=(Tensor.of(array),),
        flags=("plug",),
        row_flags=row_flags,
        caller="ü",
    )
    assert decode_record(encode_record(record)) == record


def test_an_outcome_comes_back_with_the_types_of_its_values() -> None:
    record = OutcomeRecord(5, "credit", ["a:0", "b:1", "c:0", "d:0", "e:0"], [1, 1.5, True, "late", None])
    back = decode_record(encode_record(record))
    assert back == record
    assert isinstance(back, OutcomeRecord)
    assert [type(value) for value in back.values] == [int, float, bool, str, type(None)]


@given(st.binary(max_size=200))
def test_anything_else_is_damage(payload: bytes) -> None:
    with pytest.raises(Damaged):
        decode_record(payload)


def test_a_cut_record_is_damage() -> None:
    payload = encode_record(OutcomeRecord(5, "credit", ["a:0"], [1]))
    for length in range(len(payload)):
        with pytest.raises(Damaged):
            decode_record(payload[:length])


def test_a_decision_id_splits_into_what_it_was_made_from() -> None:
    request = IdSource(SystemClock()).new()
    assert parse_decision_id(decision_id(request, 12)) == (request, 12)


REQUEST = "0197f0a0-0000-7000-8000-000000000000"


@pytest.mark.parametrize(
    "text",
    ["", ":", "x:1", REQUEST, *(f"{REQUEST}:{row}" for row in ("", "-1", "x", "1.0", "1234567890", "²"))],
)
def test_what_is_not_a_decision_id(text: str) -> None:
    with pytest.raises(Invalid):
        parse_decision_id(text)
