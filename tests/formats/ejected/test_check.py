from __future__ import annotations

import math
from typing import Any

import pytest

from tsavo.formats.ejected.check import compared

TOLERANCE = 1e-5


@pytest.mark.parametrize(
    ("stored", "found", "exact", "off"),
    [
        ([1.0], [1.0], True, False),
        ([1.0], [math.nextafter(1.0, 2.0)], False, False),
        ([1.0], [1.0 + 1e-4], False, True),
        # The tolerance grows with the value.
        ([1e6], [1e6 + 5], False, False),
        ([1e6], [1e6 + 50], False, True),
        ([{"number": "nan"}], [math.nan], True, False),
        ([{"number": "nan"}], [1.0], False, True),
        ([1.0], [math.nan], False, True),
        ([{"number": "inf"}], [math.inf], True, False),
        ([{"number": "inf"}], [5.0], False, True),
        ([5.0], [math.inf], False, True),
        (["a"], ["a"], True, False),
        (["a"], ["b"], False, True),
        ([None], ["b"], False, True),
        ([3], [4], False, True),
    ],
)
def test_what_counts_as_the_same(stored: list[Any], found: list[Any], exact: bool, off: bool) -> None:
    same, beyond, _ = compared({"value": stored}, {"value": found}, TOLERANCE)
    assert same == [exact]
    assert beyond == ([0] if off else [])


def test_a_label_may_differ_where_the_stored_answer_hangs_between_two() -> None:
    stored: dict[str, list[Any]] = {
        "label": [0, 0],
        "probabilities.0": [0.5, 0.9],
        "probabilities.1": [0.5, 0.1],
    }
    found: dict[str, list[Any]] = {
        "label": [1, 1],
        "probabilities.0": [0.5, 0.9],
        "probabilities.1": [0.5, 0.1],
    }
    assert compared(stored, found, TOLERANCE)[1] == [1]
    score: dict[str, list[Any]] = {"label": [1, 1], "score": [1e-7, 0.3]}
    assert compared(score, {"label": [-1, -1], "score": [1e-7, 0.3]}, TOLERANCE)[1] == [1]


def test_probabilities_must_agree_even_where_the_label_may_not() -> None:
    stored: dict[str, list[Any]] = {"label": [0], "probabilities.0": [0.5], "probabilities.1": [0.5]}
    found: dict[str, list[Any]] = {"label": [0], "probabilities.0": [0.7], "probabilities.1": [0.3]}
    assert compared(stored, found, TOLERANCE)[1] == [0]
