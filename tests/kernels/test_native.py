"""The C++ loops against their definitions written out in numpy, row by row."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsavo import kernels

Floats = npt.NDArray[np.float64]
any_float = st.floats(allow_nan=True, allow_infinity=True)


def splitmix64(seed: int, index: int) -> float:
    """SplitMix64 with Python's integers (Steele, Lea & Flood 2014, figure 16)."""
    word = (1 << 64) - 1
    z = (seed + (index + 1) * 0x9E3779B97F4A7C15) & word
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & word
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & word
    return float((z ^ (z >> 31)) >> 11) * 2.0**-53


def prior_weight(row: int) -> float:
    k = row.bit_length() - 1
    return 3.0 / ((k + 3) * (k + 4)) / float(1 << k)


def brute_force_bets(factors: Floats, threshold: float) -> tuple[Floats, int, int]:
    """Wealth of every stake (bet, start row) kept apart; evidence [n], alarm row, onset."""
    n = len(factors)
    evidence = np.empty(n)
    alarm = onset = 0
    weights = np.array([prior_weight(t) for t in range(1, n + 1)])
    for t in range(1, n + 1):
        products = np.array([factors[s:t].prod(axis=0) for s in range(t)])  # [start, bet]
        wealth = weights[:t] @ products
        evidence[t - 1] = wealth.mean() + (1.0 - weights[:t].sum())
        if not alarm and evidence[t - 1] >= threshold:
            alarm, onset = t, int(np.argmax(products[:, int(np.argmax(wealth))])) + 1
    return evidence, alarm, onset


def uniform_factors(p: Floats) -> Floats:
    u = 2 * p - 1
    s = (3 * u * u - 1) / 2
    location = [1 + sign * size * u for sign in (1, -1) for size in (0.15, 0.4, 0.8)]
    spread = [1 + sign * size * s for sign in (1, -1) for size in (0.4, 0.8)]
    return np.column_stack(location + spread)


def bet_on_uniform(
    p: Floats, threshold: float, cuts: tuple[int, ...] = ()
) -> tuple[Floats, int, int, Floats]:
    wealth, cusum, start = (np.zeros(kernels.UNIFORM_BETS) for _ in range(3))
    trace = np.empty(p.size)
    evidence, row, alarm, onset = 1.0, 0, 0, 0
    for part in np.split(np.arange(p.size), cuts):
        out = np.empty(part.size)
        evidence, _, alarm_row, start_row = kernels.bet_on_uniform(
            np.ascontiguousarray(p[part]), row, evidence, threshold, wealth, cusum, start, out
        )
        if alarm_row and not alarm:
            alarm, onset = alarm_row, start_row
        trace[part] = out
        row += part.size
    return trace, alarm, onset, np.concatenate([wealth, cusum, start])


@pytest.mark.parametrize("power", [0.4, 1.0, 3.0])
def test_bets_on_uniform_equal_every_stake_kept_apart(power: float) -> None:
    p = np.random.default_rng(5).random(300) ** np.where(np.arange(300) < 120, 1.0, power)
    evidence, alarm, onset = brute_force_bets(uniform_factors(p), 50.0)
    trace, found_alarm, found_onset, _ = bet_on_uniform(p, 50.0)
    np.testing.assert_allclose(trace, evidence, rtol=1e-10)
    assert (found_alarm, found_onset) == (alarm, onset)
    assert bool(alarm) == (power != 1.0)


def test_bets_on_risk_equal_every_stake_kept_apart() -> None:
    losses = np.random.default_rng(6).random(300) ** 2
    stakes = np.linspace(0.1, 4.0, kernels.RISK_BETS)
    factors = 1.0 + stakes[None, :] * (losses[:, None] - 0.2)
    expected, alarm, onset = brute_force_bets(factors, 20.0)
    wealth, cusum, start = (np.zeros(kernels.RISK_BETS) for _ in range(3))
    trace = np.empty(losses.size)
    answer = kernels.bet_on_risk(losses, 0.2, stakes, 0, 1.0, 20.0, wealth, cusum, start, trace)
    np.testing.assert_allclose(trace, expected, rtol=1e-10)
    assert answer[0] == trace[-1]
    assert answer[1] == trace.max()
    assert answer[2:] == (alarm, onset)
    assert alarm > 0


