"""Averages of evidence stay evidence."""

from __future__ import annotations

import numpy as np
import pytest

from tsavo.stats import DriftEProcess, average_evidence
from tsavo.vocabulary import Invalid


def test_the_average_keeps_the_promise_for_copies_of_one_column() -> None:
    """Full dependence, which breaks products: the average of ten copies alarms as seldom as one."""
    alarms, rng = 0, np.random.default_rng(2)
    for seed in range(200):
        reference, stream = rng.normal(size=300), rng.normal(size=2_000)
        columns = [DriftEProcess.numeric(reference, alpha=0.1, seed=seed * 10 + i) for i in range(10)]
        traces = np.array([column.trace(stream) for column in columns])
        alarms += bool((traces.mean(axis=0) >= 10.0).any())
    # 20 expected at most; over 34 has a chance under 1 in 1,000.
    assert alarms <= 34


@pytest.mark.parametrize("values", [[], [1.0, -0.1], [float("nan")]])
def test_what_is_no_evidence_is_refused(values: list[float]) -> None:
    with pytest.raises(Invalid):
        average_evidence(values)
