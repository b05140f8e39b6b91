"""JSON values as elements of the datatype that their tensor declares.

A JSON number has no width of its own: 0.1 in a tensor of FP32 is the float of 32 bits nearest to it, as it would be if
the same tensor came as raw bytes. Whether a column takes such values is not judged here.

Specification: Open Inference Protocol, "Tensor Data" (https://github.com/kserve/open-inference-protocol).
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tsavo.endpoints.open_tensors import DATATYPES
from tsavo.vocabulary import Invalid

__all__ = ["NARROW", "as_declared"]

_FLOATS: Final = {name: np.dtype(name.replace("FP", "float")) for name in ("FP16", "FP32")}
_WHOLE: Final = {
    name: np.iinfo(element) for name, element in DATATYPES.items() if name.startswith(("INT", "UINT"))
}

NARROW: Final = frozenset({*_FLOATS, *_WHOLE, "BOOL", "BF16"})
"""Datatypes that do not have every number that JSON can write; with the others values are left as they come."""


def as_declared(
    name: str, datatype: str, shape: tuple[int, ...], data: list[Any]
) -> list[Any] | npt.NDArray[Any]:
    """The values as an array of numbers; as they came, where they are none or not as many as the shape says.

    Parameters
    ----------
    datatype
        One of `NARROW`.
    data
        Flat, or as nested as the shape.

    Raises
    ------
    Invalid
        For a number that an integer datatype does not have (a BOOL may be 0 or 1), and for BF16, which JSON has none
        of.

    Examples
    --------
    >>> as_declared("m", "FP32", (1,), [0.1]).tolist()
    [0.10000000149011612]
    """
    if datatype == "BF16":
        raise Invalid(
            "BF16 comes as raw bytes only",
            field=f"inputs.{name}.datatype",
            found=datatype,
            expected="binary_data_size among its parameters and the bytes after the JSON, or FP32",
        )
    try:
        array = np.array(data)
    except (ValueError, OverflowError):  # not a table
        return data
    if array.dtype.kind == "O" and datatype in _FLOATS:
        array = _with_missing(data, array)
    if (
        array.dtype.kind not in "iuf"
        or array.shape not in (shape, (array.size,))
        or array.size != math.prod(shape)
    ):
        return data
    if datatype in _FLOATS:
        with np.errstate(over="ignore"):  # what is too large becomes infinite, which columns refuse
            return array.astype(_FLOATS[datatype])
    if array.dtype == DATATYPES[datatype]:
        return array
    if datatype == "BOOL":
        return _truths(name, array)
    limits = _WHOLE[datatype]
    wrong = (array < limits.min) | (array > limits.max)
    if array.dtype.kind == "f":
        wrong |= array != np.floor(array)
    if wrong.any():
        at = int(np.argmax(wrong))
        raise Invalid(
            f"a value that {datatype} does not have",
            field=f"inputs.{name}[{at}]",
            found=array.flat[at].item(),
            expected=f"a whole number, {limits.min} to {limits.max}",
        )
    return array


def _truths(name: str, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    wrong = (array != 0) & (array != 1)
    if wrong.any():
        at = int(np.argmax(wrong))
        raise Invalid(
            "not a BOOL",
            field=f"inputs.{name}[{at}]",
            found=array.flat[at].item(),
            expected="true, false, 1 or 0",
        )
    return array.astype(np.bool_)


def _with_missing(data: list[Any], array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if array.ndim == 1 and all(value is None or type(value) in (int, float) for value in data):
        try:
            return array.astype(np.float64)
        except OverflowError:  # a whole number that no float is near to
            return array
    return array
