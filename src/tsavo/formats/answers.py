"""What a compiled predictor gives: its public outputs, each a tensor with its type and width."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from tsavo.formats.graph import CannotCompile, Graph
from tsavo.vocabulary import DType

__all__ = ["Answer", "class_values", "classified", "from_margin", "from_scores", "valued"]


class Answer(msgspec.Struct, frozen=True):
    """One output: its public name, the tensor that holds it, its type and width (``None`` for [n])."""

    name: str
    tensor: str
    dtype: DType
    width: int | None = None


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


def classified(graph: Graph, estimator: Any, index: str, probabilities: str | None) -> tuple[Answer, ...]:
    """Label and probabilities, from the index [n] of each row's class and probabilities [n, classes]."""
    classes, dtype = class_values(estimator)
    table: npt.NDArray[Any] = np.array(classes, dtype=object if dtype == "string" else dtype)
    label = Answer("label", graph.node("Gather", graph.constant(table), index), dtype)
    if probabilities is None:
        return (label,)
    return label, Answer("probabilities", probabilities, "float64", len(classes))


def from_margin(
    graph: Graph, estimator: Any, margin: str, *, scale: float, ties_up: bool
) -> tuple[Answer, ...]:
    """A binary classifier whose probability is expit(scale * margin), margin [n, 1].

    Parameters
    ----------
    ties_up
        Whether a margin of exactly zero means the second class.
    """
    both = graph.node("Sigmoid", graph.node("Mul", margin, graph.constant(np.array([[-scale, scale]]))))
    zero = graph.constant(np.zeros((1, 1)))
    above = graph.node("GreaterOrEqual" if ties_up else "Greater", margin, zero)
    return classified(graph, estimator, graph.flatten(graph.node("Cast", above, to=7)), both)


def from_scores(graph: Graph, estimator: Any, scores: str, *, softmax: bool) -> tuple[Answer, ...]:
    """A classifier that takes the class with the greatest score [n, classes]."""
    index = graph.node("ArgMax", scores, axis=1, keepdims=0)
    probabilities = graph.node("Softmax", scores, axis=1) if softmax else scores
    return classified(graph, estimator, index, probabilities)


def valued(graph: Graph, values: str, width: int | None) -> tuple[Answer, ...]:
    """A regression's values [n, k]; width ``None`` makes [n, 1] into [n]."""
    return (Answer("value", graph.flatten(values) if width is None else values, "float64", width),)
