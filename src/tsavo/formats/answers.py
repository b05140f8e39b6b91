"""What a compiled predictor gives: its public outputs, each a tensor with its type and width."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from tsavo.formats.classes import class_values
from tsavo.formats.graph import Graph
from tsavo.vocabulary import DType

__all__ = ["Answer", "class_values", "classified", "from_margin", "from_scores", "valued"]


class Answer(msgspec.Struct, frozen=True):
    """One output: its public name, the tensor that holds it, its type and width (``None`` for [n])."""

    name: str
    tensor: str
    dtype: DType
    width: int | None = None


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
