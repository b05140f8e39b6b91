"""What gradient boosting libraries have in common: raw sums of trees, and a function of them that users see."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from tsavo.vocabulary import Task

__all__ = ["Link", "Meaning", "answers_to", "class_table"]

Link: TypeAlias = Literal[
    "identity", "sigmoid", "one-against-rest", "softmax", "exp", "square", "log1p-exp", "step"
]


class Meaning(msgspec.Struct, frozen=True):
    """What the raw sums of a booster mean.

    Attributes
    ----------
    link
        Raw sum -> what users see.
    targets
        Raw sums a row.
    classes
        Labels in the order of the probabilities; of one target for multilabel.
    scale
        Factor on the raw sum before a sigmoid.
    """

    task: Task
    link: Link
    targets: int = 1
    classes: tuple[Any, ...] | None = None
    scale: float = 1.0


def answers_to(meaning: Meaning, predicted: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
    """Public outputs from what the library predicts: probabilities, values or scores, [n] or [n, k]."""
    values = np.asarray(predicted, np.float64)
    if meaning.task == "binary":
        if meaning.link == "step":
            return {"label": _labels(meaning, (values.reshape(-1) > 0.5).astype(np.int64))}
        ones = values.reshape(-1)
        both = np.stack([1.0 - ones, ones], axis=1)
        return {"label": _labels(meaning, (ones > 0.5).astype(np.int64)), "probabilities": both}
    if meaning.task == "multiclass":
        return {"label": _labels(meaning, values.argmax(axis=1)), "probabilities": values}
    if meaning.task == "multilabel":
        return {"label": (values > 0.5).astype(np.int64), "probabilities": values}
    name = "score" if meaning.task == "ranking" else "value"
    return {name: values.reshape(-1) if meaning.targets == 1 else values}


def _labels(meaning: Meaning, index: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    labels: npt.NDArray[Any] = class_table(meaning)[index]
    return labels


def class_table(meaning: Meaning) -> npt.NDArray[Any]:
    """The class labels as an array; of object when they are text."""
    classes = meaning.classes or ()
    return np.array(classes, dtype=object if any(isinstance(label, str) for label in classes) else None)
