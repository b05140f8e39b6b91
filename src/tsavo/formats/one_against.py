"""Classifiers of scikit-learn made of one binary classifier for each class, or for each pair of classes."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any, Final

import numpy as np

from tsavo.formats.answers import Answer, classified, from_decision, indicated, normalized, with_complement
from tsavo.formats.graph import CannotCompile, Graph, Table
from tsavo.formats.roads import Roads, has_decision, named, response
from tsavo.formats.several_targets import as_column

__all__ = ["ONE_AGAINST", "ONE_AGAINST_DECISIONS"]


def _scores(roads: Roads, graph: Graph, model: Any, table: Table) -> str:
    """[n, members]: each member's decision, or its probability of the second class."""
    columns = [response(roads, graph, part, table)[0] for part in model.estimators_]
    return graph.node("Concat", *columns, axis=1) if len(columns) > 1 else columns[0]


def _shares(roads: Roads, graph: Graph, model: Any, table: Table) -> str:
    """[n, members]: each member's probability of the second class."""
    columns = []
    for part in model.estimators_:
        if type(part).__name__ == "_ConstantPredictor":
            columns.append(response(roads, graph, part, table)[0])
            continue
        shares = named(roads.predict(graph, part, table), "probabilities").tensor
        columns.append(graph.column(shares, 1))
    return graph.node("Concat", *columns, axis=1) if len(columns) > 1 else columns[0]


def _one_against_rest(roads: Roads, graph: Graph, model: Any, table: Table) -> tuple[Answer, ...]:
    scores = _scores(roads, graph, model, table)
    count = len(model.classes_)
    limit = 0.0 if has_decision(model.estimators_[0]) else 0.5
    shares = _shares(roads, graph, model, table) if hasattr(model, "predict_proba") else None
    if model.multilabel_:
        above = graph.node("Greater", scores, graph.constant(np.array([[limit]])))
        return indicated(graph, above, shares, count)
    if len(model.estimators_) == 1:
        above = graph.node("Greater", scores, graph.constant(np.array([[limit]])))
        index = graph.flatten(graph.node("Cast", above, to=7))
        return classified(graph, model, index, with_complement(graph, shares) if shares else None)
    # Of equal scores the last wins.
    index = graph.node("ArgMax", scores, axis=1, keepdims=0, select_last_index=1)
    return classified(
        graph, model, index, normalized(graph, shares, count, of_nothing=0.0) if shares else None
    )


def _rest_decision(roads: Roads, graph: Graph, model: Any, table: Table) -> str:
    columns = [roads.decide(graph, part, table) for part in model.estimators_]
    return graph.node("Concat", *columns, axis=1) if len(columns) > 1 else columns[0]


def _one_decision(roads: Roads, graph: Graph, model: Any, table: Table) -> str:
    """[n, classes]: votes of the pairs, and less than one vote for how clear they were."""
    count = len(model.classes_)
    if getattr(model, "pairwise_indices_", None) is not None:
        raise CannotCompile("pairs that see chosen rows of a kernel")
    votes, scores = [], []
    for part in model.estimators_:
        answers = roads.predict(graph, part, table)
        votes.append(as_column(graph, named(answers, "label").tensor))
        scores.append(response(roads, graph, part, table)[0])
    if count == 2:
        return scores[0]
    won, clear = graph.node("Concat", *votes, axis=1), graph.node("Concat", *scores, axis=1)
    first, second = (np.zeros((len(votes), count)) for _ in range(2))
    for at, (one, other) in enumerate(combinations(range(count), 2)):
        first[at, one], second[at, other] = 1.0, 1.0
    lost = graph.node("Sub", graph.constant(np.ones((1, 1))), won)
    counted = graph.node(
        "Add",
        graph.node("MatMul", won, graph.constant(second)),
        graph.node("MatMul", lost, graph.constant(first)),
    )
    confidence = graph.node("MatMul", clear, graph.constant(second - first))
    size = graph.node("Add", graph.node("Abs", confidence), graph.constant(np.ones((1, 1))))
    share = graph.node("Div", confidence, graph.node("Mul", size, graph.constant(np.array([[3.0]]))))
    return graph.node("Add", counted, share)


def _one_against_one(roads: Roads, graph: Graph, model: Any, table: Table) -> tuple[Answer, ...]:
    decision = _one_decision(roads, graph, model, table)
    if len(model.classes_) == 2 and not has_decision(model.estimators_[0]):
        above = graph.node("Greater", decision, graph.constant(np.array([[0.5]])))
        return classified(graph, model, graph.flatten(graph.node("Cast", above, to=7)), None)
    return from_decision(graph, model, decision)


ONE_AGAINST: Final[dict[str, Callable[[Roads, Graph, Any, Table], tuple[Answer, ...]]]] = {
    "OneVsOneClassifier": _one_against_one,
    "OneVsRestClassifier": _one_against_rest,
}
"""Class name in scikit-learn -> what compiles it."""

ONE_AGAINST_DECISIONS: Final[dict[str, Callable[[Roads, Graph, Any, Table], str]]] = {
    "OneVsOneClassifier": _one_decision,
    "OneVsRestClassifier": _rest_decision,
}
"""Class name -> what compiles its decision function."""
