"""Linear models of scikit-learn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from tsavo.formats.answers import (
    Answer,
    classified,
    from_decision,
    from_margin,
    from_scores,
    indicated,
    normalized,
    valued,
    with_complement,
)
from tsavo.formats.graph import CannotCompile, Graph, Table
from tsavo.formats.sklearn_models import label_sets

__all__ = ["LINEAR", "LINEAR_DECISIONS"]


def _products(graph: Graph, model: Any, table: Table) -> str:
    """[n, k]: X @ coef.T + intercept."""
    if hasattr(model.coef_, "toarray"):
        weights = np.atleast_2d(np.asarray(model.coef_.toarray(), np.float64))
    else:
        weights = np.atleast_2d(np.asarray(model.coef_, np.float64))
    product = graph.node("MatMul", graph.matrix(table), graph.constant(weights.T))
    intercept = np.asarray(model.intercept_, np.float64).reshape(1, -1)
    return graph.node("Add", product, graph.constant(intercept))


def _regressor(graph: Graph, model: Any, table: Table) -> tuple[Answer, ...]:
    wide = np.ndim(model.coef_) == 2 and np.ndim(model.intercept_) <= 1
    return valued(graph, _products(graph, model, table), np.shape(model.coef_)[0] if wide else None)


def _with_link(graph: Graph, model: Any, table: Table) -> tuple[Answer, ...]:
    """Generalized linear models: the mean is the inverse link of the products."""
    link = type(model._base_loss.link).__name__
    values = _products(graph, model, table)
    if link == "LogLink":
        values = graph.node("Exp", values)
    elif link != "IdentityLink":
        raise CannotCompile(f"its link is {link}")
    return valued(graph, values, None)


def _partial_least_squares(graph: Graph, model: Any, table: Table) -> tuple[Answer, ...]:
    centred = graph.node("Sub", graph.matrix(table), graph.constant(np.reshape(model._x_mean, (1, -1))))
    product = graph.node("MatMul", centred, graph.constant(np.asarray(model.coef_, np.float64).T))
    values = graph.node("Add", product, graph.constant(np.reshape(model.intercept_, (1, -1))))
    return valued(graph, values, None if model._predict_1d else len(model.coef_))


def _logistic(graph: Graph, model: Any, table: Table) -> tuple[Answer, ...]:
    scores = _products(graph, model, table)
    if len(model.classes_) == 2:
        if getattr(model, "multi_class", None) == "multinomial":
            raise CannotCompile("a multinomial model of two classes")
        return from_margin(graph, model, scores, scale=1.0, ties_up=False)
    if getattr(model, "multi_class", None) == "ovr" or getattr(model, "solver", "") == "liblinear":
        return _one_against_the_rest(graph, model, scores)
    return from_scores(graph, model, scores, softmax=True)


def _one_against_the_rest(graph: Graph, model: Any, scores: str) -> tuple[Answer, ...]:
    index = graph.node("ArgMax", scores, axis=1, keepdims=0)
    shares = normalized(graph, graph.node("Sigmoid", scores), len(model.classes_))
    return classified(graph, model, index, shares)


def _discriminant(graph: Graph, model: Any, table: Table) -> tuple[Answer, ...]:
    scores = _products(graph, model, table)
    if len(model.classes_) == 2:
        return from_margin(graph, model, scores, scale=1.0, ties_up=False)
    return from_scores(graph, model, scores, softmax=True)


def _stochastic(graph: Graph, model: Any, table: Table) -> tuple[Answer, ...]:
    """SGDClassifier, whose loss decides whether it has probabilities and which."""
    scores = _products(graph, model, table)
    binary = len(model.classes_) == 2
    if model.loss == "log_loss":
        if binary:
            return from_margin(graph, model, scores, scale=1.0, ties_up=False)
        return _one_against_the_rest(graph, model, scores)
    if model.loss != "modified_huber":
        return from_decision(graph, model, scores)
    # Zhang, "Statistical behavior and consistency of classification methods based on convex risk" (2004), app. B.
    low, high = graph.constant(np.float64(-1.0)), graph.constant(np.float64(1.0))
    raised = graph.node("Add", graph.node("Clip", scores, low, high), graph.constant(np.ones((1, 1))))
    shares = graph.node("Mul", raised, graph.constant(np.full((1, 1), 0.5)))
    (label,) = from_decision(graph, model, scores)
    both = with_complement(graph, shares) if binary else normalized(graph, shares, len(model.classes_))
    return label, Answer("probabilities", both, "float64", len(model.classes_))


def _decided(graph: Graph, model: Any, table: Table) -> tuple[Answer, ...]:
    scores = _products(graph, model, table)
    sets = label_sets(model)
    if sets is not None:
        above = graph.node("Greater", scores, graph.constant(np.zeros((1, 1))))
        return indicated(graph, above, None, len(sets))
    return from_decision(graph, model, scores)


_Compiler = Callable[[Graph, Any, Table], tuple[Answer, ...]]

_CLASSIFIERS: Final[dict[str, _Compiler]] = {
    "LinearDiscriminantAnalysis": _discriminant,
    "LinearSVC": _decided,
    "LogisticRegression": _logistic,
    "LogisticRegressionCV": _logistic,
    "PassiveAggressiveClassifier": _decided,
    "Perceptron": _decided,
    "RidgeClassifier": _decided,
    "RidgeClassifierCV": _decided,
    "SGDClassifier": _stochastic,
}

LINEAR: Final[dict[str, _Compiler]] = {
    **dict.fromkeys(
        (
            "ARDRegression",
            "BayesianRidge",
            "ElasticNet",
            "ElasticNetCV",
            "HuberRegressor",
            "Lars",
            "LarsCV",
            "Lasso",
            "LassoCV",
            "LassoLars",
            "LassoLarsCV",
            "LassoLarsIC",
            "LinearRegression",
            "LinearSVR",
            "MultiTaskElasticNet",
            "MultiTaskElasticNetCV",
            "MultiTaskLasso",
            "MultiTaskLassoCV",
            "OrthogonalMatchingPursuit",
            "OrthogonalMatchingPursuitCV",
            "PassiveAggressiveRegressor",
            "QuantileRegressor",
            "Ridge",
            "RidgeCV",
            "SGDRegressor",
            "TheilSenRegressor",
        ),
        _regressor,
    ),
    **dict.fromkeys(("GammaRegressor", "PoissonRegressor", "TweedieRegressor"), _with_link),
    **dict.fromkeys(("CCA", "PLSCanonical", "PLSRegression"), _partial_least_squares),
    **_CLASSIFIERS,
}
"""Class name in scikit-learn -> what compiles it."""

LINEAR_DECISIONS: Final[dict[str, Callable[[Graph, Any, Table], str]]] = dict.fromkeys(
    _CLASSIFIERS, _products
)
"""Class name -> what compiles its decision function, [n, 1] for two classes and [n, classes] for more."""
