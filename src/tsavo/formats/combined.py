"""Estimators of scikit-learn that ask others: votes, stacks, bags, boosted members, thresholds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from tsavo.formats.answers import Answer, classified, from_scores, valued
from tsavo.formats.centres import nearest_by_distance
from tsavo.formats.graph import CannotCompile, Graph, Table
from tsavo.formats.projections import apply_function
from tsavo.formats.roads import Roads, constant_rows, named, response
from tsavo.formats.several_targets import as_column
from tsavo.formats.sklearn_models import label_sets

__all__ = ["COMBINED", "COMBINED_DECISIONS"]


def _mean(graph: Graph, parts: Sequence[str], given: Any) -> str:
    """[n, k]: the mean of the parts, weighted when weights are given."""
    weights = np.ones(len(parts)) if given is None else np.asarray(given, float)
    scaled = [
        graph.node("Mul", part, graph.constant(np.array([[weight / weights.sum()]])))
        for part, weight in zip(parts, weights, strict=True)
    ]
    return graph.node("Sum", *scaled)


def _value(roads: Roads, graph: Graph, part: Any, table: Table) -> str:
    """[n, 1]: a member's number."""
    answer = named(roads.predict(graph, part, table), "value")
    if answer.width is not None:
        raise CannotCompile("a member that predicts several values")
    return as_column(graph, answer.tensor)


def _shares(roads: Roads, graph: Graph, part: Any, table: Table) -> str:
    return named(roads.predict(graph, part, table), "probabilities").tensor


def _voices(roads: Roads, graph: Graph, part: Any, table: Table, classes: Any) -> str:
    """[n, classes]: one for the class that a member names, zero for the others."""
    label = named(roads.predict(graph, part, table), "label")
    column = graph.node("Reshape", label.tensor, graph.constant(np.array([-1, 1], np.int64)))
    values = np.asarray(classes)
    if label.dtype != "string":
        column, values = graph.float64(column), values.astype(np.float64)
    return graph.float64(graph.node("Equal", column, graph.constant(values.reshape(1, -1))))


def _voting_classifier(roads: Roads, graph: Graph, model: Any, table: Table) -> tuple[Answer, ...]:
    weights = model._weights_not_none
    if model.voting == "soft":
        parts = [_shares(roads, graph, part, table) for part in model.estimators_]
        return from_scores(graph, model, _mean(graph, parts, weights), softmax=False)
    # Members were fitted on the classes' numbers.
    numbers = np.arange(len(model.classes_))
    parts = [_voices(roads, graph, part, table, numbers) for part in model.estimators_]
    index = graph.node("ArgMax", _mean(graph, parts, weights), axis=1, keepdims=0)
    return classified(graph, model, index, None)


def _voting_regressor(roads: Roads, graph: Graph, model: Any, table: Table) -> tuple[Answer, ...]:
    parts = [_value(roads, graph, part, table) for part in model.estimators_]
    return valued(graph, _mean(graph, parts, model._weights_not_none), None)


def _stacking(roads: Roads, graph: Graph, model: Any, table: Table) -> tuple[Answer, ...]:
    if label_sets(model) is not None:
        raise CannotCompile("a stack that predicts several targets at once")
    cells: list[Any] = []
    for part, method in zip(model.estimators_, model.stack_method_, strict=True):
        cells.extend(_stacked(roads, graph, part, method, table))
    if model.passthrough:
        cells.extend(table)
    answers = roads.predict(graph, model.final_estimator_, Table(cells))
    if not hasattr(model, "classes_"):
        return answers
    # The final estimator was fitted on class numbers; the stack answers with the classes.
    index = graph.node("Cast", named(answers, "label").tensor, to=7)
    shares = [answer.tensor for answer in answers if answer.name == "probabilities"]
    return classified(graph, model, index, shares[0] if shares else None)


def _stacked(roads: Roads, graph: Graph, part: Any, method: str, table: Table) -> Table:
    """The columns that a member adds to what the final estimator sees."""
    if method == "predict_proba":
        answer = named(roads.predict(graph, part, table), "probabilities")
        columns = graph.table(answer.tensor, answer.width or 1)
        return Table(columns[1:]) if answer.width == 2 else columns
    if method == "decision_function":
        count = len(part.classes_)
        return graph.table(roads.decide(graph, part, table), 1 if count == 2 else count)
    answers = roads.predict(graph, part, table)
    if method == "predict" and answers[0].name == "value":
        return graph.table(_value(roads, graph, part, table), 1)
    raise CannotCompile(f"a stack of {method}")


