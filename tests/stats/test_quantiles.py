"""QuantileSketch against exact quantiles."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsavo.stats import QuantileSketch
from tsavo.vocabulary import Damaged, Invalid

sizes = st.floats(0, 1e300) | st.integers(0, 100).map(float) | st.just(0.0)


@given(st.lists(sizes, min_size=1, max_size=80), st.floats(0, 1))
def test_every_quantile_is_within_its_relative_error(values: list[float], q: float) -> None:
    sketch = QuantileSketch()
    sketch.update(values)
    exact = float(np.quantile(values, q, method="inverted_cdf"))
    assert sketch.quantile(q) == pytest.approx(exact, rel=1 / 128)
    assert sketch.quantile(0.0) == pytest.approx(min(values), rel=1 / 128)
    assert sketch.quantile(1.0) == pytest.approx(max(values), rel=1 / 128)


@given(st.lists(st.lists(sizes, max_size=20), max_size=5))
def test_merging_and_restarts_lose_nothing(batches: list[list[float]]) -> None:
    whole, merged = QuantileSketch(), QuantileSketch()
    whole.update([value for batch in batches for value in batch])
    for batch in reversed(batches):
        part = QuantileSketch()
        part.update(batch)
        merged.merge(QuantileSketch.from_bytes(part.state_bytes()))
    assert merged.rows == whole.rows
    assert merged.state_bytes() == whole.state_bytes()


def test_nothing_seen_and_nonsense() -> None:
    sketch = QuantileSketch()
    assert math.isnan(sketch.quantile(0.5))
    for bad in (-1.0, np.nan, np.inf):
        with pytest.raises(Invalid, match="values"):
            sketch.update([1.0, bad])
    assert sketch.rows == 0
    with pytest.raises(Invalid, match="q"):
        sketch.quantile(1.5)
    with pytest.raises(Damaged):
        QuantileSketch.from_bytes(b"\xff")
