"""Models of scikit-learn that compare likelihoods: naive Bayes, discriminant analysis, mixtures, one Gaussian."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tsavo.formats.answers import Answer, from_scores
from tsavo.formats.graph import CannotCompile, Graph, Table

__all__ = ["LIKELIHOODS"]

_MOST_PARTS: Final = 200


def _row(values: Any) -> npt.NDArray[np.float64]:
    return np.asarray(values, np.float64).reshape(1, -1)


def _summed(graph: Graph, values: str) -> str:
    """[n, 1]: the sum over the columns."""
    return graph.node("ReduceSum", values, graph.constant(np.array([1], np.int64)), keepdims=1)


def _squares(graph: Graph, values: str) -> str:
    """[n, 1]: the sum of squares over the columns."""
    return _summed(graph, graph.node("Mul", values, values))


def _side_by_side(graph: Graph, columns: Sequence[str], scale: float, summands: Any) -> str:
    """[n, k]: scale * columns + summands."""
    if len(columns) > _MOST_PARTS:
        raise CannotCompile(f"it has more than {_MOST_PARTS} classes or components")
    joined = graph.node("Concat", *columns, axis=1)
    scaled = graph.node("Mul", joined, graph.constant(np.array([[scale]])))
    return graph.node("Add", scaled, graph.constant(_row(summands)))


def _gaussian(graph: Graph, model: Any, table: Table) -> tuple[Answer, ...]:
    matrix = graph.matrix(table)
    columns = []
    for mean, variance in zip(model.theta_, model.var_, strict=True):
        centred = graph.node("Sub", matrix, graph.constant(_row(mean)))
        columns.append(_squares(graph, graph.node("Div", centred, graph.constant(_row(np.sqrt(variance))))))
    constants = np.log(model.class_prior_) - 0.5 * np.log(2.0 * np.pi * model.var_).sum(axis=1)
    return from_scores(graph, model, _side_by_side(graph, columns, -0.5, constants), softmax=True)


def _weighed(graph: Graph, model: Any, matrix: str, weights: Any, summands: Any) -> tuple[Answer, ...]:
    product = graph.node("MatMul", matrix, graph.constant(np.asarray(weights, np.float64).T))
    scores = graph.node("Add", product, graph.constant(_row(summands)))
    return from_scores(graph, model, scores, softmax=True)


def _multinomial(graph: Graph, model: Any, table: Table) -> tuple[Answer, ...]:
    return _weighed(graph, model, graph.matrix(table), model.feature_log_prob_, model.class_log_prior_)


def _complement(graph: Graph, model: Any, table: Table) -> tuple[Answer, ...]:
    alone = len(model.classes_) == 1
    summands = model.class_log_prior_ if alone else np.zeros(len(model.classes_))
    return _weighed(graph, model, graph.matrix(table), model.feature_log_prob_, summands)


def _bernoulli(graph: Graph, model: Any, table: Table) -> tuple[Answer, ...]:
    matrix = graph.matrix(table)
    if model.binarize is not None:
        above = graph.node("Greater", matrix, graph.constant(np.array([[float(model.binarize)]])))
        matrix = graph.float64(above)
    absent = np.log(1.0 - np.exp(model.feature_log_prob_))
    return _weighed(
        graph,
        model,
        matrix,
        model.feature_log_prob_ - absent,
        model.class_log_prior_ + absent.sum(axis=1),
    )


def _quadratic(graph: Graph, model: Any, table: Table) -> tuple[Answer, ...]:
    """Hastie, Tibshirani & Friedman, "The Elements of Statistical Learning", eq. 4.12."""
    matrix = graph.matrix(table)
    columns = []
    for mean, rotation, scaling in zip(model.means_, model.rotations_, model.scalings_, strict=True):
        centred = graph.node("Sub", matrix, graph.constant(_row(mean)))
        turned = graph.node("MatMul", centred, graph.constant(np.asarray(rotation * scaling**-0.5)))
        columns.append(_squares(graph, turned))
    logarithms = np.array([np.log(scaling).sum() for scaling in model.scalings_])
    constants = np.log(model.priors_) - 0.5 * logarithms
    return from_scores(graph, model, _side_by_side(graph, columns, -0.5, constants), softmax=True)


def _mixture(graph: Graph, model: Any, table: Table) -> tuple[Answer, ...]:
    """The component of each row, and the probability of each component given the row."""
    matrix = graph.matrix(table)
    width = len(table)
    columns = []
    for at, mean in enumerate(model.means_):
        factor = _precision_factor(model, at, width)
        centred = graph.node("Sub", matrix, graph.constant(_row(mean)))
        columns.append(_squares(graph, graph.node("MatMul", centred, graph.constant(factor))))
    # The model itself adds terms that are the same for every row; asked at its first mean, it tells them.
    scores = _side_by_side(graph, columns, -0.5, _mixture_constants(model, width))
    shares = graph.node("Softmax", scores, axis=1)
    label = graph.node("ArgMax", scores, axis=1, keepdims=0)
    return (
        Answer("label", label, "int64"),
        Answer("probabilities", shares, "float64", len(model.means_)),
    )


def _precision_factor(model: Any, at: int, width: int) -> npt.NDArray[np.float64]:
    """[width, width]: the Cholesky factor of a component's precision."""
    kept: npt.NDArray[np.float64] = np.asarray(model.precisions_cholesky_, np.float64)
    if model.covariance_type == "full":
        own: npt.NDArray[np.float64] = kept[at]
        return own
    if model.covariance_type == "tied":
        return kept
    if model.covariance_type == "diag":
        return np.diag(kept[at])
    scaled: npt.NDArray[np.float64] = np.eye(width) * kept[at]
    return scaled


def _mixture_constants(model: Any, width: int) -> npt.NDArray[np.float64]:
    """[components]: what the log-densities hold beside the quadratic form."""
    row = np.zeros((1, width))
    weighted = np.asarray(model._estimate_weighted_log_prob(row), np.float64)[0]
    forms = [
        float((((row[0] - mean) @ _precision_factor(model, at, width)) ** 2).sum())
        for at, mean in enumerate(model.means_)
    ]
    constants: npt.NDArray[np.float64] = weighted + 0.5 * np.array(forms)
    return constants


def _elliptic_envelope(graph: Graph, model: Any, table: Table) -> tuple[Answer, ...]:
    """The negative squared Mahalanobis distance from a robust centre, less the offset."""
    centred = graph.node("Sub", graph.matrix(table), graph.constant(_row(model.location_)))
    turned = graph.node("MatMul", centred, graph.constant(np.asarray(model.get_precision(), np.float64)))
    distance = _summed(graph, graph.node("Mul", turned, centred))
    total = graph.node("Add", distance, graph.constant(np.array([[float(model.offset_)]])))
    score = graph.flatten(graph.node("Neg", total))
    inside = graph.node("GreaterOrEqual", score, graph.constant(np.zeros(1)))
    label = graph.node("Where", inside, graph.constant(np.array([1])), graph.constant(np.array([-1])))
    return Answer("score", score, "float64"), Answer("label", label, "int64")


LIKELIHOODS: Final[dict[str, Callable[[Graph, Any, Table], tuple[Answer, ...]]]] = {
    "BayesianGaussianMixture": _mixture,
    "BernoulliNB": _bernoulli,
    "ComplementNB": _complement,
    "EllipticEnvelope": _elliptic_envelope,
    "GaussianMixture": _mixture,
    "GaussianNB": _gaussian,
    "MultinomialNB": _multinomial,
    "QuadraticDiscriminantAnalysis": _quadratic,
}
"""Class name in scikit-learn -> what compiles it."""
