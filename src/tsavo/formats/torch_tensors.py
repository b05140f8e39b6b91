"""What goes into and comes out of a PyTorch model: tensors that stand for columns, and answers by public name."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from tsavo.vocabulary import Invalid

__all__ = ["TensorInput", "check_missing", "check_probabilities", "named_leaves"]

_FAR_FROM_ONE: Final = 1e-3


class TensorInput(msgspec.Struct, frozen=True):
    """One tensor that a model takes.

    Attributes
    ----------
    width
        Columns of a tensor [n, width]; ``None`` for [n], and -1 when the model does not say.
    dtype
        As PyTorch calls it: ``float32``, ``int64``.
    """

    name: str
    width: int | None
    dtype: str = "float32"


def named_leaves(given: Any) -> dict[str, Any]:
    """The tensors of an answer by public name: its own names, ``value``, or ``output_0`` and so on.

    Raises
    ------
    Invalid
        When there is none, or something that is no tensor.
    """
    if isinstance(given, Mapping):
        named = {str(name): leaf for name, leaf in given.items()}
    else:
        leaves = list(given) if isinstance(given, tuple | list) else [given]
        named = {f"output_{at}": leaf for at, leaf in enumerate(leaves)}
    if not named or not all(hasattr(leaf, "shape") and hasattr(leaf, "dtype") for leaf in named.values()):
        raise Invalid(
            "the model does not give tensors",
            field="outputs",
            found=sorted({type(leaf).__name__ for leaf in named.values()}),
            expected="a tensor, a tuple of tensors or a dict of tensors",
        )
    ((name, leaf),) = itertools.islice(named.items(), 1)
    floats = "float" in str(leaf.dtype)
    if len(named) == 1 and name == "output_0" and floats and tuple(leaf.shape[1:]) in {(), (1,)}:
        return {"value": leaf.reshape(-1) if hasattr(leaf, "detach") else leaf}
    return named


def check_missing(arrays: list[npt.NDArray[Any]], outputs: dict[str, npt.NDArray[Any]]) -> None:
    """Raise when a row with a missing value [n] of `arrays` has no number for an answer."""
    gaps = np.zeros(len(arrays[0]), np.bool_)
    for array in arrays:
        gaps |= np.isnan(array) if array.dtype.kind == "f" else False
    for values in outputs.values():
        if gaps.any() and values.dtype.kind == "f" and np.isnan(values[gaps]).any():
            raise ValueError("a missing value makes the model's answer no number")


def check_probabilities(values: npt.NDArray[Any]) -> None:
    """Raise when these are scores: to make probabilities of them would be a guess."""
    wide = values.ndim == 2 and values.shape[1] > 1
    off = np.abs(values.sum(axis=1) - 1.0) > _FAR_FROM_ONE if wide else np.zeros(len(values), np.bool_)
    outside = (values < 0) | (values > 1)
    if off.any() or outside.any():
        raise Invalid(
            "the model gives scores and not probabilities",
            field="outputs",
            found=values[:2].round(4).tolist(),
            expected="rows that sum to one, or one probability a row",
            next_step="end the module with a softmax or a sigmoid, or register it with --task generic",
        )
