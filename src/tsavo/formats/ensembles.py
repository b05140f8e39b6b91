"""Tree ensembles of scikit-learn: forests, gradient boosting, histogram gradient boosting, isolation forests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tsavo.formats.answers import (
    Answer,
    class_values,
    from_margin,
    from_scores,
    indicated,
    valued,
    with_complement,
)
from tsavo.formats.graph import CannotCompile, Graph, Table
from tsavo.formats.sklearn_models import label_sets
from tsavo.formats.trees import Tree, classic_tree, ensemble, histogram_tree, through_float32

__all__ = ["ENSEMBLES", "ENSEMBLE_DECISIONS"]

_TINY: Final = 1e-300


def _forest(graph: Graph, table: Table, parts: list[Any], weigh: Callable[[Any], Any]) -> str:
    """[n, targets]: the mean over trees of what `weigh` reads from the leaves of each."""
    trees = [classic_tree(part.tree_, weigh(part.tree_.value) / len(parts)) for part in parts]
    return ensemble(graph, through_float32(graph, graph.matrix(table)), trees, trees[0].weights.shape[1])


def _class_shares(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    shares: npt.NDArray[np.float64] = values / np.maximum(values.sum(axis=1, keepdims=True), _TINY)
    return shares


def _forest_classifier(graph: Graph, forest: Any, table: Table) -> tuple[Answer, ...]:
    parts = list(getattr(forest, "estimators_", None) or [forest])
    sets = label_sets(forest)
    if sets is not None:
        return _forest_of_labels(graph, table, parts, sets)
    binary = len(class_values(forest)[0]) == 2

    def weigh(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        shares = _class_shares(values[:, 0, :])
        # With two classes one share says it all, and one target is quicker.
        return shares[:, 1:] if binary else shares

    shares = _forest(graph, table, parts, weigh)
    return from_scores(graph, forest, with_complement(graph, shares) if binary else shares, softmax=False)


def _forest_of_labels(
    graph: Graph, table: Table, parts: list[Any], sets: Sequence[Any]
) -> tuple[Answer, ...]:
    """A forest that answers several questions at once, each with yes or no."""
    if any(part.dtype.kind not in "biuf" or part.tolist() != [0, 1] for part in sets):
        raise CannotCompile("several targets that are not all zero or one")
    shares = _forest(
        graph, table, parts, lambda values: values[:, :, 1] / np.maximum(values.sum(axis=2), _TINY)
    )
    above = graph.node("Greater", shares, graph.constant(np.array([[0.5]])))
    return indicated(graph, above, shares, len(sets))


def _forest_regressor(graph: Graph, forest: Any, table: Table) -> tuple[Answer, ...]:
    parts = list(getattr(forest, "estimators_", None) or [forest])
    wide = forest.n_outputs_ > 1
    values = _forest(graph, table, parts, lambda held: held[:, :, 0] if wide else held[:, 0, :])
    return valued(graph, values, forest.n_outputs_ if wide else None)


def _boosted(graph: Graph, model: Any, table: Table, start: npt.NDArray[np.float64]) -> str:
    """[n, k]: raw predictions of classic gradient boosting."""
    trees = [
        classic_tree(part.tree_, part.tree_.value[:, 0, :] * model.learning_rate, target=target)
        for stage in model.estimators_
        for target, part in enumerate(stage)
    ]
    summed = ensemble(graph, through_float32(graph, graph.matrix(table)), trees, model.estimators_.shape[1])
    return graph.node("Add", summed, graph.constant(start.reshape(1, -1)))


def _boosting_classifier(graph: Graph, model: Any, table: Table) -> tuple[Answer, ...]:
    raw = _boosted(graph, model, table, _start(model))
    if model.estimators_.shape[1] > 1:
        return from_scores(graph, model, raw, softmax=True)
    return from_margin(graph, model, raw, scale=2.0 if model.loss == "exponential" else 1.0, ties_up=True)


def _boosting_regressor(graph: Graph, model: Any, table: Table) -> tuple[Answer, ...]:
    return valued(graph, _boosted(graph, model, table, _start(model)), None)


def _start(model: Any) -> npt.NDArray[np.float64]:
    if not (model.init is None or model.init == "zero"):
        raise CannotCompile("its boosting starts from another model (init=...)")
    return np.asarray(model._raw_predict_init(np.zeros((1, model.n_features_in_), np.float32)), np.float64)


def _histogram(graph: Graph, model: Any, matrix: str) -> str:
    """[n, k]: raw predictions of histogram gradient boosting."""
    trees: list[Tree] = [
        histogram_tree(part, target) for stage in model._predictors for target, part in enumerate(stage)
    ]
    summed = ensemble(graph, matrix, trees, model.n_trees_per_iteration_)
    start = np.asarray(model._baseline_prediction, np.float64).reshape(1, -1)
    return graph.node("Add", summed, graph.constant(start))


def _histogram_classifier(graph: Graph, model: Any, table: Table) -> tuple[Answer, ...]:
    raw = _histogram(graph, model, graph.matrix(table))
    if model.n_trees_per_iteration_ > 1:
        return from_scores(graph, model, raw, softmax=True)
    return from_margin(graph, model, raw, scale=1.0, ties_up=False)


def _histogram_regressor(graph: Graph, model: Any, table: Table) -> tuple[Answer, ...]:
    raw = _histogram(graph, model, graph.matrix(table))
    link = type(model._loss.link).__name__
    if link == "LogLink":
        raw = graph.node("Exp", raw)
    elif link != "IdentityLink":
        raise CannotCompile(f"its loss has the link {link}")
    return valued(graph, raw, None)


def _boosting_decision(graph: Graph, model: Any, table: Table) -> str:
    return _boosted(graph, model, table, _start(model))


def _histogram_decision(graph: Graph, model: Any, table: Table) -> str:
    return _histogram(graph, model, graph.matrix(table))


def _isolation_forest(graph: Graph, forest: Any, table: Table) -> tuple[Answer, ...]:
    """Liu, Ting & Zhou, "Isolation Forest" (2008), eq. 2: score = -2^(-mean path length / c(samples))."""
    trees = []
    for at, (part, features) in enumerate(zip(forest.estimators_, forest.estimators_features_, strict=True)):
        tree = part.tree_
        lengths = forest._decision_path_lengths[at] + forest._average_path_length_per_tree[at] - 1.0
        trees.append(
            classic_tree(tree, np.asarray(lengths, np.float64)[:, None], features=np.asarray(features))
        )
    depth = ensemble(graph, through_float32(graph, graph.matrix(table)), trees, 1)
    expected = len(trees) * _average_path_length(int(forest._max_samples))
    if expected == 0:
        raise CannotCompile("it was fitted on single rows")
    exponent = graph.node("Mul", depth, graph.constant(np.array([[-1.0 / expected]])))
    negated = graph.node("Neg", graph.node("Pow", graph.constant(np.array([[2.0]])), exponent))
    score = graph.flatten(graph.node("Sub", negated, graph.constant(np.array([[float(forest.offset_)]]))))
    outlier = graph.node("Less", score, graph.constant(np.zeros(1)))
    labels = graph.node("Where", outlier, graph.constant(np.array([-1])), graph.constant(np.array([1])))
    return Answer("score", score, "float64"), Answer("label", labels, "int64")


def _average_path_length(samples: int) -> float:
    """c(n) of the same paper, eq. 1: the mean length of an unsuccessful search in a binary tree."""
    if samples <= 2:
        return float(max(samples - 1, 0))
    return float(2.0 * (np.log(samples - 1.0) + np.euler_gamma) - 2.0 * (samples - 1.0) / samples)


ENSEMBLES: Final[dict[str, Callable[[Graph, Any, Table], tuple[Answer, ...]]]] = {
    "DecisionTreeClassifier": _forest_classifier,
    "ExtraTreeClassifier": _forest_classifier,
    "RandomForestClassifier": _forest_classifier,
    "ExtraTreesClassifier": _forest_classifier,
    "DecisionTreeRegressor": _forest_regressor,
    "ExtraTreeRegressor": _forest_regressor,
    "RandomForestRegressor": _forest_regressor,
    "ExtraTreesRegressor": _forest_regressor,
    "GradientBoostingClassifier": _boosting_classifier,
    "GradientBoostingRegressor": _boosting_regressor,
    "HistGradientBoostingClassifier": _histogram_classifier,
    "HistGradientBoostingRegressor": _histogram_regressor,
    "IsolationForest": _isolation_forest,
}
"""Class name in scikit-learn -> what compiles it."""

ENSEMBLE_DECISIONS: Final[dict[str, Callable[[Graph, Any, Table], str]]] = {
    "GradientBoostingClassifier": _boosting_decision,
    "HistGradientBoostingClassifier": _histogram_decision,
}
"""Class name -> what compiles its decision function, [n, 1] for two classes and [n, classes] for more."""
