"""What a compiled predictor gives: its public outputs, each a tensor with its type and width."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from tsavo.formats.classes import class_values
from tsavo.formats.graph import Graph
from tsavo.vocabulary import DType

__all__ = [
    "Answer",
    "class_values",
    "classified",
    "from_decision",
    "from_margin",
    "from_scores",
    "indicated",
    "normalized",
    "valued",
    "with_complement",
]


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


def indicated(graph: Graph, ones: str, probabilities: str | None, labels: int) -> tuple[Answer, ...]:
    """A multilabel classifier, from booleans [n, labels] and the probability of a one for each."""
    label = Answer("label", graph.node("Cast", ones, to=7), "int64", labels)
    if probabilities is None:
        return (label,)
    return label, Answer("probabilities", probabilities, "float64", labels)


def from_decision(graph: Graph, estimator: Any, decision: str) -> tuple[Answer, ...]:
    """A classifier without probabilities: above zero for [n, 1], the greatest for [n, classes]."""
    if len(estimator.classes_) == 2:
        above = graph.node("Greater", decision, graph.constant(np.zeros((1, 1))))
        index = graph.flatten(graph.node("Cast", above, to=7))
    else:
        index = graph.node("ArgMax", decision, axis=1, keepdims=0)
    return classified(graph, estimator, index, None)


def normalized(graph: Graph, shares: str, classes: int, *, of_nothing: float | None = None) -> str:
    """Shares [n, classes] over their sum; all alike, or `of_nothing`, where they sum to zero."""
    total = graph.node("ReduceSum", shares, graph.constant(np.array([1], np.int64)), keepdims=1)
    nothing = graph.node("Equal", total, graph.constant(np.zeros((1, 1))))
    whole = graph.node("Where", nothing, graph.constant(np.ones((1, 1))), total)
    alike = graph.constant(np.full((1, classes), 1.0 / classes if of_nothing is None else of_nothing))
    return graph.node("Where", nothing, alike, graph.node("Div", shares, whole))


def with_complement(graph: Graph, share: str) -> str:
    """[n, 2] from the second class's probability [n, 1]."""
    other = graph.node("Sub", graph.constant(np.ones((1, 1))), share)
    return graph.node("Concat", other, share, axis=1)
