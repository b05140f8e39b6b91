"""Estimators of scikit-learn that predict several targets at once, one estimator for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
import numpy as np

from tsavo.formats.answers import Answer
from tsavo.formats.graph import CannotCompile, Graph, Table
from tsavo.formats.roads import Roads, named
from tsavo.formats.sklearn_models import label_sets

__all__ = ["SEVERAL_TARGETS", "as_column", "labels_of_several"]


def as_column(graph: Graph, tensor: str) -> str:
    """[n] as float64 [n, 1]."""
    return graph.float64(graph.node("Reshape", tensor, graph.constant(np.array([-1, 1], np.int64))))


def labels_of_several(
    graph: Graph, sets: Sequence[Any], members: Sequence[tuple[Answer, ...]]
) -> tuple[Answer, ...]:
    """The outputs of a classifier of several targets, from those of one classifier for each."""
    if not all(part.dtype.kind in "biuf" and set(part.tolist()) <= {0, 1} for part in sets):
        return tuple(
            msgspec.structs.replace(answer, name=f"{answer.name}_{at}")
            for at, answers in enumerate(members)
            for answer in answers
        )
    labels = [as_column(graph, named(answers, "label").tensor) for answers in members]
    label = graph.node("Cast", graph.node("Concat", *labels, axis=1), to=7)
    made = [Answer("label", label, "int64", len(members))]
    if all(len(answers) > 1 for answers in members):
        if any(len(part) != 2 for part in sets):
            raise CannotCompile("a label that never changed in the training data")
        shares = [graph.column(named(answers, "probabilities").tensor, 1) for answers in members]
        joined = graph.node("Concat", *shares, axis=1)
        made.append(Answer("probabilities", joined, "float64", len(members)))
    return tuple(made)


def _classifiers(roads: Roads, graph: Graph, model: Any, table: Table) -> tuple[Answer, ...]:
    members = [roads.predict(graph, part, table) for part in model.estimators_]
    return labels_of_several(graph, label_sets(model) or [], members)


def _regressors(roads: Roads, graph: Graph, model: Any, table: Table) -> tuple[Answer, ...]:
    columns = [_value(roads, graph, part, table) for part in model.estimators_]
    return (Answer("value", graph.node("Concat", *columns, axis=1), "float64", len(columns)),)


def _value(roads: Roads, graph: Graph, part: Any, table: Table) -> str:
    """[n, 1]: a member's number."""
    answer = named(roads.predict(graph, part, table), "value")
    if answer.width is not None:
        raise CannotCompile("a member that predicts several values")
    return as_column(graph, answer.tensor)


def _regressor_chain(roads: Roads, graph: Graph, model: Any, table: Table) -> tuple[Answer, ...]:
    """Each regressor sees what those before it predicted."""
    columns: list[str] = []
    for part in model.estimators_:
        columns.append(_value(roads, graph, part, table))
        table = Table((*table, *graph.table(columns[-1], 1)))
    ordered = [columns[at] for at in np.argsort(model.order_)]
    return (Answer("value", graph.node("Concat", *ordered, axis=1), "float64", len(ordered)),)


def _classifier_chain(roads: Roads, graph: Graph, model: Any, table: Table) -> tuple[Answer, ...]:
    """Each classifier sees what those before it answered (Read et al., "Classifier Chains", 2011)."""
    sets = label_sets(model) or []
    if not all(part.dtype.kind in "biuf" and set(part.tolist()) == {0, 1} for part in sets):
        raise CannotCompile("a chain of classifiers of other labels than zero and one")
    members: list[tuple[Answer, ...]] = []
    for part in model.estimators_:
        members.append(roads.predict(graph, part, table))
        seen = _seen_by_the_next(roads, graph, model, part, table, members[-1])
        table = Table((*table, *graph.table(seen, 1)))
    return labels_of_several(graph, sets, [members[at] for at in np.argsort(model.order_)])


def _seen_by_the_next(
    roads: Roads, graph: Graph, model: Any, part: Any, table: Table, answers: tuple[Answer, ...]
) -> str:
    """[n, 1]: what a classifier in a chain hands to the next."""
    if model.chain_method_ == "predict":
        return as_column(graph, named(answers, "label").tensor)
    if model.chain_method_ == "predict_proba":
        return graph.column(named(answers, "probabilities").tensor, 1)
    if model.chain_method_ == "decision_function":
        return roads.decide(graph, part, table)
    raise CannotCompile(f"a chain by {model.chain_method_}")


SEVERAL_TARGETS: Final[dict[str, Callable[[Roads, Graph, Any, Table], tuple[Answer, ...]]]] = {
    "ClassifierChain": _classifier_chain,
    "MultiOutputClassifier": _classifiers,
    "MultiOutputRegressor": _regressors,
    "RegressorChain": _regressor_chain,
}
"""Class name in scikit-learn -> what compiles it."""
