from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsavo.endpoints.differences import compare
from tsavo.vocabulary import Field, Output, Signature, StepTried

INPUTS = (Field("x", "float64"),)
CLASSIFIER = Signature(
    INPUTS, (Output("label", "int64"), Output("probabilities", "float32", 2)), "binary", (0, 1)
)
VALUES = Signature(INPUTS, (Output("value", "float64"),), "regression")
NUMBERS = st.floats(-1e6, 1e6) | st.sampled_from([float("nan"), float("inf"), float("-inf")])


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1))
def test_numbers_differ_as_counted_one_by_one(pairs: list[tuple[float, float]]) -> None:
    tried = StepTried(1, "m@2")
    one, other = (np.array(side) for side in zip(*pairs, strict=True))
    compare(tried, VALUES, (one,), VALUES, (other,))
    both = [(a, b) for a, b in pairs if math.isnan(a) == math.isnan(b)]
    distances = [0.0 if a == b or math.isnan(a) else abs(a - b) for a, b in both]
    assert tried.lacking == len(pairs) - len(both)
    assert tried.compared == len(both)
    assert tried.largest == max(distances, default=0.0)
    assert tried.differences == pytest.approx(sum(distances))


def test_labels_are_equal_or_not_and_batches_add_up() -> None:
    tried = StepTried(1, "m@2")
    halves = np.array([[0.5, 0.5], [0.25, 0.75]], np.float32)
    ones = np.array([[1, 0], [0, 1]], np.float32)
    for _ in range(3):
        compare(tried, CLASSIFIER, (np.array([0, 1]), ones), CLASSIFIER, (np.array([0, 0], np.int32), halves))
    assert (tried.labels, tried.equal) == (6, 3)
    assert (tried.compared, tried.largest, tried.differences) == (12, 0.5, 4.5)


def test_outputs_are_found_by_name_and_those_of_one_side_are_left_out() -> None:
    swapped = Signature(INPUTS, (*CLASSIFIER.outputs[::-1], Output("more", "float64")), "binary", (0, 1))
    tried = StepTried(1, "m@2")
    label, probabilities = np.array([0]), np.array([[1.0, 0.0]], np.float32)
    compare(tried, swapped, (probabilities, label, np.array([9.0])), CLASSIFIER, (label, probabilities))
    assert (tried.labels, tried.equal, tried.compared, tried.largest) == (1, 1, 2, 0.0)


def test_text_is_equal_or_not_whatever_the_output_is_called() -> None:
    words = Signature(INPUTS, (Output("word", "string"), Output("flag", "bool", 2)), "generic")
    tried = StepTried(1, "m@2")
    flags = np.array([[True, False], [True, True], [False, False]])
    others = np.array([[True, False], [True, False], [False, False]])
    texts = np.array(["a", "b", None], dtype=object)
    compare(tried, words, (texts, flags), words, (np.array(["a", "b", "c"], dtype=object), others))
    assert (tried.labels, tried.equal, tried.compared) == (3, 1, 0)