@given(st.lists(st.floats(0, 1, exclude_max=True), max_size=80), st.lists(st.integers(0, 80), max_size=4))
def test_how_rows_are_cut_into_batches_changes_no_bit(p: list[float], cuts: list[int]) -> None:
    values = np.array(p, dtype=np.float64)
    whole = bet_on_uniform(values, 3.0)
    parts = bet_on_uniform(values, 3.0, tuple(sorted(min(cut, values.size) for cut in cuts)))
    for one, other in zip(whole, parts, strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_first_evidence_is_fair() -> None:
    """Over uniform p-values, mean evidence after one and two rows is one; Gauss-Legendre is exact."""
    nodes, weights = np.polynomial.legendre.leggauss(6)
    nodes, weights = (nodes + 1) / 2, weights / 2
    first = second = 0.0
    for p1, w1 in zip(nodes, weights, strict=True):
        for p2, w2 in zip(nodes, weights, strict=True):
            trace, *_ = bet_on_uniform(np.array([p1, p2]), 1e9)
            first += w1 * w2 * trace[0]
            second += w1 * w2 * trace[1]
    assert first == pytest.approx(1.0, abs=1e-12)
    assert second == pytest.approx(1.0, abs=1e-12)


def test_a_long_run_of_the_same_rank_neither_overflows_nor_goes_wrong() -> None:
    trace, alarm, onset, state = bet_on_uniform(np.full(20_000, 1.0 - 2**-53), 100.0)
    assert np.isfinite(trace).all()
    assert np.isfinite(state).all()
    assert trace[-1] > 1e290
    assert alarm < 40
    assert onset == 1


@settings(max_examples=60)
@given(
    st.lists(any_float, max_size=40),
    st.lists(st.floats(allow_nan=False, allow_infinity=False, width=32), max_size=30, unique=True),
    st.floats(-1e6, 1e6),
)
def test_bins_equal_numpy(values: list[float], edges: list[float], center: float) -> None:
    x, cuts = np.array(values, dtype=np.float64), np.sort(np.array(edges, dtype=np.float32))
    out = np.empty(x.size, dtype=np.int32)
    kernels.bin_values(x, cuts, center, out)
    expected = np.searchsorted(cuts.astype(np.float64), x - center, side="right")
    np.testing.assert_array_equal(out, np.where(np.isnan(x), cuts.size + 1, expected))


@given(st.lists(st.integers(0, 6), max_size=60), st.lists(st.integers(0, 3), min_size=7, max_size=7))
def test_conformal_p_values_equal_ranks_in_the_bag(stream: list[int], reference: list[int]) -> None:
    bag = [bin_ for bin_, count in enumerate(reference) for _ in range(count)]
    expected = []
    for row, value in enumerate(stream):
        below, equal = sum(v < value for v in bag), sum(v == value for v in bag)
        expected.append((below + splitmix64(99, row) * (equal + 1)) / (len(bag) + 1))
        bag.append(value)
    counts, out = np.array(reference, dtype=np.uint64), np.empty(len(stream))
    kernels.conformal_p_values(np.array(stream, dtype=np.int32), counts, 99, 0, out)
    np.testing.assert_array_equal(out, expected)
    np.testing.assert_array_equal(counts, np.bincount(np.array(bag, dtype=np.int64), minlength=7))


def test_bins_outside_the_counts_are_refused_before_anything_changes() -> None:
    counts = np.ones(3, dtype=np.uint64)
    for bad in (-1, 3):
        with pytest.raises(ValueError, match="outside the counts"):
            kernels.conformal_p_values(np.array([0, bad], dtype=np.int32), counts, 1, 0, np.empty(2))
    assert counts.tolist() == [1, 1, 1]


def test_arrays_of_another_type_or_size_are_refused() -> None:
    wealth, cusum, start = (np.zeros(kernels.UNIFORM_BETS) for _ in range(3))
    with pytest.raises(TypeError):
        kernels.bet_on_uniform(np.zeros(3, np.float32), 0, 1.0, 9.0, wealth, cusum, start)
    with pytest.raises(ValueError, match="one number a bet"):
        kernels.bet_on_uniform(np.zeros(3), 0, 1.0, 9.0, np.zeros(3), cusum, start)
    with pytest.raises(ValueError, match="one number a row"):
        kernels.bet_on_uniform(np.zeros(3), 0, 1.0, 9.0, wealth, cusum, start, np.zeros(2))


def test_accumulated_variance_equals_its_definition() -> None:
    x = np.random.default_rng(1).random(200)
    guesses = (0.5 + np.concatenate([[0.0], np.cumsum(x)[:-1]])) / np.arange(1, 201)
    total, squares = kernels.accumulate_variance(x, 0, 0.0, 0.0)
    assert total == pytest.approx(x.sum(), rel=1e-13)
    assert squares == pytest.approx(((x - guesses) ** 2).sum(), rel=1e-13)
    half = kernels.accumulate_variance(x[:77].copy(), 0, 0.0, 0.0)
    assert kernels.accumulate_variance(x[77:].copy(), 77, *half) == (total, squares)
