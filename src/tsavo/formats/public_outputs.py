"""Gives the answers of free-form models their public names: whatever Python code returns becomes outputs by name.

A model of a known framework knows what its figures mean; a function does not say. What it returns decides, together
with what the person who registers it says about the task and the classes:

=============================== ===========================================================
it returns                      outputs
=============================== ===========================================================
a DataFrame, a dict             one output for each column, under the column's own name
``[n]``, anomaly or ranking     ``score``
``[n]``, clustering             ``label``
``[n]``, two classes, floats    the second class's probability: ``label``, ``probabilities``
``[n]`` otherwise, classes      ``label``
``[n, classes]``                ``probabilities``, and the ``label`` of the greatest
``[n, labels]``, multilabel     ``label``
``[n]`` of text                 ``label``
``[n]``, ``[n, 1]``, ``[n, k]`` ``value``
=============================== ===========================================================
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from tsavo.vocabulary import Hints, Invalid, Task

__all__ = ["public_outputs", "task_of"]


def task_of(hints: Hints) -> Task:
    """The task as the person said it, or as the classes that they named tell it."""
    if hints.task is not None:
        return hints.task
    if hints.classes:
        return "binary" if len(hints.classes) == 2 else "multiclass"
    return "generic"


def public_outputs(given: Any, hints: Hints) -> dict[str, npt.NDArray[Any]]:
    """What a free-form model returned, as outputs by public name, each [n] or [n, k].

    Raises
    ------
    Invalid
        When it returned nothing, or something that cannot be a table.

    Examples
    --------
    >>> public_outputs([0.25, 0.75], Hints(classes=("stay", "leave")))["label"].tolist()
    ['stay', 'leave']
    """
    if given is None:
        raise Invalid("the model returned nothing", field="outputs", expected="one answer a row")
    if _is_frame(given):
        return {str(name): _array(given[name]) for name in given.columns}
    if isinstance(given, Mapping):
        return {str(name): _array(values) for name, values in given.items()}
    values = _array(given)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    return _named(values, task_of(hints), hints.classes)


def _named(
    values: npt.NDArray[Any], task: Task, classes: tuple[Any, ...] | None
) -> dict[str, npt.NDArray[Any]]:
    if task in {"anomaly", "ranking"}:
        return {"score": values}
    if task in {"clustering", "multilabel"}:
        return {"label": values}
    if task in {"binary", "multiclass"}:
        return _classified(values, classes)
    return {"label" if values.dtype == object and values.ndim == 1 else "value": values}


def _classified(values: npt.NDArray[Any], classes: tuple[Any, ...] | None) -> dict[str, npt.NDArray[Any]]:
    if classes is None:
        return {"label" if values.ndim == 1 else "probabilities": values}
    labels = np.array(classes, dtype=object if isinstance(classes[0], str) else None)
    if values.ndim == 1:
        if values.dtype.kind != "f" or labels.dtype.kind == "f" or len(classes) != 2:
            return {"label": values}
        values = np.stack([1.0 - values, values], axis=1)
        index = (values[:, 1] > 0.5).astype(np.int64)
    else:
        index = values.argmax(axis=1)
    if values.shape[1] != len(classes):
        raise Invalid(
            "the model gives another number of probabilities than there are classes",
            field="classes",
            found=list(classes),
            expected=f"{values.shape[1]} classes, in the order of the probabilities",
        )
    return {"label": labels[index], "probabilities": values}


def _is_frame(given: Any) -> bool:
    return hasattr(given, "columns") and hasattr(given, "iloc")


def _array(given: Any) -> npt.NDArray[Any]:
    """Float64, int64, bool, or object of `str` and ``None``; other types stay and are refused by who describes them."""
    values = np.asarray(given.to_numpy() if hasattr(given, "to_numpy") else _detached(given))
    if values.dtype.kind == "U" and isinstance(given, list | tuple):
        # Among text, numpy takes everything for text.
        values = np.array(given, dtype=object)
    if values.dtype.kind in "OUT":
        return _objects(values)
    if values.dtype.kind == "f":
        return values.astype(np.float64)
    return values.astype(np.int64) if values.dtype.kind in "iu" else values


def _detached(given: Any) -> Any:
    """A torch tensor that remembers gradients does not turn into an array by itself."""
    return given.detach() if hasattr(given, "detach") else given


def _objects(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    plain = [None if _hole(value) else value for value in values.ravel().tolist()]
    present = [value for value in plain if value is not None]
    if present and not any(isinstance(value, str) for value in present):
        kinds = {type(value) for value in present}
        if kinds == {bool} and len(present) == len(plain):
            return np.array(plain, np.bool_).reshape(values.shape)
        if kinds == {int} and len(present) == len(plain):
            return np.array(plain, np.int64).reshape(values.shape)
        numbers = [np.nan if value is None else value for value in plain]
        return np.array(numbers, np.float64).reshape(values.shape)
    if any(not isinstance(value, str) for value in present):
        raise Invalid(
            "the model gives a mixture of text and other things in one output",
            field="outputs",
            found=sorted({type(value).__name__ for value in present}),
            expected="text, or numbers",
        )
    made = np.empty(values.size, dtype=object)
    made[:] = plain
    return made.reshape(values.shape)


def _hole(value: Any) -> bool:
    return (
        value is None
        or type(value).__name__ in {"NAType", "NaTType"}
        or (isinstance(value, float) and np.isnan(value))
    )