def _bag_of_classifiers(roads: Roads, graph: Graph, model: Any, table: Table) -> tuple[Answer, ...]:
    parts = []
    for part, features in zip(model.estimators_, model.estimators_features_, strict=True):
        seen = table.select(int(at) for at in features)
        if hasattr(part, "predict_proba"):
            if len(part.classes_) != len(model.classes_):
                raise CannotCompile("a member that knows fewer classes than the others")
            parts.append(_shares(roads, graph, part, seen))
        else:
            parts.append(_voices(roads, graph, part, seen, np.arange(len(model.classes_))))
    return from_scores(graph, model, _mean(graph, parts, None), softmax=False)


def _bag_of_regressors(roads: Roads, graph: Graph, model: Any, table: Table) -> tuple[Answer, ...]:
    parts = [
        _value(roads, graph, part, table.select(int(at) for at in features))
        for part, features in zip(model.estimators_, model.estimators_features_, strict=True)
    ]
    return valued(graph, _mean(graph, parts, None), None)


def _boosted_decision(roads: Roads, graph: Graph, model: Any, table: Table) -> str:
    """[n, classes], or [n, 1] for two: Zhu et al., "Multi-class AdaBoost" (2009), eq. 4."""
    count = len(model.classes_)
    if count < 2:
        raise CannotCompile("a classifier of one class")
    weights = np.asarray(model.estimator_weights_[: len(model.estimators_)], np.float64)
    parts = [_voices(roads, graph, part, table, model.classes_) for part in model.estimators_]
    shares = _mean(graph, parts, weights)
    # A member's weight goes to its class, and is taken in equal parts from the others.
    factor, summand = count / (count - 1.0), -1.0 / (count - 1.0)
    scaled = graph.node("Mul", shares, graph.constant(np.array([[factor]])))
    decision = graph.node("Add", scaled, graph.constant(np.array([[summand]])))
    if count > 2:
        return decision
    return graph.node("Sub", graph.column(decision, 1), graph.column(decision, 0))


def _boosted_classifier(roads: Roads, graph: Graph, model: Any, table: Table) -> tuple[Answer, ...]:
    decision = _boosted_decision(roads, graph, model, table)
    count = len(model.classes_)
    if count == 2:
        half = graph.node("Mul", decision, graph.constant(np.array([[-0.5, 0.5]])))
        above = graph.node("Greater", decision, graph.constant(np.zeros((1, 1))))
        index = graph.flatten(graph.node("Cast", above, to=7))
    else:
        half = graph.node("Mul", decision, graph.constant(np.array([[1.0 / (count - 1)]])))
        index = graph.node("ArgMax", decision, axis=1, keepdims=0)
    return classified(graph, model, index, graph.node("Softmax", half, axis=1))


def _boosted_regressor(roads: Roads, graph: Graph, model: Any, table: Table) -> tuple[Answer, ...]:
    """The median of the members' numbers, by their weights (Drucker, 1997)."""
    columns = [_value(roads, graph, part, table) for part in model.estimators_]
    weights = np.asarray(model.estimator_weights_[: len(columns)], np.float64)
    values = graph.node("Concat", *columns, axis=1) if len(columns) > 1 else columns[0]
    every = graph.constant(np.array([len(columns)], np.int64))
    ordered, order = graph.nodes_of("TopK", [values, every], 2, axis=1, largest=0, sorted=1)
    below = graph.node(
        "CumSum", graph.node("Gather", graph.constant(weights), order), graph.constant(np.int64(1))
    )
    reached = graph.node("GreaterOrEqual", below, graph.constant(np.array([[0.5 * weights.sum()]])))
    first = graph.node("ArgMax", graph.node("Cast", reached, to=7), axis=1, keepdims=1)
    return valued(graph, graph.node("GatherElements", ordered, first, axis=1), None)


def _threshold(roads: Roads, graph: Graph, model: Any, table: Table) -> tuple[Answer, ...]:
    """A binary classifier whose label changes at a threshold of its own."""
    inner = getattr(model, "estimator_", model.estimator)
    method = model._get_response_method()
    methods = [method] if isinstance(method, str) else list(method)
    used = next(name for name in methods if hasattr(inner, name))
    answers = roads.predict(graph, inner, table)
    by_shares = used == "predict_proba"
    scorer = getattr(model, "_curve_scorer", None)
    named_class = model.pos_label if scorer is None else scorer._get_pos_label()
    positive = 1 if named_class is None else int(np.flatnonzero(model.classes_ == named_class)[0])
    if by_shares:
        score = graph.column(named(answers, "probabilities").tensor, positive)
    else:
        score = roads.decide(graph, inner, table)
        score = score if positive == 1 else graph.node("Neg", score)
    limit = getattr(model, "best_threshold_", getattr(model, "threshold", "auto"))
    if limit == "auto":
        limit = 0.5 if by_shares else 0.0
    above = graph.node("GreaterOrEqual", score, graph.constant(np.array([[float(limit)]])))
    chosen = graph.constant(np.array([1 - positive, positive], np.int64))
    index = graph.node("Gather", chosen, graph.flatten(graph.node("Cast", above, to=7)))
    shares = [answer.tensor for answer in answers if answer.name == "probabilities"]
    return classified(graph, model, index, shares[0] if shares else None)


