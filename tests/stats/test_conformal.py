"""Conformal p-values: uniform and independent under exchangeability."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats as scipy_stats

from tsavo.stats import CategoryBins, ConformalPValues, NumericBins
from tsavo.stats.conformal import uniform_draws


@pytest.mark.parametrize("size", [40, 2_000])
@pytest.mark.parametrize("kind", ["continuous", "ties"])
def test_p_values_are_uniform_and_independent(size: int, kind: str) -> None:
    """Over 2,000 references of their own: the 1st and 50th p-value are uniform, and not correlated."""
    rng = np.random.default_rng(size)
    runs = 2_000 if size < 100 else 400
    first, last = np.empty(runs), np.empty(runs)
    for seed in range(runs):
        rows = (
            rng.normal(size=size + 50)
            if kind == "continuous"
            else rng.integers(0, 3, size + 50).astype(float)
        )
        p = ConformalPValues.numeric(rows[:size], seed=seed).next(rows[size:])
        first[seed], last[seed] = p[0], p[-1]
    assert scipy_stats.kstest(first, "uniform").pvalue > 1e-3
    assert scipy_stats.kstest(last, "uniform").pvalue > 1e-3
    assert scipy_stats.pearsonr(first, last).pvalue > 1e-3


def test_one_long_stream_is_uniform_in_pairs() -> None:
    rng = np.random.default_rng(8)
    p = ConformalPValues.categorical(rng.zipf(1.5, 500) % 1000, seed=3).next(rng.zipf(1.5, 40_000) % 1000)
    table, _, _ = np.histogram2d(p[::2], p[1::2], bins=8, range=[[0, 1], [0, 1]])
    assert scipy_stats.chisquare(table.ravel()).pvalue > 1e-3


def test_draws_equal_the_published_splitmix64_sequence() -> None:
    """The first outputs of the reference implementation for seed 1234567."""
    published = [6457827717110365317, 3203168211198807973, 9817491932198370423, 4593380528125082431]
    np.testing.assert_array_equal(uniform_draws(1234567, 0, 4), [(z >> 11) * 2.0**-53 for z in published])
    np.testing.assert_array_equal(uniform_draws(9, 5, 3), uniform_draws(9, 0, 8)[5:])


def test_bins_separate_few_distinct_values_and_balance_many() -> None:
    few = NumericBins.fit([0.1, 0.2, 0.2, 0.3, np.nan, np.inf])
    assert few.assign([0.1, 0.2, 0.3, np.nan, -np.inf, np.inf]).tolist() == [0, 1, 2, 3, 0, 2]
    values = np.random.default_rng(1).lognormal(size=20_000) + 1.7e12
    bins = NumericBins.fit(values)
    counts = np.bincount(bins.assign(values), minlength=bins.size)
    assert bins.size == 129
    assert counts[-1] == 0
    assert counts[:-1].max() <= 4 * values.size / 128


def test_categories_have_unseen_and_missing_at_the_ends() -> None:
    bins = CategoryBins.fit(np.array(["b", "a", "b", None], dtype=object), bins=10)
    assert bins.names == ("b", "a")
    assert bins.assign(np.array(["a", "b", "zz", None, np.nan], dtype=object)).tolist() == [2, 1, 0, 3, 3]
    crowded = CategoryBins.fit(np.repeat(np.arange(50), np.arange(50)), bins=12)
    assert crowded.names == tuple(range(49, 39, -1))
    assert crowded.assign([-1, 49, 3, 12345]).tolist() == [11, 1, 0, 0]
