"""The classes of a classifier."""

from __future__ import annotations

from typing import Any

import numpy as np

from tsavo.formats.originals import CannotCompile
from tsavo.vocabulary import DType

__all__ = ["class_values"]


def class_values(estimator: Any) -> tuple[tuple[str | int | bool | float, ...], DType]:
    """The classes of a classifier in the order of its probabilities, and the type of its labels."""
    classes = np.asarray(estimator.classes_)
    if classes.ndim != 1:
        raise CannotCompile("it predicts several targets at once")
    kinds: dict[str, DType] = {"b": "bool", "i": "int64", "u": "int64", "f": "float64", "U": "string"}
    if classes.dtype == object:
        values = classes.tolist()
        if all(isinstance(value, str) for value in values):
            return tuple(str(value) for value in values), "string"
        classes = np.array(values)
    if classes.dtype.kind not in kinds:
        raise CannotCompile(f"its classes are of type {classes.dtype}")
    return tuple(classes.tolist()), kinds[classes.dtype.kind]
