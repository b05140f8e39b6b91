"""What goes into a model and what comes out: typed inputs, typed outputs, the task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

__all__ = ["NUMPY_DTYPES", "Columns", "DType", "Field", "Output", "Signature", "Task", "misfits"]

DType: TypeAlias = Literal["float64", "float32", "int64", "int32", "bool", "string"]
Task: TypeAlias = Literal[
    "binary", "multiclass", "multilabel", "regression", "ranking", "anomaly", "clustering", "generic"
]

Columns: TypeAlias = Mapping[str, npt.NDArray[Any]]
"""A batch, column by column: name -> array [n]. Strings are object arrays of `str` or `None`."""

# Values of the first kind can be handed to a column of any of the second without loss.
_FITS: Final[dict[DType, frozenset[DType]]] = {
    "bool": frozenset({"bool"}),
    "int32": frozenset({"int32", "int64", "float64"}),
    "int64": frozenset({"int64", "float64"}),
    "float32": frozenset({"float32", "float64"}),
    "float64": frozenset({"float64", "float32"}),
    "string": frozenset({"string"}),
}

NUMPY_DTYPES: Final[dict[DType, np.dtype[Any]]] = {
    "float64": np.dtype(np.float64),
    "float32": np.dtype(np.float32),
    "int64": np.dtype(np.int64),
    "int32": np.dtype(np.int32),
    "bool": np.dtype(np.bool_),
    "string": np.dtype(object),
}


class Field(msgspec.Struct, frozen=True, omit_defaults=True):
    """One input column.

    Only float and string columns can be nullable: a missing number is NaN, a missing string is ``None``.

    Attributes
    ----------
    categories
        The values seen in the reference data, for string columns that have few; ``None`` when open.
    unseen
        What happens to a value outside `categories`: ``refuse`` when the model itself fails on it,
        ``flag`` when the model can score it and the answer should say so.
    low, high
        The smallest and largest finite value seen in the reference data, for numeric columns.
    unit
        What it is measured in, when somebody said so.
    """

    name: str
    dtype: DType
    nullable: bool = False
    categories: tuple[str, ...] | None = None
    unseen: Literal["refuse", "flag"] = "flag"
    low: float | None = None
    high: float | None = None
    unit: str | None = None


class Output(msgspec.Struct, frozen=True, omit_defaults=True):
    """One output of a model; `width` is ``None`` for one value a row ([n]) and k for [n, k]."""

    name: str
    dtype: DType
    width: int | None = None


class Signature(msgspec.Struct, frozen=True, omit_defaults=True):
    """The typed contract of a version.

    Attributes
    ----------
    inputs
        Columns in the order in which a matrix request carries them.
    outputs
        Named by task: ``label`` and ``probabilities`` for classifiers, ``value`` for regression, ``score``
        for anomaly and ranking, ``label`` for clustering, the model's own names otherwise. A multilabel model has
        ``label`` [n, labels] of zeros and ones.
    classes
        Class labels in the order of the ``probabilities`` columns.
    """

    inputs: tuple[Field, ...]
    outputs: tuple[Output, ...]
    task: Task
    classes: tuple[str | int | bool | float, ...] | None = None

    @property
    def matrix_dtype(self) -> DType | None:
        """The one dtype that all inputs share when it is numeric, else ``None``.

        Such a batch travels and is recorded as one matrix [n, columns].
        """
        kinds = {field.dtype for field in self.inputs}
        return next(iter(kinds)) if len(kinds) == 1 and kinds != {"string"} else None


def misfits(callers: Signature, other: Signature) -> list[str]:
    """Why a version with signature `other` cannot answer callers who speak `callers`; empty when it can.

    >>> one = Signature((Field("age", "int64"),), (Output("value", "float64"),), "regression")
    >>> two = Signature((Field("age", "string"),), (Output("value", "float64"),), "regression")
    >>> misfits(one, two)
    ["column 'age' is int64 here and string there"]
    """
    given = {field.name: field for field in callers.inputs}
    reasons = []
    for field in other.inputs:
        there = given.get(field.name)
        if there is None:
            reasons.append(f"column '{field.name}' is not sent by callers")
        elif field.dtype not in _FITS[there.dtype]:
            reasons.append(f"column '{field.name}' is {there.dtype} here and {field.dtype} there")
    if callers.task != other.task:
        reasons.append(f"the task is {callers.task} here and {other.task} there")
    missing = {output.name for output in callers.outputs} - {output.name for output in other.outputs}
    reasons.extend(f"output '{name}' is not given" for name in sorted(missing))
    if callers.classes != other.classes:
        reasons.append(f"the classes are {callers.classes} here and {other.classes} there")
    return reasons
