"""Multi-layer perceptrons of scikit-learn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from tsavo.formats.answers import Answer, classified, from_scores, indicated, valued, with_complement
from tsavo.formats.graph import CannotCompile, Graph, Table
from tsavo.formats.sklearn_models import label_sets

__all__ = ["NETWORKS"]

_ACTIVATIONS: Final = {"logistic": "Sigmoid", "relu": "Relu", "tanh": "Tanh"}


def _forward(graph: Graph, model: Any, table: Table) -> str:
    """[n, outputs]: before the activation of the last layer."""
    layer = graph.matrix(table)
    last = len(model.coefs_) - 1
    for at, (weights, bias) in enumerate(zip(model.coefs_, model.intercepts_, strict=True)):
        product = graph.node("MatMul", layer, graph.constant(np.asarray(weights, np.float64)))
        layer = graph.node("Add", product, graph.constant(np.asarray(bias, np.float64).reshape(1, -1)))
        if at < last and model.activation != "identity":
            layer = graph.node(_ACTIVATIONS[model.activation], layer)
    return layer


def _classifier(graph: Graph, model: Any, table: Table) -> tuple[Answer, ...]:
    raw = _forward(graph, model, table)
    if model.out_activation_ == "softmax":
        return from_scores(graph, model, raw, softmax=True)
    shares = graph.node("Sigmoid", raw)
    above = graph.node("Greater", shares, graph.constant(np.array([[0.5]])))
    sets = label_sets(model)
    if sets is not None:
        return indicated(graph, above, shares, len(sets))
    index = graph.flatten(graph.node("Cast", above, to=7))
    return classified(graph, model, index, with_complement(graph, shares))


def _regressor(graph: Graph, model: Any, table: Table) -> tuple[Answer, ...]:
    values = _forward(graph, model, table)
    if model.out_activation_ == "exp":
        values = graph.node("Exp", values)
    elif model.out_activation_ != "identity":
        raise CannotCompile(f"its last layer ends with {model.out_activation_}")
    return valued(graph, values, None if model.n_outputs_ == 1 else model.n_outputs_)


NETWORKS: Final[dict[str, Callable[[Graph, Any, Table], tuple[Answer, ...]]]] = {
    "MLPClassifier": _classifier,
    "MLPRegressor": _regressor,
}
"""Class name in scikit-learn -> what compiles it."""
