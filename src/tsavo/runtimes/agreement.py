"""Compares the compiled model's answers with the original's, row by row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from tsavo.vocabulary import Columns, Disagreement, Signature

__all__ = ["TOLERANCE", "Comparison", "compare", "disagreement", "plain", "told_apart"]

TOLERANCE: Final = 1e-5
"""Outputs agree when they differ by at most this much plus this share of the original's value."""

_SHOWN: Final = 5


class Comparison(msgspec.Struct, frozen=True):
    """How far two models are apart.

    Attributes
    ----------
    worst
        Output -> greatest absolute difference.
    label_mismatches
        Rows whose labels differ, ties included.
    bad
        [rows] where an output is outside the tolerance, or a label differs without a tie.
    """

    worst: dict[str, float]
    label_mismatches: int
    bad: npt.NDArray[np.bool_]

    @property
    def agrees(self) -> bool:
        """Whether no row is bad."""
        return not bool(self.bad.any())


def compare(
    signature: Signature, original: Mapping[str, npt.NDArray[Any]], compiled: Mapping[str, npt.NDArray[Any]]
) -> Comparison:
    """Compare outputs by name; both have the rows of the same batch."""
    rows = len(next(iter(compiled.values())))
    bad = np.zeros(rows, np.bool_)
    worst: dict[str, float] = {}
    mismatches = 0
    for output in signature.outputs:
        one, other = original[output.name], compiled[output.name]
        if output.name == "label":
            differs = np.asarray(one, dtype=object) != np.asarray(other, dtype=object)
            undecided = differs & ~_tied(original)
            mismatches = int(_any(differs).sum())
            bad |= _any(undecided)
            continue
        if one.shape != other.shape:
            return Comparison({output.name: float("inf")}, mismatches, np.ones(rows, np.bool_))
        if output.dtype == "string":
            differs = _any(np.asarray(one, dtype=object) != np.asarray(other, dtype=object))
            mismatches += int(differs.sum())
            bad |= differs
            continue
        expected, found = one.astype(np.float64), other.astype(np.float64)
        same = (expected == found) | (np.isnan(expected) & np.isnan(found))
        with np.errstate(invalid="ignore"):
            apart = np.where(same, 0.0, np.abs(expected - found))
            outside = ~same & ~(apart <= TOLERANCE + TOLERANCE * np.abs(expected))
        worst[output.name] = float(np.max(np.nan_to_num(apart, nan=np.inf), initial=0.0))
        bad |= _any(outside)
    return Comparison(worst, mismatches, bad)


def _any(marks: Any) -> Any:
    """[rows] whether any of a row's marks is set; marks are [rows] or [rows, width]."""
    return marks if marks.ndim == 1 else marks.any(axis=1)


def _tied(original: Mapping[str, npt.NDArray[Any]]) -> Any:
    """Where the original itself is undecided within the tolerance, in the shape of its labels."""
    label = original["label"]
    if label.ndim == 2:
        # Several labels a row, each with a probability of its own.
        shares = original.get("probabilities")
        if shares is None or shares.shape != label.shape:
            return np.zeros(label.shape, np.bool_)
        return np.abs(shares - 0.5) <= TOLERANCE
    if "probabilities" in original:
        top = np.sort(original["probabilities"], axis=1)
        return top[:, -1] - top[:, -2] <= 2 * TOLERANCE if top.shape[1] > 1 else np.zeros(len(top), np.bool_)
    if "score" in original:
        return np.abs(original["score"]) <= TOLERANCE
    return np.zeros(len(label), np.bool_)


def disagreement(
    columns: Columns,
    original: Mapping[str, npt.NDArray[Any]],
    compiled: Mapping[str, npt.NDArray[Any]],
    comparison: Comparison,
    rows: npt.NDArray[np.int64],
    where: str = "rows",
) -> Disagreement:
    """The refusal, with the first rows that differ; `rows` are their numbers in the data that `where` names."""
    wrong = np.flatnonzero(comparison.bad)
    shown = [
        {
            "row": int(rows[at]),
            "inputs": {name: plain(values[at]) for name, values in columns.items()},
            "original": {name: plain(values[at]) for name, values in original.items()},
            "compiled": {name: plain(values[at]) for name, values in compiled.items()},
        }
        for at in wrong[:_SHOWN].tolist()
    ]
    return Disagreement(
        f"the compiled model does not answer as the original does on {len(wrong)} of {len(comparison.bad)} {where}",
        field="source",
        found=", ".join(f"{name}: {value:.3g} apart" for name, value in comparison.worst.items())
        or "other labels",
        expected=f"a difference of at most {TOLERANCE:g}",
        next_step="this model cannot be served compiled; look at the rows in the details",
        details={"rows": shown},
    )


def told_apart(worst: Mapping[str, float | None]) -> str:
    """How far outputs are apart, in words; empty when they are not.

    >>> told_apart({"value": 0.00125, "score": 0.0})
    'value by at most 0.00125'
    """
    figures = {
        name: "no finite number" if value is None else f"at most {value:.3g}" for name, value in worst.items()
    }
    return ", ".join(f"{name} by {figures[name]}" for name, value in worst.items() if value != 0.0)


def plain(value: Any) -> Any:
    """A value as JSON has it: lists, and ``None`` for what is no finite number."""
    found = value.tolist() if isinstance(value, np.ndarray | np.generic) else value
    return None if isinstance(found, float) and not np.isfinite(found) else found
