"""DriftEProcess: the promise on null streams, detection, ties and missing, restarts."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsavo.stats import DriftEProcess
from tsavo.vocabulary import Damaged, Invalid

any_float = st.floats(allow_nan=True, allow_infinity=True)


def at_most(streams: int, chance: float) -> int:
    """The count that a binomial(streams, chance) exceeds with a chance under 1 in 1,000: exact, summed up."""
    probability = total = (1 - chance) ** streams
    count = 0
    while 1 - total >= 1e-3:
        probability *= (streams - count) / (count + 1) * chance / (1 - chance)
        count += 1
        total += probability
    return count


def null_sample(kind: str, rng: np.random.Generator, n: int) -> npt.NDArray[np.float64]:
    if kind == "normal":
        return rng.normal(size=n)
    if kind == "heavy":
        return rng.standard_cauchy(n)
    if kind == "tied":
        return rng.poisson(1.5, n).astype(np.float64)
    values = rng.lognormal(size=n)
    values[rng.random(n) < 0.3] = np.nan
    return values


@pytest.mark.parametrize("kind", ["normal", "heavy", "tied", "missing"])
def test_null_streams_alarm_no_more_often_than_promised(kind: str) -> None:
    """A small reference, 4,000 rows looked at one by one, alpha 0.1."""
    streams, alpha, rng = 250, 0.1, np.random.default_rng(len(kind))
    alarms = 0
    for seed in range(streams):
        drift = DriftEProcess.numeric(null_sample(kind, rng, 200), alpha=alpha, seed=seed)
        drift.update(null_sample(kind, rng, 4_000))
        alarms += drift.alarm
    assert alarms <= at_most(streams, alpha)


def test_null_streams_of_many_rare_categories_alarm_no_more_often_than_promised() -> None:
    """Zipf: most categories of the stream never occur in the reference, and that is no drift."""
    streams, alpha, rng = 250, 0.1, np.random.default_rng(3)
    alarms = 0
    for seed in range(streams):
        drift = DriftEProcess.categorical(rng.zipf(1.3, 300) % 2**40, alpha=alpha, seed=seed)
        drift.update(rng.zipf(1.3, 4_000) % 2**40)
        alarms += drift.alarm
    assert alarms <= at_most(streams, alpha)


@pytest.mark.parametrize(
    ("changed", "delay"),
    [
        (lambda x: x + 0.5, 400),
        (lambda x: x * 2.0, 400),
        (lambda x: x * 0.5, 400),
        (lambda x: np.where(np.arange(x.size) % 4 == 0, np.nan, x), 700),
    ],
    ids=["location", "wider", "narrower", "missing"],
)
def test_changes_are_found_and_dated(changed: object, delay: int) -> None:
    assert callable(changed)
    rng = np.random.default_rng(11)
    drift = DriftEProcess.numeric(rng.normal(size=5_000), seed=4)
    drift.update(rng.normal(size=5_000))
    assert not drift.alarm
    drift.update(changed(rng.normal(size=3_000)))
    assert drift.alarm_row is not None
    assert 5_000 < drift.alarm_row <= 5_000 + delay
    assert drift.onset is not None
    assert abs(drift.onset - 5_000) < 250


def test_a_new_category_and_a_shifted_mixture_are_found() -> None:
    rng = np.random.default_rng(12)
    names = np.array(["ua", "aa", "dl"], dtype=object)
    for late in (["ua", "aa", "dl", "zz"], ["ua", "ua", "aa", "dl"]):
        drift = DriftEProcess.categorical(rng.choice(names, 3_000), seed=1)
        drift.update(rng.choice(names, 2_000))
        assert not drift.alarm
        drift.update(rng.choice(np.array(late, dtype=object), 2_000))
        assert drift.alarm


def test_strings_and_their_codes_give_the_same_evidence() -> None:
    rng = np.random.default_rng(13)
    codes = rng.integers(-1, 6, 1_000)
    names = np.array([None if code < 0 else f"c{code}" for code in codes], dtype=object)
    by_code = DriftEProcess.categorical(codes[:600], seed=2)
    by_name = DriftEProcess.categorical(names[:600], seed=2)
    np.testing.assert_array_equal(by_code.trace(codes[600:]), by_name.trace(names[600:]))


@settings(max_examples=60, deadline=None)
@given(
    reference=st.lists(any_float, min_size=1, max_size=60),
    stream=st.lists(any_float | st.sampled_from([0.0, 1.0]), max_size=60),
    cut=st.integers(0, 60),
)
def test_any_floats_in_any_batches_with_a_restart_between_give_the_same_bits(
    reference: list[float], stream: list[float], cut: int
) -> None:
    whole = DriftEProcess.numeric(reference, alpha=0.3, seed=5)
    trace = whole.trace(stream)
    parts = DriftEProcess.numeric(reference, alpha=0.3, seed=5)
    parts.update(stream[:cut])
    parts = DriftEProcess.from_bytes(parts.state_bytes())
    parts.update([])
    parts.update(stream[cut:])
    assert parts.state_bytes() == whole.state_bytes()
    assert (parts.evidence, parts.max_evidence, parts.alarm_row, parts.onset, parts.rows) == (
        whole.evidence,
        whole.max_evidence,
        whole.alarm_row,
        whole.onset,
        len(stream),
    )
    assert np.isfinite(trace).all()
    assert (trace >= 0).all()


def test_an_alarm_stays_when_the_evidence_goes() -> None:
    rng = np.random.default_rng(14)
    drift = DriftEProcess.numeric(rng.normal(size=500), seed=1)
    while not drift.alarm:
        drift.update(rng.normal(2.0, size=2))
    row, onset = drift.alarm_row, drift.onset
    assert row is not None
    drift.update(rng.normal(size=20_000))
    assert drift.evidence < 1.0 < drift.threshold <= drift.max_evidence
    assert (drift.alarm, drift.alarm_row, drift.onset) == (True, row, onset)


def test_state_is_compact_also_after_many_rows() -> None:
    rng = np.random.default_rng(15)
    drift = DriftEProcess.numeric(rng.normal(size=100_000), seed=1)
    drift.update(rng.normal(size=1_000_000))
    assert len(drift.state_bytes()) <= 1_250


def test_wrong_parameters_and_states_are_refused() -> None:
    with pytest.raises(Invalid, match="alpha"):
        DriftEProcess.numeric([1.0, 2.0], alpha=0.0, seed=1)
    with pytest.raises(Invalid, match="reference is empty"):
        DriftEProcess.numeric([], seed=1)
    with pytest.raises(Invalid, match="not numbers"):
        DriftEProcess.numeric(["a"], seed=1)
    with pytest.raises(Invalid, match="not a column"):
        DriftEProcess.numeric([[1.0]], seed=1)
    with pytest.raises(Invalid, match="not categories"):
        DriftEProcess.categorical([1.5], seed=1)
    with pytest.raises(Invalid, match="seed"):
        DriftEProcess.numeric([1.0], seed=-1)
    state = DriftEProcess.numeric([1.0, 2.0], seed=1).state_bytes()
    for bad in (b"", state[:-3], b"\x01", state.replace(b"drift-1", b"risk--1")):
        with pytest.raises(Damaged):
            DriftEProcess.from_bytes(bad)
