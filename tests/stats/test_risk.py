"""RiskEProcess: the promise at the boundary, also for dependent losses; detection; restarts."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsavo.stats import RiskEProcess
from tsavo.vocabulary import Damaged, Invalid


@pytest.mark.parametrize("kind", ["coin", "beta", "dependent"])
def test_losses_at_the_tolerated_mean_alarm_no_more_often_than_promised(kind: str) -> None:
    streams, alpha, tolerated, rng = 400, 0.1, 0.11, np.random.default_rng(3)
    alarms = 0
    for _ in range(streams):
        coin = rng.random(5_000) < tolerated
        losses = coin.astype(float)
        if kind == "beta":
            losses = rng.beta(1.1, 8.9, 5_000)
        if kind == "dependent":
            # After a loss the next mean is halved for a while: always at most tolerated, never independent.
            calm = np.convolve(coin, np.ones(20))[:5_000] - coin > 0
            losses = np.where(calm, coin * 0.5, coin)
        risk = RiskEProcess(tolerated, alpha=alpha)
        risk.update(losses)
        alarms += risk.alarm
    # 40 expected at most; over 60 has a chance under 1 in 1,000 (binomial(400, 0.1), normal bound 40 + 3.3 * 6).
    assert alarms <= 60


@pytest.mark.parametrize(
    ("before", "after", "tolerated"), [(0.10, 0.20, 0.12), (0.002, 0.02, 0.005), (0.3, 0.4, 0.33)]
)
def test_more_losses_are_found(before: float, after: float, tolerated: float) -> None:
    rng = np.random.default_rng(5)
    risk = RiskEProcess(tolerated)
    risk.update(rng.random(5_000) < before)
    assert not risk.alarm
    risk.update(rng.random(4_000) < after)
    assert risk.alarm_row is not None
    divergence = after * np.log(after / tolerated) + (1 - after) * np.log((1 - after) / (1 - tolerated))
    # What a bettor who knows everything but the moment needs on average, and half as much again.
    assert risk.alarm_row - 5_000 < 1.5 * np.log(100 * 5_000 * 8) / divergence
    assert risk.onset is not None
    assert abs(risk.onset - 5_000) < 500


@settings(max_examples=50, deadline=None)
@given(st.lists(st.floats(0, 1), max_size=60), st.integers(0, 60), st.floats(1e-6, 0.999))
def test_batches_and_a_restart_change_no_bit(losses: list[float], cut: int, tolerated: float) -> None:
    whole = RiskEProcess(tolerated, alpha=0.3)
    whole.update(losses)
    parts = RiskEProcess(tolerated, alpha=0.3)
    parts.update(losses[:cut])
    parts = RiskEProcess.from_bytes(parts.state_bytes())
    parts.update(losses[cut:])
    assert parts.state_bytes() == whole.state_bytes()
    assert np.isfinite(whole.evidence)
    assert whole.evidence >= 0


@pytest.mark.parametrize("bad", [np.nan, -0.1, 1.1, np.inf])
def test_what_is_no_loss_is_refused_and_changes_nothing(bad: float) -> None:
    risk = RiskEProcess(0.1)
    with pytest.raises(Invalid, match="losses"):
        risk.update([0.0, bad])
    assert risk.rows == 0


def test_wrong_parameters_and_states_are_refused() -> None:
    for tolerated in (0.0, 1.0, float("nan")):
        with pytest.raises(Invalid, match="tolerated"):
            RiskEProcess(tolerated)
    with pytest.raises(Damaged):
        RiskEProcess.from_bytes(b"nonsense")


def test_one_loss_multiplies_stakes_by_the_likelihood_ratios_of_its_definition() -> None:
    tolerated, first = 0.04, 0.25
    odds = np.array([1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0]) * tolerated / (1 - tolerated)
    chances = odds / (1 + odds)
    for loss, ratios in ((1.0, chances / tolerated), (0.0, (1 - chances) / (1 - tolerated))):
        risk = RiskEProcess(tolerated)
        risk.update([loss])
        # A quarter of the stakes is laid down at the first row: 3 / (3 * 4).
        assert risk.evidence == pytest.approx(first * ratios.mean() + (1 - first))
