"""Performance from outcomes: losses against scikit-learn's, alarms against the reference, restarts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import brier_score_loss, mean_absolute_error, zero_one_loss
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tests.monitors.stream import CHAMPION, by_subject, decisions, run, signature
from tsavo.monitors.kinds import MonitorContext
from tsavo.vocabulary import Field

FIELD = Field("x", "float64")


def reference(truth: Any, label: Any, chances: np.ndarray) -> pa.Table:
    columns = {f"prediction.probabilities.{k}": chances[:, k] for k in range(chances.shape[1])}
    return pa.table({"x": np.zeros(len(chances)), "y": truth, "prediction.label": label, **columns})


def labelled(truth: Any, label: Any, chances: np.ndarray, first: int = 0) -> pa.Table:
    prediction = {"label": label, "probabilities": chances}
    return decisions({"x": np.zeros(len(chances))}, prediction=prediction, outcome=truth, first=first)


@pytest.mark.parametrize("outcome_type", ["int", "bool", "float", "string"])
def test_error_rate_and_brier_score_are_scikit_learns(outcome_type: str) -> None:
    data, truth = load_breast_cancer(return_X_y=True)
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(data[::2], truth[::2])
    label, chances = model.predict(data), model.predict_proba(data)
    outcome = {
        "int": truth,
        "bool": truth.astype(bool),
        "float": truth.astype(float),
        "string": truth.astype(str).astype(object),
    }[outcome_type]
    context = MonitorContext(
        "flights", CHAMPION, signature([FIELD]), reference(truth[::2], label[::2], chances[::2]), "y"
    )
    found = by_subject(run(context, "performance", [labelled(outcome, label, chances)]).findings())
    assert found["error_rate"].value == pytest.approx(zero_one_loss(truth, label))
    assert found["brier"].value == pytest.approx(brier_score_loss(truth, chances[:, 1]), rel=1e-6)
    assert found["brier"].figures["reference"] == pytest.approx(
        brier_score_loss(truth[::2], chances[::2, 1]), rel=1e-6
    )
    assert not found["brier"].alarm
    assert found["error_rate"].rows == truth.size


def test_three_classes_named_with_words() -> None:
    data, number = load_wine(return_X_y=True)
    names = np.array(["red", "rosé", "white"], dtype=object)
    truth = names[number]
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(data[::2], truth[::2].astype(str))
    label, chances = model.predict(data).astype(object), model.predict_proba(data)
    table = labelled(truth, label, chances)
    context = MonitorContext("flights", CHAMPION, signature([FIELD], ("red", "rosé", "white")), None)
    found = by_subject(run(context, "performance", [table]).findings())
    expected = ((chances - np.eye(3)[number]) ** 2).sum(axis=1).mean() / 2
    assert found["brier"].value == pytest.approx(expected, rel=1e-6)
    assert found["error_rate"].value == pytest.approx(zero_one_loss(truth.astype(str), label.astype(str)))
    # Nothing to compare with: an interval, but no evidence and no alarm.
    assert found["brier"].evidence is None
    assert "no predictions with outcomes to compare with" in found["brier"].text


def test_regression_reports_the_absolute_error_in_its_own_unit() -> None:
    data, truth = load_diabetes(return_X_y=True)
    predicted = LinearRegression().fit(data[::2], truth[::2]).predict(data)
    table = pa.table({"x": np.zeros(221), "y": truth[::2], "prediction.value": predicted[::2]})
    context = MonitorContext("flights", CHAMPION, signature([FIELD], None), table, "y")
    batch = decisions({"x": np.zeros(442)}, prediction={"value": predicted}, outcome=truth)
    monitor = run(context, "performance", [batch])
    found = by_subject(monitor.findings())["absolute_error"]
    # No error here reaches the cap, so the clipped mean is the mean.
    assert found.value == pytest.approx(mean_absolute_error(truth, predicted))
    assert found.figures["reference"] == pytest.approx(mean_absolute_error(truth[::2], predicted[::2]))
    assert not found.alarm
    worse = decisions({"x": np.zeros(442)}, prediction={"value": predicted + 120.0}, outcome=truth, first=442)
    monitor.observe_labelled(worse)
    assert by_subject(monitor.findings())["absolute_error"].alarm


def noisy(rng: np.random.Generator, n: int, error: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    truth = (rng.random(n) < 0.4).astype(int)
    label = np.where(rng.random(n) < error, 1 - truth, truth)
    chances = np.column_stack([1 - label, label]) * 0.8 + 0.1
    return truth, label, chances


def test_a_worse_champion_alarms_and_an_unchanged_one_does_not() -> None:
    rng = np.random.default_rng(4)
    context = MonitorContext("flights", CHAMPION, signature([FIELD]), reference(*noisy(rng, 3_000, 0.1)), "y")
    same, worse = labelled(*noisy(rng, 5_000, 0.1)), labelled(*noisy(rng, 2_000, 0.25), first=5_000)
    assert not any(f.alarm for f in run(context, "performance", [same]).findings())
    found = by_subject(run(context, "performance", [same, worse]).findings())
    assert found["error_rate"].alarm
    assert found["brier"].alarm
    assert "too high since about 2023-11-14 22:2" in found["error_rate"].text


def test_missing_and_foreign_outcomes() -> None:
    chances = np.array([[0.1, 0.9]] * 3)
    context = MonitorContext("flights", CHAMPION, signature([FIELD]), None)
    batch = labelled(pa.array([1, None, 7]), np.array([1, 1, 1]), chances)
    found = by_subject(run(context, "performance", [batch]).findings())
    # The null is left out; 7 is no class, so it cannot have been right.
    assert found["error_rate"].rows == 2
    assert found["error_rate"].value == pytest.approx(0.5)
    assert found["brier"].value == pytest.approx((0.01 + (0.01 + 0.81 + 1) / 2) / 2)


def test_batches_and_restarts_change_no_bit() -> None:
    rng = np.random.default_rng(5)
    context = MonitorContext("flights", CHAMPION, signature([FIELD]), reference(*noisy(rng, 500, 0.1)), "y")
    table = labelled(*noisy(rng, 1_000, 0.2))
    parts = [table.slice(0, 1), table.slice(1, 600), table.slice(601)]
    whole, again = run(context, "performance", [table]), run(context, "performance", parts, restart=True)
    assert again.state() == whole.state()
    assert again.findings() == whole.findings()
