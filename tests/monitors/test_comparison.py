"""A challenger against the champion on the same decisions."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from tests.monitors.stream import CHAMPION, by_subject, decisions, drained, run, signature
from tsavo.monitors.kinds import MonitorContext
from tsavo.vocabulary import Field, VersionRef

CHALLENGER = VersionRef("late", 2)
CONTEXT = MonitorContext("flights", CHAMPION, signature([Field("x", "float64")]), None, challenger=CHALLENGER)


def both(
    rng: np.random.Generator, n: int, champion: float, challenger: float, first: int = 0
) -> tuple[pa.Table, pa.Table]:
    """The champion's and the challenger's records of the same decisions, with these error rates."""
    truth = rng.random(n) < 0.4
    tables = []
    for error, role, version in ((champion, "champion", CHAMPION), (challenger, "shadow", CHALLENGER)):
        label = np.where(rng.random(n) < error, ~truth, truth).astype(int)
        prediction = {"label": label, "probabilities": np.column_stack([1 - label, label]) * 0.8 + 0.1}
        tables.append(
            decisions(
                {"x": np.zeros(n)},
                prediction=prediction,
                outcome=truth,
                first=first,
                role=role,
                version=version,
            )
        )
    return tables[0], tables[1]


@pytest.mark.parametrize(("challenger", "verdict"), [(0.1, "better"), (0.3, "worse")])
def test_the_verdict_and_its_interval(challenger: float, verdict: str) -> None:
    rng = np.random.default_rng(1)
    monitor = run(CONTEXT, "comparison", [pa.concat_tables(both(rng, 4_000, 0.2, challenger))])
    found = by_subject(monitor.findings())["late@2 error_rate"]
    assert found.figures["verdict"] == verdict
    assert found.low is not None
    assert found.high is not None
    assert found.low < challenger - 0.2 < found.high
    assert found.value == pytest.approx(found.figures["challenger_mean"] - found.figures["champion_mean"])
    assert found.rows == 4_000
    point = drained(monitor)["late@2 error_rate"][-1]
    assert (point.value, point.low, point.high) == (found.value, found.low, found.high)


def test_equals_are_not_told_apart_and_small_samples_say_how_many_more() -> None:
    """40 A/A comparisons with a look every 100 decisions: at most 2 of them wrong expected, over 7 is < 1 in 1,000."""
    rng = np.random.default_rng(2)
    wrong = 0
    for _ in range(40):
        monitor = run(CONTEXT, "comparison", [])
        verdicts = set()
        for look in range(10):
            monitor.observe_labelled(pa.concat_tables(both(rng, 100, 0.2, 0.2, first=100 * look)))
            verdicts |= {finding.figures["verdict"] for finding in monitor.findings()}
        wrong += verdicts != {"not yet"}
    assert wrong <= 7
    few = run(CONTEXT, "comparison", [pa.concat_tables(both(rng, 150, 0.3, 0.15))])
    found = by_subject(few.findings())["late@2 error_rate"]
    assert found.figures["verdict"] == "not yet"
    assert 0 < found.figures["more_decisions"] < 5_000
    assert "more decisions" in found.text


def test_only_the_same_decisions_are_compared() -> None:
    rng = np.random.default_rng(3)
    champion, challenger = both(rng, 1_000, 0.2, 0.1)
    monitor = run(CONTEXT, "comparison", [champion.slice(0, 700), challenger.slice(300)])
    assert {finding.rows for finding in monitor.findings()} == {400}


def test_sides_may_come_in_different_batches_and_across_restarts() -> None:
    rng = np.random.default_rng(4)
    champion, challenger = both(rng, 1_000, 0.2, 0.1)
    together = run(CONTEXT, "comparison", [pa.concat_tables([champion, challenger])])
    apart = run(
        CONTEXT, "comparison", [champion, challenger.slice(0, 600), challenger.slice(600)], restart=True
    )
    assert {finding.rows for finding in apart.findings()} == {1_000}
    for one, other in zip(together.findings(), apart.findings(), strict=True):
        assert (one.value, one.low, one.high) == (other.value, other.low, other.high)
    # All met their counterpart: nothing waits, and the state is small.
    assert len(apart.state()) < 400


def test_an_unknown_challenger_is_found_in_the_rows() -> None:
    rng = np.random.default_rng(5)
    context = MonitorContext("flights", CHAMPION, signature([Field("x", "float64")]), None)
    champion, challenger = both(rng, 500, 0.2, 0.1)
    monitor = run(context, "comparison", [pa.concat_tables([champion, challenger])])
    assert {finding.rows for finding in monitor.findings()} == {500}
    assert run(context, "comparison", [champion]).findings() == []


def test_what_never_meets_its_counterpart_is_given_up() -> None:
    rng = np.random.default_rng(6)
    monitor = run(CONTEXT, "comparison", [])
    for batch in range(4):
        monitor.observe_labelled(both(rng, 3_000, 0.2, 0.1, first=3_000 * batch)[0])
    assert len(monitor.state()) < 5_000 * 100
    assert monitor.findings() == []
