"""MeanConfidenceSequence: coverage at all looks at once, width, restarts."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsavo.stats import MeanConfidenceSequence
from tsavo.stats.confidence import _LAMBDA, _LOG_WEIGHT, _PSI, _boundary
from tsavo.vocabulary import Damaged, Invalid

_LOOKS = np.unique(np.geomspace(1, 3_000, 60).astype(int))


@pytest.mark.parametrize("kind", ["rare", "even", "beta", "moving"])
def test_the_interval_holds_the_average_mean_at_every_look(kind: str) -> None:
    streams, alpha, rng = 200, 0.1, np.random.default_rng(4)
    time = np.arange(3_000)
    means = {
        "rare": np.full(3_000, 0.01),
        "even": np.full(3_000, 0.5),
        "beta": np.full(3_000, 0.2),
        "moving": 0.3 + 0.25 * np.sin(time / 200),
    }[kind]
    truth = np.cumsum(means) / (time + 1)
    misses = 0
    for _ in range(streams):
        values = rng.beta(2, 8, 3_000) if kind == "beta" else (rng.random(3_000) < means).astype(float)
        sequence, seen, missed = MeanConfidenceSequence(alpha=alpha), 0, False
        for look in _LOOKS:
            sequence.update(values[seen:look])
            seen = int(look)
            missed |= not sequence.low <= truth[seen - 1] <= sequence.high
        misses += missed
    # 20 expected at most; over 34 has a chance under 1 in 1,000.
    assert misses <= 34


def test_the_mixture_weights_are_a_distribution_and_the_boundary_solves_its_equation() -> None:
    assert np.exp(_LOG_WEIGHT).sum() <= 1.0
    for squares in (0.0, 0.3, 25.0, 1e4, 1e9):
        s = _boundary(squares, 0.05)
        assert math.log(np.exp(_LOG_WEIGHT + _LAMBDA * s - _PSI * squares).sum()) == pytest.approx(
            math.log(40.0)
        )


def test_small_variance_makes_it_narrower_than_hoeffding() -> None:
    """Hoeffding's interval, for one look only and blind to variance, is beaten where variance is small."""
    rng = np.random.default_rng(5)
    sequence = MeanConfidenceSequence(alpha=0.05)
    sequence.update(rng.random(20_000) < 0.01)
    hoeffding = math.sqrt(math.log(2 / 0.05) / (2 * 20_000))
    assert (sequence.high - sequence.low) / 2 < 0.5 * hoeffding


@pytest.mark.parametrize("rows", [100, 10_000, 1_000_000])
def test_the_price_of_looking_always_is_at_most_a_factor_of_two_and_a_half(rows: int) -> None:
    sequence = MeanConfidenceSequence(alpha=0.05)
    sequence.update(np.random.default_rng(6).random(rows) < 0.3)
    once = 1.96 * math.sqrt(0.21 / rows)
    assert once < (sequence.high - sequence.low) / 2 < 2.5 * once


def test_rows_to_exclude_is_about_right() -> None:
    rng = np.random.default_rng(7)
    differences = rng.choice([-1.0, 0.0, 1.0], p=[0.12, 0.8, 0.08], size=40_000)
    sequence = MeanConfidenceSequence(support=(-1.0, 1.0))
    sequence.update(differences[:2_000])
    assert sequence.low < 0 < sequence.high
    # Asked of the true mean and spread: what the forecast should say, and what comes true on the data.
    forecast = sequence.rows_to_exclude(0.0)
    assert forecast is not None
    sequence.update(np.tile(differences[:2_000], 1 + forecast // 2_000))
    assert not sequence.low <= 0 <= sequence.high
    assert sequence.rows_to_exclude(0.0) == 0
    even = MeanConfidenceSequence(support=(-1.0, 1.0))
    even.update([1.0, -1.0] * 50)
    assert even.rows_to_exclude(0.0) is None
    assert MeanConfidenceSequence().rows_to_exclude(0.3) is None


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-3, 7), max_size=50), st.integers(0, 50))
def test_batches_and_a_restart_change_no_bit(values: list[float], cut: int) -> None:
    whole = MeanConfidenceSequence(support=(-3, 7))
    whole.update(values)
    parts = MeanConfidenceSequence(support=(-3, 7))
    parts.update(values[:cut])
    parts = MeanConfidenceSequence.from_bytes(parts.state_bytes())
    parts.update(values[cut:])
    assert parts.state_bytes() == whole.state_bytes()
    assert -3 <= whole.low <= whole.mean + 1e-9
    assert whole.mean - 1e-9 <= whole.high <= 7


def test_what_is_outside_the_support_is_refused_and_changes_nothing() -> None:
    sequence = MeanConfidenceSequence()
    for bad in (np.nan, 1.5, -np.inf):
        with pytest.raises(Invalid, match="support"):
            sequence.update([0.5, bad])
    assert sequence.rows == 0
    assert (sequence.low, sequence.high) == (0.0, 1.0)
    with pytest.raises(Invalid, match="support"):
        MeanConfidenceSequence(support=(1.0, 0.0))
    with pytest.raises(Damaged):
        MeanConfidenceSequence.from_bytes(b"\x00")
