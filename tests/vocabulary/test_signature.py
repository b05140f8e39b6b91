from __future__ import annotations

import msgspec
import numpy as np
import pytest

from tests.examples import CLASSIFIER, REGRESSOR
from tsavo.vocabulary import NUMPY_DTYPES, DType, Field, Output, Signature, misfits


def regressor(*inputs: Field) -> Signature:
    return Signature(inputs, (Output("value", "float64"),), "regression")


def test_a_signature_can_stand_in_for_itself() -> None:
    for signature in (CLASSIFIER, REGRESSOR):
        assert misfits(signature, signature) == []


def test_a_version_that_needs_less_can_answer() -> None:
    more = regressor(Field("a", "int64"), Field("b", "string"))
    less = regressor(Field("a", "int64"))
    assert misfits(more, less) == []
    assert misfits(less, more) == ["column 'b' is not sent by callers"]


@pytest.mark.parametrize(
    ("there", "here"),
    [
        ("int32", "int64"),
        ("int32", "float64"),
        ("int64", "float64"),
        ("float32", "float64"),
        ("bool", "bool"),
    ],
)
def test_a_wider_number_takes_a_narrower_one(there: DType, here: DType) -> None:
    assert misfits(regressor(Field("a", there)), regressor(Field("a", here))) == []


@pytest.mark.parametrize(
    ("there", "here"), [("float64", "int64"), ("int64", "int32"), ("string", "float64"), ("int64", "bool")]
)
def test_what_would_lose_or_mean_something_else_does_not_fit(there: DType, here: DType) -> None:
    (reason,) = misfits(regressor(Field("a", there)), regressor(Field("a", here)))
    assert there in reason
    assert here in reason


def test_other_classes_another_task_and_missing_outputs_are_named() -> None:
    other = msgspec.structs.replace(CLASSIFIER, classes=(0, 2))
    assert misfits(CLASSIFIER, other) == ["the classes are (0, 1) here and (0, 2) there"]
    reasons = misfits(CLASSIFIER, REGRESSOR)
    assert any("task" in reason for reason in reasons)
    assert "output 'probabilities' is not given" in reasons


def test_one_matrix_when_all_columns_are_the_same_number() -> None:
    assert regressor(Field("a", "float32"), Field("b", "float32")).matrix_dtype == "float32"
    assert regressor(Field("a", "float32"), Field("b", "float64")).matrix_dtype is None
    assert regressor(Field("a", "string")).matrix_dtype is None


def test_a_signature_reads_back_from_json() -> None:
    for signature in (CLASSIFIER, REGRESSOR):
        assert msgspec.json.decode(msgspec.json.encode(signature), type=Signature) == signature


def test_every_dtype_has_its_numpy_one() -> None:
    assert set(NUMPY_DTYPES) == set(DType.__args__)  # type: ignore[attr-defined]
    assert all(isinstance(dtype, np.dtype) for dtype in NUMPY_DTYPES.values())
