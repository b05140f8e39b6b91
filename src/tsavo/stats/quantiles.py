"""Quantiles of positive numbers of any size, in little space, with a bounded relative error."""

from __future__ import annotations

import math
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from tsavo.stats.betting import decode_state
from tsavo.stats.binning import as_numbers
from tsavo.vocabulary import Invalid

__all__ = ["QuantileSketch"]

_PER_OCTAVE: Final = 64
_ZERO: Final = -(10**6)


class _State(msgspec.Struct, frozen=True, array_like=True, tag="quantiles-1"):
    low: float
    high: float
    buckets: list[int]
    counts: list[int]


class QuantileSketch:
    """Counts by size: 64 buckets for every doubling.

    Definition: a value m·2^e, 0.5 <= m < 1, falls in bucket ``floor(128(m - 0.5))`` of octave e; zero has its
    own. Only buckets in use are kept.

    Guarantee: `quantile` differs from the value of that rank by at most 0.8% (1/128) of it. Sketches merge
    without loss, in any order.

    Assumes: finite, non-negative values.

    Costs: about 5 bytes a bucket in use; latencies within a factor of 1,000 need at most 640.

    References
    ----------
    Masson, Rim & Lee (2019), DDSketch: a fast and fully-mergeable quantile sketch with relative-error
    guarantees, VLDB 12(12); with linear steps within an octave (as in HdrHistogram), which need no logarithm.

    Examples
    --------
    >>> sketch = QuantileSketch()
    >>> sketch.update(np.arange(1, 1001))
    >>> sketch.rows, sketch.quantile(0.5), sketch.quantile(0.99)
    (1000, 502.0, 988.0)
    """

    def __init__(self) -> None:
        self._buckets = np.empty(0, dtype=np.int64)
        self._counts = np.empty(0, dtype=np.int64)
        self._low = math.inf
        self._high = -math.inf

    @property
    def rows(self) -> int:
        """How many values."""
        return int(self._counts.sum())

    def update(self, values: npt.ArrayLike) -> None:
        """Take in `values` [n]; raise `Invalid` (and take none) when one is negative, infinite or NaN."""
        array = as_numbers(values)
        if array.size == 0:
            return
        bad = ~((array >= 0.0) & (array < np.inf))
        if bad.any():
            raise Invalid(
                "not a size", field="values", found=float(array[bad][0]), expected="finite, 0 or more"
            )
        mantissa, exponent = np.frexp(array)
        bucket = exponent.astype(np.int64) * _PER_OCTAVE + ((mantissa - 0.5) * (2 * _PER_OCTAVE)).astype(
            np.int64
        )
        buckets, counts = np.unique(np.where(array == 0.0, _ZERO, bucket), return_counts=True)
        self._add(buckets, counts, float(array.min()), float(array.max()))

    def merge(self, other: QuantileSketch) -> None:
        """Take in all that `other` has seen."""
        self._add(other._buckets, other._counts, other._low, other._high)

    def quantile(self, q: float) -> float:
        """The value of rank ``ceil(q rows)``, within 0.8%; NaN before the first value.

        Parameters
        ----------
        q
            0 (the smallest) to 1 (the largest).
        """
        if not 0.0 <= q <= 1.0:
            raise Invalid("not a quantile", field="q", found=q, expected="0 to 1")
        if not self._counts.size:
            return math.nan
        reached = np.cumsum(self._counts)
        rank = min(max(math.ceil(q * int(reached[-1])), 1), int(reached[-1]))
        bucket = int(self._buckets[int(np.searchsorted(reached, rank))])
        if bucket == _ZERO:
            return 0.0
        exponent, step = divmod(bucket, _PER_OCTAVE)
        middle = math.ldexp(0.5 + (step + 0.5) / (2 * _PER_OCTAVE), exponent)
        return min(max(middle, self._low), self._high)

    def state_bytes(self) -> bytes:
        """All there is to go on from."""
        return msgspec.msgpack.encode(
            _State(self._low, self._high, self._buckets.tolist(), self._counts.tolist())
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> QuantileSketch:
        """Go on where `state_bytes` was taken; raise `Damaged` when `data` is not such a state."""
        state: _State = decode_state(data, _State)
        sketch = cls()
        if state.buckets:
            sketch._add(np.array(state.buckets), np.array(state.counts), state.low, state.high)
        return sketch

    def _add(
        self, buckets: npt.NDArray[np.int64], counts: npt.NDArray[np.int64], low: float, high: float
    ) -> None:
        every = np.concatenate([self._buckets, buckets])
        self._buckets, place = np.unique(every, return_inverse=True)
        sums = np.zeros(self._buckets.size, dtype=np.int64)
        np.add.at(sums, place, np.concatenate([self._counts, counts]))
        self._counts = sums
        self._low, self._high = min(self._low, low), max(self._high, high)