def _output_code(roads: Roads, graph: Graph, model: Any, table: Table) -> tuple[Answer, ...]:
    """Dietterich & Bakiri, "Error-Correcting Output Codes" (1995): the class with the nearest code."""
    columns = [response(roads, graph, part, table)[0] for part in model.estimators_]
    joined = graph.node("Concat", *columns, axis=1)
    return classified(graph, model, nearest_by_distance(graph, joined, model.code_book_), None)


def _transformed_target(roads: Roads, graph: Graph, model: Any, table: Table) -> tuple[Answer, ...]:
    answer = named(roads.predict(graph, model.regressor_, table), "value")
    column = answer.tensor if answer.width else as_column(graph, answer.tensor)
    return valued(graph, _untransformed(graph, model.transformer_, column), answer.width)


def _untransformed(graph: Graph, transformer: Any, values: str) -> str:
    """What ``inverse_transform`` makes of [n, k]."""
    kind = type(transformer).__name__
    if kind == "FunctionTransformer":
        return apply_function(graph, transformer.inverse_func, values)
    if kind == "StandardScaler":
        scale = 1.0 if transformer.scale_ is None else transformer.scale_
        shift = 0.0 if transformer.mean_ is None else transformer.mean_
    elif kind == "MinMaxScaler":
        scale, shift = 1.0 / transformer.scale_, -transformer.min_ / transformer.scale_
    else:
        raise CannotCompile(f"a target that {kind} transforms back")
    scaled = graph.node("Mul", values, graph.constant(np.asarray(scale, np.float64).reshape(1, -1)))
    return graph.node("Add", scaled, graph.constant(np.asarray(shift, np.float64).reshape(1, -1)))


def _selecting(roads: Roads, graph: Graph, model: Any, table: Table) -> tuple[Answer, ...]:
    """A selection that answers with the estimator it was made with."""
    return roads.predict(graph, model.estimator_, table.select(np.flatnonzero(model.get_support()).tolist()))


def _dummy_classifier(_roads: Roads, graph: Graph, model: Any, table: Table) -> tuple[Answer, ...]:
    if model.strategy not in {"prior", "most_frequent", "constant"} or label_sets(model) is not None:
        raise CannotCompile(f"a DummyClassifier that draws by chance (strategy='{model.strategy}')")
    row = np.zeros((1, model.n_features_in_)) if hasattr(model, "n_features_in_") else np.zeros((1, 1))
    shares = np.asarray(model.predict_proba(row), np.float64)
    index = int(np.flatnonzero(model.classes_ == model.predict(row)[0])[0])
    number = graph.node("Cast", graph.flatten(constant_rows(graph, table, np.array([[float(index)]]))), to=7)
    return classified(graph, model, number, constant_rows(graph, table, shares))


def _dummy_regressor(_roads: Roads, graph: Graph, model: Any, table: Table) -> tuple[Answer, ...]:
    values = np.asarray(model.constant_, np.float64).reshape(1, -1)
    return valued(
        graph, constant_rows(graph, table, values), None if values.shape[1] == 1 else values.shape[1]
    )


COMBINED: Final[dict[str, Callable[[Roads, Graph, Any, Table], tuple[Answer, ...]]]] = {
    "AdaBoostClassifier": _boosted_classifier,
    "AdaBoostRegressor": _boosted_regressor,
    "BaggingClassifier": _bag_of_classifiers,
    "BaggingRegressor": _bag_of_regressors,
    "DummyClassifier": _dummy_classifier,
    "DummyRegressor": _dummy_regressor,
    "FixedThresholdClassifier": _threshold,
    "OutputCodeClassifier": _output_code,
    "RFE": _selecting,
    "RFECV": _selecting,
    "StackingClassifier": _stacking,
    "StackingRegressor": _stacking,
    "TransformedTargetRegressor": _transformed_target,
    "TunedThresholdClassifierCV": _threshold,
    "VotingClassifier": _voting_classifier,
    "VotingRegressor": _voting_regressor,
}
"""Class name in scikit-learn -> what compiles it."""

COMBINED_DECISIONS: Final[dict[str, Callable[[Roads, Graph, Any, Table], str]]] = {
    "AdaBoostClassifier": _boosted_decision,
}
"""Class name -> what compiles its decision function."""
