"""Linear models of scikit-learn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from tsavo.formats.answers import Answer, from_margin, from_scores, valued
from tsavo.formats.graph import CannotCompile, Graph, Table

__all__ = ["LINEAR"]


def _products(graph: Graph, model: Any, table: Table) -> str:
    """[n, k]: X @ coef.T + intercept."""
    weights = np.atleast_2d(np.asarray(model.coef_, np.float64))
    product = graph.node("MatMul", graph.matrix(table), graph.constant(weights.T))
    intercept = np.asarray(model.intercept_, np.float64).reshape(1, -1)
    return graph.node("Add", product, graph.constant(intercept))


def _regressor(graph: Graph, model: Any, table: Table) -> tuple[Answer, ...]:
    wide = np.ndim(model.coef_) == 2 and np.ndim(model.intercept_) <= 1
    return valued(graph, _products(graph, model, table), np.shape(model.coef_)[0] if wide else None)


def _logistic(graph: Graph, model: Any, table: Table) -> tuple[Answer, ...]:
    scores = _products(graph, model, table)
    if len(model.classes_) == 2:
        if getattr(model, "multi_class", None) == "multinomial":
            raise CannotCompile("a multinomial model of two classes")
        return from_margin(graph, model, scores, scale=1.0, ties_up=False)
    if getattr(model, "multi_class", None) == "ovr" or getattr(model, "solver", "") == "liblinear":
        raise CannotCompile("one model for each class against the rest")
    return from_scores(graph, model, scores, softmax=True)


LINEAR: Final[dict[str, Callable[[Graph, Any, Table], tuple[Answer, ...]]]] = {
    **dict.fromkeys(
        (
            "ARDRegression",
            "BayesianRidge",
            "ElasticNet",
            "ElasticNetCV",
            "HuberRegressor",
            "Lasso",
            "LassoCV",
            "LassoLars",
            "LassoLarsIC",
            "Lars",
            "LinearRegression",
            "LinearSVR",
            "QuantileRegressor",
            "Ridge",
            "RidgeCV",
            "SGDRegressor",
            "TheilSenRegressor",
        ),
        _regressor,
    ),
    "LogisticRegression": _logistic,
    "LogisticRegressionCV": _logistic,
}
"""Class name in scikit-learn -> what compiles it."""
