"""How far one answer to some rows is from another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tsavo.vocabulary import Signature, StepTried

__all__ = ["compare"]

_LABEL: Final = "label"


def compare(
    tried: StepTried,
    signature: Signature,
    outputs: Sequence[npt.NDArray[Any]],
    other_signature: Signature,
    other_outputs: Sequence[npt.NDArray[Any]],
) -> None:
    """Add to `tried` how far `outputs` are from what was really answered, output by output of the same name.

    Labels, strings and booleans are equal or not, row by row; other outputs are numbers with a difference. A number
    that is missing (NaN) in both is no difference; one that is missing in one of them only is counted as lacking.

    Parameters
    ----------
    outputs, other_outputs
        [rows] or [rows, width] each, in the order of their signatures' outputs.
    """
    others = {
        output.name: array for output, array in zip(other_signature.outputs, other_outputs, strict=True)
    }
    equal: npt.NDArray[np.bool_] | None = None
    for output, array in zip(signature.outputs, outputs, strict=True):
        other = others.get(output.name)
        if other is None or other.shape != array.shape:
            continue
        if output.name == _LABEL or array.dtype.kind not in "iuf" or other.dtype.kind not in "iuf":
            same = _same(array, other)
            equal = same if equal is None else equal & same
        else:
            _add_numbers(tried, array, other)
    if equal is not None:
        tried.labels += len(equal)
        tried.equal += int(equal.sum())


def _same(array: npt.NDArray[Any], other: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    same = np.asarray(array == other, dtype=np.bool_).reshape(len(array), -1)
    return np.asarray(same.all(axis=1))


def _add_numbers(tried: StepTried, array: npt.NDArray[Any], other: npt.NDArray[Any]) -> None:
    # The same infinity in both is no difference, though inf - inf is not a number.
    with np.errstate(invalid="ignore", over="ignore"):
        distance = np.abs(array.astype(np.float64) - other.astype(np.float64))
    distance[array == other] = 0.0
    missing = np.isnan(array), np.isnan(other)
    distance[missing[0] & missing[1]] = 0.0
    lacking = missing[0] ^ missing[1]
    known = distance[~lacking]
    tried.lacking += int(lacking.sum())
    tried.compared += known.size
    tried.differences += float(known.sum())
    tried.largest = max(tried.largest, float(known.max(initial=0.0)))
