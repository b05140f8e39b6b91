from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tsavo.runtimes.agreement import TOLERANCE, compare, disagreement
from tsavo.vocabulary import Field, Output, Signature

VALUE = Signature((Field("x", "float64"),), (Output("value", "float64"),), "regression")
CLASSES = Signature(
    (Field("x", "float64"),),
    (Output("label", "int64"), Output("probabilities", "float64", 2)),
    "binary",
    (0, 1),
)
FINITE = st.floats(-1e6, 1e6)


@given(st.lists(st.tuples(FINITE, FINITE), min_size=1, max_size=20))
def test_a_row_is_bad_just_when_it_is_out_of_tolerance(pairs: list[tuple[float, float]]) -> None:
    one, other = np.array(pairs).T
    comparison = compare(VALUE, {"value": one}, {"value": other})
    bad = [abs(a - b) > TOLERANCE + TOLERANCE * abs(a) for a, b in pairs]
    assert comparison.bad.tolist() == bad
    assert comparison.agrees == (not any(bad))
    assert comparison.worst["value"] == max(abs(a - b) for a, b in pairs)


def test_not_a_number_equals_itself_and_nothing_else() -> None:
    one = np.array([np.nan, np.nan, 1.0, np.inf])
    other = np.array([np.nan, 1.0, np.nan, np.inf])
    assert compare(VALUE, {"value": one}, {"value": other}).bad.tolist() == [False, True, True, False]


def test_labels_may_differ_on_a_tie_only() -> None:
    shares = np.array([[0.5, 0.5], [0.3, 0.7], [0.500001, 0.499999]])
    original = {"label": np.array([0, 1, 0]), "probabilities": shares}
    compiled = {"label": np.array([1, 0, 1]), "probabilities": shares}
    comparison = compare(CLASSES, original, compiled)
    assert comparison.label_mismatches == 3
    assert comparison.bad.tolist() == [False, True, False]


def test_text_is_equal_or_not() -> None:
    signature = Signature((Field("x", "float64"),), (Output("size", "string"),), "generic")
    one, other = np.array(["small", None, "a"], dtype=object), np.array(["small", None, "b"], dtype=object)
    comparison = compare(signature, {"size": one}, {"size": other})
    assert comparison.bad.tolist() == [False, False, True]
    assert comparison.label_mismatches == 1


def test_another_shape_is_a_disagreement() -> None:
    assert not compare(VALUE, {"value": np.zeros((2, 1))}, {"value": np.zeros(2)}).agrees


def test_the_refusal_names_rows_of_the_reference_and_is_json() -> None:
    import msgspec

    one, other = np.array([1.0, 2.0, np.nan]), np.array([1.0, 5.0, 0.0])
    comparison = compare(VALUE, {"value": one}, {"value": other})
    error = disagreement(
        {"x": np.array([7.0, 8.0, 9.0])}, {"value": one}, {"value": other}, comparison, np.array([0, 40, 80])
    )
    assert [row["row"] for row in error.details["rows"]] == [40, 80]
    assert error.details["rows"][1]["original"] == {"value": None}
    assert msgspec.json.encode(error.details)
