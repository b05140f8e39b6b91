"""A batch of rows on its way through a runtime, in signature order."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy.typing as npt

__all__ = ["Batch"]


class Batch(msgspec.Struct, frozen=True, gc=False):
    """Validated inputs of one request.

    Attributes
    ----------
    rows
        How many; at least one.
    matrix
        [rows, columns] of the signature's `matrix_dtype`, C-contiguous, when it has one.
    columns
        One array [rows] an input in signature order, when the signature has no `matrix_dtype`: strings are object
        arrays of `str` or ``None``, missing numbers are NaN.
    """

    rows: int
    matrix: npt.NDArray[Any] | None = None
    columns: tuple[npt.NDArray[Any], ...] = ()
