"""Online conformal p-values: how a new value ranks among everything that came before it."""

from __future__ import annotations

from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

from tsavo import kernels
from tsavo.stats.binning import CategoryBins, NumericBins, as_categories, as_numbers
from tsavo.vocabulary import Damaged, Invalid

__all__ = ["ConformalPValues", "ConformalState", "uniform_draws"]

# A quarter of the reference cuts the bins, but no more than is needed to cut them well.
_CUTTING_SHARE: Final = 0.25
_CUTTING_ROWS: Final = 8192
# Tells the draws that choose the cutting rows from those that break ties.
_CUTTING_SEED: Final = 0x5851F42D4C957F2D
_WORD: Final = (1 << 64) - 1


class ConformalState(msgspec.Struct, frozen=True, array_like=True):
    """Conformal p-values at rest."""

    seed: int
    rows: int
    binning: NumericBins | CategoryBins
    counts: list[int]


class ConformalPValues:
    """Smoothed rank of each new value in a growing bag: reference first, then every value that came.

    Definition: with B values in the bag, of which L fall in bins below the new value's and E in the same bin,
    ``p = (L + U (E + 1)) / (B + 1)``, U uniform on [0, 1); then the new value joins the bag.

    Guarantee: when reference and stream are exchangeable, the p-values are independent and uniform on [0, 1),
    exactly, for any reference size and any mixture of ties, heavy tails and missing values. (With a bag that
    does not grow they are not independent: every one of them is measured with the same imperfect reference.)

    Assumes: exchangeability, nothing else. The bins are cut on a random quarter of the reference, which does
    not enter the bag.

    Parameters
    ----------
    binning
        Where values fall; cut on rows that are not in `counts`.
    counts
        The bag to start from: how many values in each bin, uint64 [binning.size].
    seed
        Of the draws U, 0 to 2**64 - 1.

    References
    ----------
    Vovk, Gammerman & Shafer (2005), Algorithmic learning in a random world, section 8.2.

    Examples
    --------
    >>> p_values = ConformalPValues.numeric([1.0, 2.0, 3.0, 4.0] * 100, seed=1)
    >>> p_values.next([1.0, 4.0, 100.0]).round(2).tolist()
    [0.14, 0.94, 0.99]
    """

    def __init__(
        self, binning: NumericBins | CategoryBins, counts: npt.NDArray[np.uint64], seed: int
    ) -> None:
        if not 0 <= seed <= _WORD:
            raise Invalid("not a seed", field="seed", found=seed, expected="0 to 2**64 - 1")
        self.binning = binning
        self.counts = counts
        self.seed = seed
        self.rows = 0

    @classmethod
    def numeric(cls, reference: npt.ArrayLike, *, bins: int = 128, seed: int) -> ConformalPValues:
        """Start from a column of numbers [n]; NaN is missing and has a bin of its own."""
        values = as_numbers(reference)
        cutting = _cutting_rows(values.size, seed)
        binning = NumericBins.fit(values[cutting], bins)
        return cls(binning, _count(binning.assign(values[~cutting]), binning.size), seed)

    @classmethod
    def categorical(cls, reference: npt.ArrayLike, *, bins: int = 128, seed: int) -> ConformalPValues:
        """Start from a column of integer codes or strings [n]; negative, ``None`` and NaN are missing."""
        values = as_categories(reference)
        cutting = _cutting_rows(values.size, seed)
        binning = CategoryBins.fit(values[cutting], bins)
        return cls(binning, _count(binning.assign(values[~cutting]), binning.size), seed)

    def next(self, values: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """The p-values [n] of `values` [n], in order; each joins the bag."""
        bins = self.binning.assign(values)
        p = np.empty(bins.size)
        kernels.conformal_p_values(bins, self.counts, self.seed, self.rows, p)
        self.rows += bins.size
        return p

    def state(self) -> ConformalState:
        """All there is to go on from."""
        return ConformalState(self.seed, self.rows, self.binning, self.counts.tolist())

    @classmethod
    def from_state(cls, state: ConformalState) -> ConformalPValues:
        """Go on where `state` was taken."""
        if len(state.counts) != state.binning.size:
            raise Damaged("a statistic's state is not whole", found=len(state.counts))
        restored = cls(state.binning, np.array(state.counts, dtype=np.uint64), state.seed)
        restored.rows = state.rows
        return restored


def uniform_draws(seed: int, start: int, n: int) -> npt.NDArray[np.float64]:
    """Draws `start` to `start` + `n` - 1 of SplitMix64 with `seed`, as multiples of 2**-53 in [0, 1).

    A counter-based generator: a draw depends on its number only, so a restart needs no generator state.

    References
    ----------
    Steele, Lea & Flood (2014). Fast splittable pseudorandom number generators. OOPSLA.
    """
    index = np.arange(start + 1, start + n + 1, dtype=np.uint64)
    z = np.uint64(seed & _WORD) + index * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return (z >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _cutting_rows(n: int, seed: int) -> npt.NDArray[np.bool_]:
    """Which rows of the reference cut the bins: chosen without a look at them."""
    if n == 0:
        raise Invalid("the reference is empty", field="reference", found=0, expected="at least one row")
    share = min(_CUTTING_SHARE, _CUTTING_ROWS / n)
    return uniform_draws(seed ^ _CUTTING_SEED, 0, n) < share


def _count(bins: npt.NDArray[np.int32], size: int) -> npt.NDArray[np.uint64]:
    return np.bincount(bins, minlength=size).astype(np.uint64)
