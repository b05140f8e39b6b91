"""Where a value falls: about 128 bins, cut on rows that take no further part.

The cuts must not come from the rows that values are later ranked among: a category that is missing from those
rows would have a count of zero *by construction*, and a stream from the same source would look new.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from tsavo import kernels
from tsavo.vocabulary import Invalid

__all__ = ["CategoryBins", "NumericBins", "as_categories", "as_numbers"]

Bins = npt.NDArray[np.int32]

_MAX_BINS: Final = 4096


class NumericBins(msgspec.Struct, frozen=True, tag="numeric"):
    """Intervals of numbers in rising order, then one bin for missing (NaN).

    Attributes
    ----------
    edges
        Little-endian float32 bytes, relative to `center`: half the size of float64, and any fixed cut is
        valid.
    center
        The median of the rows that the cuts came from.
    """

    edges: bytes
    center: float

    @classmethod
    def fit(cls, values: npt.ArrayLike, bins: int = 128) -> NumericBins:
        """Cut `values` [n] at their quantiles, half-way between neighbours; only finite ones count."""
        _check_bins(bins)
        array = as_numbers(values)
        finite = np.sort(array[np.isfinite(array)])
        if finite.size == 0:
            return cls(b"", 0.0)
        center = float(finite[finite.size // 2])
        distinct = np.unique(finite)
        if distinct.size > bins:
            at = np.searchsorted(distinct, finite[np.arange(1, bins) * finite.size // bins])
            at = np.unique(at[at > 0])
        else:
            at = np.arange(1, distinct.size)
        middle = distinct[at - 1] / 2 + distinct[at] / 2
        with np.errstate(over="ignore"):
            edges = np.unique((middle - center).astype("<f4"))
        return cls(edges.tobytes(), center)

    @property
    def size(self) -> int:
        """How many bins, the one for missing included."""
        return len(self.edges) // 4 + 2

    def assign(self, values: npt.ArrayLike) -> Bins:
        """The bin [n] of each of `values` [n]."""
        array = as_numbers(values)
        out = np.empty(array.size, dtype=np.int32)
        kernels.bin_values(array, np.frombuffer(self.edges, "<f4").astype(np.float32), self.center, out)
        return out


class CategoryBins(msgspec.Struct, frozen=True, tag="category"):
    """One bin for what is not among `names`, then `names` from frequent to rare, then one bin for missing.

    Missing is a negative code, or ``None`` or NaN among strings. The two special bins lie at the ends, where
    the bets on location see them grow.
    """

    names: tuple[str | int, ...]

    @classmethod
    def fit(cls, values: npt.ArrayLike, bins: int = 128) -> CategoryBins:
        """Give the `bins` - 2 most frequent of `values` [n] (integer codes or strings) a bin each."""
        _check_bins(bins)
        counted = Counter(name for name in as_categories(values).tolist() if not _missing(name))
        ranked = sorted(counted.items(), key=lambda item: (-item[1], item[0]))
        return cls(tuple(name for name, _ in ranked[: bins - 2]))

    @property
    def size(self) -> int:
        """How many bins, those for unseen and missing included."""
        return len(self.names) + 2

    def assign(self, values: npt.ArrayLike) -> Bins:
        """The bin [n] of each of `values` [n]."""
        array = as_categories(values)
        missing = len(self.names) + 1
        if array.dtype == object:
            place = {name: bin_ for bin_, name in enumerate(self.names, start=1)}
            known = [missing if _missing(name) else place.get(name, 0) for name in array.tolist()]
            return np.array(known, dtype=np.int32)
        bins = np.where(array < 0, missing, 0).astype(np.int32)
        codes = np.array([name for name in self.names if isinstance(name, int)], dtype=np.int64)
        if codes.size:
            order = np.argsort(codes)
            at = np.minimum(np.searchsorted(codes, array, sorter=order), codes.size - 1)
            hit = codes[order[at]] == array
            bins[hit] = order[at[hit]].astype(np.int32) + 1
        return bins


def as_numbers(values: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """`values` as contiguous float64 [n]; raise `Invalid` when they are not numbers in one dimension."""
    try:
        array = np.ascontiguousarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise Invalid(
            "not numbers", field="values", found=str(error), expected="a one-dimensional array"
        ) from error
    return _one_dimension(array)


def as_categories(values: npt.ArrayLike) -> npt.NDArray[Any]:
    """`values` as int64 codes or an object array of strings [n]; raise `Invalid` when they are neither."""
    array = np.asarray(values)
    if array.dtype.kind in "iub" or array.size == 0:
        return _one_dimension(array.astype(np.int64))
    if array.dtype.kind in "OUT":
        return _one_dimension(array.astype(object))
    raise Invalid(
        "not categories", field="values", found=str(array.dtype), expected="integer codes or strings"
    )


def _one_dimension(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if np.ndim(array) != 1:
        raise Invalid("not a column", field="values", found=f"shape {array.shape}", expected="one dimension")
    return array


def _missing(name: Any) -> bool:
    return name is None or (isinstance(name, int) and name < 0) or name != name  # noqa: PLR0124 (NaN)


def _check_bins(bins: int) -> None:
    if not 3 <= bins <= _MAX_BINS:
        raise Invalid("not a number of bins", field="bins", found=bins, expected=f"3 to {_MAX_BINS}")
