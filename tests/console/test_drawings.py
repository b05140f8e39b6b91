from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.examples import NOON
from tsavo.console.drawings import against_zero, evidence_share, on_scale, trend_bars
from tsavo.vocabulary import Finding

NUMBERS = st.floats(-1e6, 1e6)


def measured(value: float | None, low: float | None, high: float | None, **figures: Any) -> Finding:
    return Finding("e", "m", "performance", "s", "m@1", NOON, 1, value, low, high, figures=figures)


@given(st.floats(0, math.inf), st.floats(1.5, 1e9))
def test_the_middle_of_an_evidence_bar_is_the_threshold(evidence: float, threshold: float) -> None:
    share = evidence_share(evidence, threshold)
    assert 0 <= share <= 100
    if evidence >= threshold:
        assert share >= 50
    if evidence < threshold * (1 - 1e-3):
        assert share <= 50


@given(st.lists(NUMBERS, min_size=5, max_size=5))
def test_marks_stand_in_order_and_inside(numbers: list[float]) -> None:
    low, value, high = sorted(numbers[:3])
    reference, tolerated = numbers[3:]
    at = on_scale(measured(value, low, high, reference=reference, tolerated=tolerated))
    assert at is not None
    assert at.low <= at.value <= at.high
    marks = {low: at.low, value: at.value, high: at.high, reference: at.reference, tolerated: at.tolerated}
    places = [place for _, place in sorted(marks.items())]
    assert all(place is not None and 0 <= place <= 100 for place in places)
    assert places == sorted(place for place in places if place is not None)


def test_a_metric_without_reference_has_its_interval_alone() -> None:
    at = on_scale(measured(0.2, 0.1, 0.3, reference=None, tolerated=math.nan))
    assert at is not None
    assert (at.reference, at.tolerated) == (None, None)


@pytest.mark.parametrize("bounds", [(None, 0.1, 0.2), (0.1, None, 0.2), (0.1, 0.1, None)])
def test_without_an_interval_nothing_is_drawn(bounds: tuple[float | None, ...]) -> None:
    assert on_scale(measured(*bounds)) is None
    assert against_zero(measured(*bounds)) is None


@given(st.lists(NUMBERS, min_size=3, max_size=3))
def test_a_difference_is_on_the_side_of_its_sign(numbers: list[float]) -> None:
    low, value, high = sorted(numbers)
    at = against_zero(measured(value, low, high))
    assert at is not None
    for number, place in ((low, at.low), (value, at.value), (high, at.high)):
        assert 0 <= place <= 100
        assert number <= 0 or place >= 50
        assert number >= 0 or place <= 50


@given(st.lists(st.integers(0, 10**9), max_size=48))
def test_every_hour_with_a_decision_has_a_bar_that_can_be_seen(counts: list[int]) -> None:
    bars = trend_bars(counts, 72, 22)
    assert len(bars) == sum(count > 0 for count in counts)
    assert all(1 <= bar.height <= 22 and bar.left + bar.width <= 72.01 for bar in bars)
