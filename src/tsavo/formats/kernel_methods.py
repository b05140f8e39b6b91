"""Kernel models of scikit-learn: support vectors, kernel ridge regression, Gaussian processes, one-class detectors.

Squared distances come as |x|^2 - 2 x.s + |s|^2 around the mean of the kept rows s, where little is lost to rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tsavo.formats.answers import Answer, classified, valued, with_complement
from tsavo.formats.graph import CannotCompile, Graph, Table

__all__ = ["KERNEL_DECISIONS", "KERNEL_METHODS", "squared_distances"]

_MOST_KEPT: Final = 20_000_000
_Floats = npt.NDArray[np.float64]


def squared_distances(graph: Graph, matrix: str, kept: _Floats) -> str:
    """[n, m]: squared Euclidean distances between the rows of a tensor and the rows `kept` [m, columns]."""
    centre = kept.mean(axis=0, keepdims=True)
    rows = graph.node("Sub", matrix, graph.constant(centre))
    others = kept - centre
    axes = graph.constant(np.array([1], np.int64))
    lengths = graph.node("ReduceSum", graph.node("Mul", rows, rows), axes, keepdims=1)
    cross = graph.node("MatMul", rows, graph.constant(np.ascontiguousarray(-2.0 * others.T)))
    ends = graph.constant((others**2).sum(axis=1)[None, :])
    total = graph.node("Add", graph.node("Add", lengths, cross), ends)
    return graph.node("Max", total, graph.constant(np.zeros((1, 1))))


def _kernel(
    graph: Graph, name: Any, matrix: str, kept: _Floats, gamma: float, degree: int, shift: float
) -> str:
    """[n, m]: the kernel between rows and the rows kept in the model."""
    if kept.size > _MOST_KEPT:
        raise CannotCompile(f"it keeps {len(kept)} rows of its training data")
    if name == "rbf":
        scaled = graph.node(
            "Mul", squared_distances(graph, matrix, kept), graph.constant(np.array([[-gamma]]))
        )
        return graph.node("Exp", scaled)
    product = graph.node("MatMul", matrix, graph.constant(np.ascontiguousarray(kept.T)))
    if name == "linear":
        return product
    if name not in {"poly", "polynomial", "sigmoid"}:
        raise CannotCompile(f"its kernel is {name if isinstance(name, str) else 'a function of its own'}")
    shifted = graph.node(
        "Add",
        graph.node("Mul", product, graph.constant(np.array([[gamma]]))),
        graph.constant(np.array([[shift]])),
    )
    if name == "sigmoid":
        return graph.node("Tanh", shifted)
    return graph.node("Pow", shifted, graph.constant(np.array([[float(degree)]])))


def _support(graph: Graph, model: Any, table: Table) -> str:
    """[n, vectors]: the kernel between rows and support vectors."""
    vectors = model.support_vectors_
    if hasattr(vectors, "toarray"):
        raise CannotCompile("support vectors of a sparse table")
    return _kernel(
        graph,
        model.kernel,
        graph.matrix(table),
        np.asarray(vectors, np.float64),
        float(model._gamma),
        model.degree,
        float(model.coef0),
    )


def _affine(graph: Graph, kernel: str, weights: Any, intercept: Any) -> str:
    product = graph.node("MatMul", kernel, graph.constant(np.ascontiguousarray(weights, np.float64)))
    return graph.node("Add", product, graph.constant(np.asarray(intercept, np.float64).reshape(1, -1)))


def _pairs(graph: Graph, model: Any, table: Table) -> str:
    """[n, pairs]: above zero for the first class of each pair; [n, 1] above zero for the second of two classes."""
    kernel = _support(graph, model, table)
    count = len(model.classes_)
    if count == 2:
        return _affine(graph, kernel, model.dual_coef_.T, model.intercept_)
    ends = np.concatenate([[0], np.cumsum(model.n_support_)])
    weights = np.zeros((ends[-1], count * (count - 1) // 2))
    for at, (first, second) in enumerate(combinations(range(count), 2)):
        ours, theirs = slice(ends[first], ends[first + 1]), slice(ends[second], ends[second + 1])
        weights[ours, at] = model.dual_coef_[second - 1, ours]
        weights[theirs, at] = model.dual_coef_[first, theirs]
    return _affine(graph, kernel, weights, model.intercept_)


def _votes(graph: Graph, pairs: str, count: int) -> str:
    """[n, classes]: how many pairs each class wins."""
    zero = graph.constant(np.zeros((1, 1)))
    won = graph.float64(graph.node("Greater", pairs, zero))
    lost = graph.node("Sub", graph.constant(np.ones((1, 1))), won)
    first, second = (np.zeros((count * (count - 1) // 2, count)) for _ in range(2))
    for at, (one, other) in enumerate(combinations(range(count), 2)):
        first[at, one] = second[at, other] = 1.0
    return graph.node(
        "Add",
        graph.node("MatMul", won, graph.constant(first)),
        graph.node("MatMul", lost, graph.constant(second)),
    )


def _classifier(graph: Graph, model: Any, table: Table) -> tuple[Answer, ...]:
    count = len(model.classes_)
    pairs = _pairs(graph, model, table)
    if count == 2:
        # As libsvm has it: the second class, unless the decision is clearly below zero.
        below = graph.node("Less", pairs, graph.constant(np.zeros((1, 1))))
        index = graph.flatten(graph.node("Cast", graph.node("Not", below), to=7))
    elif getattr(model, "break_ties", False) and model.decision_function_shape == "ovr":
        index = graph.node("ArgMax", _one_against_rest(graph, pairs, count), axis=1, keepdims=0)
    else:
        index = graph.node("ArgMax", _votes(graph, pairs, count), axis=1, keepdims=0)
    if not hasattr(model, "predict_proba"):
        return classified(graph, model, index, None)
    return classified(graph, model, index, _platt(graph, model, pairs))


def _platt(graph: Graph, model: Any, decision: str) -> str:
    """[n, 2]: Platt's sigmoid of the decision."""
    if len(model.classes_) != 2:
        raise CannotCompile("probabilities of three or more classes by pairwise coupling (probability=True)")
    slope, shift = float(model.probA_[0]), float(model.probB_[0])
    # libsvm's decision is above zero for the first class.
    scaled = graph.node("Mul", decision, graph.constant(np.array([[-slope]])))
    first = graph.node(
        "Sigmoid", graph.node("Neg", graph.node("Add", scaled, graph.constant(np.array([[shift]]))))
    )
    return with_complement(graph, graph.node("Sub", graph.constant(np.ones((1, 1))), first))


