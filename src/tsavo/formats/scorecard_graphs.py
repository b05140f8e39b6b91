"""A scorecard as ONNX: the place of a value among bands or categories, and the points that stand there. Exact."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np

from tsavo.formats.answers import Answer, classified, with_complement
from tsavo.formats.graph import Graph, Table
from tsavo.formats.preprocessing import category_codes

if TYPE_CHECKING:
    from tsavo.formats.scorecards import Characteristic, Scorecard

__all__ = ["scorecard_answers"]


def scorecard_answers(graph: Graph, card: Scorecard, table: Table) -> tuple[Answer, ...]:
    """The public outputs of `card`, whose columns are `table`."""
    total = ""
    for at, part in enumerate(card.characteristics):
        column = table.select([at])
        points = _categories(graph, part, column) if part.is_text else _bands(graph, part, column)
        total = graph.node("Add", total or graph.constant(np.array([[card.base]])), points)
    if card.scaling is None:
        return (Answer("value", graph.flatten(total), "float64"),)
    above = graph.node("Sub", total, graph.constant(np.array([[card.scaling.score]])))
    factor = graph.constant(np.array([[math.log(2.0) / card.scaling.pdo]]))
    start = graph.constant(np.array([[math.log(card.scaling.odds)]]))
    odds = graph.node("Add", graph.node("Mul", above, factor), start)
    share = graph.node("Sigmoid", odds)
    upper = graph.node("Cast", graph.node("Greater", share, graph.constant(np.array([[0.5]]))), to=7)
    classes = np.array(card.classes, dtype=object if isinstance((card.classes or ("",))[0], str) else None)
    labelled = SimpleNamespace(classes_=classes)
    shown = classified(graph, labelled, graph.flatten(upper), with_complement(graph, share))
    return (*shown, Answer("points", graph.flatten(total), "float64"))


def _bands(graph: Graph, part: Characteristic, column: Table) -> str:
    """[n, 1]: a value is in the band after the last edge that it reaches."""
    values = graph.matrix(column)
    place = graph.constant(np.zeros((1, 1), np.int64))
    if part.edges:
        reached = graph.node("GreaterOrEqual", values, graph.constant(np.array([part.edges])))
        counted = graph.node("Cast", reached, to=7)
        place = graph.node("ReduceSum", counted, graph.constant(np.array([1], np.int64)), keepdims=1)
    else:
        # One band for all: still one answer a row.
        same = graph.node("Cast", graph.node("IsNaN", values), to=7)
        place = graph.node("Mul", same, place)
    points = graph.node("Gather", graph.constant(np.array(part.points)), place)
    missing = part.missing if part.missing is not None else part.otherwise
    if missing is None:
        return points
    gap = graph.node("IsNaN", values)
    return graph.node("Where", gap, graph.constant(np.array([[missing]])), points)


def _categories(graph: Graph, part: Characteristic, column: Table) -> str:
    """[n, 1]: the points of a category; of a missing one; of any other."""
    known = list(part.values)
    codes = category_codes(graph, column, [[value] for value in known] + [[None]])
    place = graph.node("Add", codes, graph.constant(np.array([[1]], np.int64)))
    # The signature refuses what the scorecard has no row for; NaN stands where nobody comes.
    other = math.nan if part.otherwise is None else part.otherwise
    missing = part.missing if part.missing is not None else other
    points = np.array([other, *part.values.values(), missing])
    return graph.node("Gather", graph.constant(points), place)