def _one_against_rest(graph: Graph, pairs: str, count: int) -> str:
    """[n, classes]: votes, and less than one vote for how clear they were."""
    signs = np.zeros((count * (count - 1) // 2, count))
    for at, (one, other) in enumerate(combinations(range(count), 2)):
        signs[at, one], signs[at, other] = 1.0, -1.0
    confidence = graph.node("MatMul", pairs, graph.constant(signs))
    size = graph.node("Add", graph.node("Abs", confidence), graph.constant(np.ones((1, 1))))
    share = graph.node("Div", confidence, graph.node("Mul", size, graph.constant(np.array([[3.0]]))))
    return graph.node("Add", _votes(graph, pairs, count), share)


def _decision(graph: Graph, model: Any, table: Table) -> str:
    pairs = _pairs(graph, model, table)
    if len(model.classes_) == 2:
        return pairs
    if model.decision_function_shape != "ovr":
        raise CannotCompile("a decision for each pair of classes")
    return _one_against_rest(graph, pairs, len(model.classes_))


def _regressor(graph: Graph, model: Any, table: Table) -> tuple[Answer, ...]:
    kernel = _support(graph, model, table)
    return valued(graph, _affine(graph, kernel, model.dual_coef_.T, model.intercept_), None)


def _one_class(graph: Graph, model: Any, table: Table) -> tuple[Answer, ...]:
    kernel = _support(graph, model, table)
    score = graph.flatten(_affine(graph, kernel, model.dual_coef_.T, model.intercept_))
    inside = graph.node("Greater", score, graph.constant(np.zeros(1)))
    label = graph.node("Where", inside, graph.constant(np.array([1])), graph.constant(np.array([-1])))
    return Answer("score", score, "float64"), Answer("label", label, "int64")


def _kernel_ridge(graph: Graph, model: Any, table: Table) -> tuple[Answer, ...]:
    kept = np.asarray(model.X_fit_, np.float64)
    gamma = 1.0 / kept.shape[1] if model.gamma is None else float(model.gamma)
    kernel = _kernel(graph, model.kernel, graph.matrix(table), kept, gamma, model.degree, float(model.coef0))
    weights = np.asarray(model.dual_coef_, np.float64)
    values = graph.node("MatMul", kernel, graph.constant(weights.reshape(len(kept), -1)))
    return valued(graph, values, None if weights.ndim == 1 else weights.shape[1])


def _gaussian_process(graph: Graph, model: Any, table: Table) -> tuple[Answer, ...]:
    """Rasmussen & Williams, "Gaussian Processes for Machine Learning" (2006), alg. 2.1: the mean."""
    kept = np.asarray(model.X_train_, np.float64)
    if kept.size > _MOST_KEPT:
        raise CannotCompile(f"it keeps {len(kept)} rows of its training data")
    covariance = _covariance(graph, model.kernel_, graph.matrix(table), kept)
    weights = np.asarray(model.alpha_, np.float64).reshape(len(kept), -1)
    mean = _affine(graph, covariance, weights * model._y_train_std, model._y_train_mean)
    return valued(graph, mean, None if np.ndim(model.alpha_) == 1 else weights.shape[1])


def _covariance(graph: Graph, kernel: Any, matrix: str, kept: _Floats) -> str:
    """[n, m]: a covariance function between rows and the rows kept in the model."""
    name = type(kernel).__name__
    if name in {"Sum", "Product"}:
        parts = [_covariance(graph, part, matrix, kept) for part in (kernel.k1, kernel.k2)]
        return graph.node("Add" if name == "Sum" else "Mul", *parts)
    if name == "ConstantKernel":
        return graph.constant(np.array([[float(kernel.constant_value)]]))
    if name == "WhiteKernel":
        # Noise is shared by a row with itself alone.
        return graph.constant(np.zeros((1, 1)))
    if name != "RBF":
        raise CannotCompile(f"its covariance is {name}")
    lengths = np.broadcast_to(np.asarray(kernel.length_scale, np.float64), (1, kept.shape[1]))
    rows = graph.node("Div", matrix, graph.constant(np.ascontiguousarray(lengths)))
    squared = squared_distances(graph, rows, kept / lengths)
    return graph.node("Exp", graph.node("Mul", squared, graph.constant(np.array([[-0.5]]))))


KERNEL_METHODS: Final[dict[str, Callable[[Graph, Any, Table], tuple[Answer, ...]]]] = {
    "GaussianProcessRegressor": _gaussian_process,
    "KernelRidge": _kernel_ridge,
    "NuSVC": _classifier,
    "NuSVR": _regressor,
    "OneClassSVM": _one_class,
    "SVC": _classifier,
    "SVR": _regressor,
}
"""Class name in scikit-learn -> what compiles it."""

KERNEL_DECISIONS: Final[dict[str, Callable[[Graph, Any, Table], str]]] = {
    "NuSVC": _decision,
    "SVC": _decision,
}
"""Class name -> what compiles its decision function."""
