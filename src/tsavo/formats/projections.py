"""Transformers of scikit-learn that compute new columns: projections, products, powers, bins."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tsavo.formats.centres import distances_to_centres
from tsavo.formats.graph import CannotCompile, Graph, Table

__all__ = ["PROJECTIONS", "apply_function"]

_MOST_PRODUCTS: Final = 5_000
_AXIS: Final = np.array([1], np.int64)


def _row(values: Any) -> npt.NDArray[np.float64]:
    return np.asarray(values, np.float64).reshape(1, -1)


def _projected(graph: Graph, matrix: str, mean: Any, components: Any) -> Table:
    """(matrix - mean) @ components.T."""
    if mean is not None:
        matrix = graph.node("Sub", matrix, graph.constant(_row(mean)))
    dense = components.toarray() if hasattr(components, "toarray") else components
    weights = np.ascontiguousarray(np.asarray(dense, np.float64).T)
    return graph.table(graph.node("MatMul", matrix, graph.constant(weights)), weights.shape[1])


def _principal(graph: Graph, model: Any, table: Table) -> Table:
    components = np.asarray(model.components_, np.float64)
    if model.whiten:
        scale = np.sqrt(np.maximum(model.explained_variance_, np.finfo(np.float64).eps))
        components = components / scale[:, None]
    return _projected(graph, graph.matrix(table), model.mean_, components)


def _by_components(graph: Graph, model: Any, table: Table) -> Table:
    return _projected(graph, graph.matrix(table), None, model.components_)


def _independent(graph: Graph, model: Any, table: Table) -> Table:
    mean = model.mean_ if model.whiten else None
    return _projected(graph, graph.matrix(table), mean, model.components_)


def _discriminant(graph: Graph, model: Any, table: Table) -> Table:
    if model.solver == "lsqr":
        raise CannotCompile("a discriminant analysis that cannot transform (solver='lsqr')")
    mean = model.xbar_ if model.solver == "svd" else None
    return _projected(graph, graph.matrix(table), mean, model.scalings_[:, : model._max_components].T)


def _random_features(graph: Graph, model: Any, table: Table) -> Table:
    """Rahimi & Recht, "Random Features for Large-Scale Kernel Machines" (2007)."""
    weights = np.asarray(model.random_weights_, np.float64)
    product = graph.node("MatMul", graph.matrix(table), graph.constant(weights))
    turned = graph.node("Cos", graph.node("Add", product, graph.constant(_row(model.random_offset_))))
    scale = np.array([[np.sqrt(2.0 / model.n_components)]])
    return graph.table(graph.node("Mul", turned, graph.constant(scale)), weights.shape[1])


def _polynomial(graph: Graph, model: Any, table: Table) -> Table:
    """Products of columns, a column of ones first when it has a bias."""
    powers = np.asarray(model.powers_, np.int64)
    if len(powers) > _MOST_PRODUCTS:
        raise CannotCompile(f"{len(powers)} products of columns")
    matrix = graph.matrix(table)
    # For each product the columns that it multiplies, one for each power.
    factors = [np.repeat(np.arange(len(row)), row).tolist() for row in powers]
    degrees = np.array([len(row) for row in factors])
    cells: list[Any] = [None] * len(factors)
    for degree in np.unique(degrees).tolist():
        places = np.flatnonzero(degrees == degree).tolist()
        if degree == 0:
            zeros = graph.node("Mul", graph.column(matrix, 0), graph.constant(np.zeros((1, 1))))
            made = graph.node("Add", zeros, graph.constant(np.ones((1, 1))))
        else:
            indices = np.array([factors[at] for at in places], np.int64)
            made = graph.node("Gather", matrix, graph.constant(indices[:, 0]), axis=1)
            for step in range(1, degree):
                other = graph.node("Gather", matrix, graph.constant(indices[:, step]), axis=1)
                made = graph.node("Mul", made, other)
        for at, cell in zip(places, graph.table(made, len(places)), strict=True):
            cells[at] = cell
    return Table(cells)


def _power(graph: Graph, model: Any, table: Table) -> Table:
    """Yeo & Johnson, "A new family of power transformations" (2000), or Box and Cox; then scaled."""
    matrix = graph.matrix(table)
    lambdas = np.asarray(model.lambdas_, np.float64)
    one = graph.constant(np.ones((1, 1)))
    zero = graph.constant(np.zeros((1, 1)))
    if model.method == "box-cox":
        made = _box_cox(graph, matrix, lambdas)
    else:
        above = graph.node("Add", graph.node("Max", matrix, zero), one)
        below = graph.node("Sub", one, graph.node("Min", matrix, zero))
        up = _box_cox(graph, above, lambdas)
        down = graph.node("Neg", _box_cox(graph, below, 2.0 - lambdas))
        made = graph.node("Where", graph.node("Less", matrix, zero), down, up)
        # A missing value stays one.
        made = graph.node("Where", graph.node("IsNaN", matrix), matrix, made)
    if model.standardize:
        scaler = model._scaler
        made = graph.node("Sub", made, graph.constant(_row(scaler.mean_)))
        made = graph.node("Div", made, graph.constant(_row(scaler.scale_)))
    return graph.table(made, len(table))


def _box_cox(graph: Graph, values: str, lambdas: npt.NDArray[np.float64]) -> str:
    """(values^lambda - 1) / lambda, and the logarithm where lambda is zero."""
    flat = np.abs(lambdas) < np.finfo(np.float64).eps
    safe = np.where(flat, 1.0, lambdas)
    raised = graph.node("Pow", values, graph.constant(_row(safe)))
    powered = graph.node(
        "Div", graph.node("Sub", raised, graph.constant(np.ones((1, 1)))), graph.constant(_row(safe))
    )
    if not flat.any():
        return powered
    return graph.node("Where", graph.constant(flat.reshape(1, -1)), graph.node("Log", values), powered)


def _normalizer(graph: Graph, model: Any, table: Table) -> Table:
    matrix = graph.matrix(table)
    if model.norm == "l2":
        squares = graph.node("Mul", matrix, matrix)
        norm = graph.node("Sqrt", graph.node("ReduceSum", squares, graph.constant(_AXIS), keepdims=1))
    elif model.norm == "l1":
        norm = graph.node("ReduceSum", graph.node("Abs", matrix), graph.constant(_AXIS), keepdims=1)
    else:
        norm = graph.node("ReduceMax", graph.node("Abs", matrix), graph.constant(_AXIS), keepdims=1)
    nothing = graph.node("Equal", norm, graph.constant(np.zeros((1, 1))))
    return graph.table(
        graph.node("Div", matrix, graph.node("Where", nothing, graph.constant(np.ones((1, 1))), norm)),
        len(table),
    )


def _binarizer(graph: Graph, model: Any, table: Table) -> Table:
    above = graph.node("Greater", graph.matrix(table), graph.constant(np.array([[float(model.threshold)]])))
    return graph.table(graph.float64(above), len(table))


def _bins(graph: Graph, model: Any, table: Table) -> Table:
    """The number of the bin that a value falls into, or one column for each bin."""
    cells: list[Any] = []
    for at, edges in enumerate(model.bin_edges_):
        column = graph.matrix(table.select([at]))
        inner = np.asarray(edges[1:-1], np.float64)
        if len(inner):
            reached = graph.float64(graph.node("GreaterOrEqual", column, graph.constant(inner[None, :])))
            number = graph.node("ReduceSum", reached, graph.constant(_AXIS), keepdims=1)
        else:
            number = graph.node("Mul", column, graph.constant(np.zeros((1, 1))))
        if model.encode == "ordinal":
            cells.extend(graph.table(number, 1))
            continue
        codes = np.arange(int(model.n_bins_[at]), dtype=np.float64)[None, :]
        lit = graph.float64(graph.node("Equal", number, graph.constant(codes)))
        cells.extend(graph.table(lit, codes.shape[1]))
    return Table(cells)


def apply_function(graph: Graph, function: Any, values: str) -> str:
    """A numpy function of each value [n, k]; ``None`` leaves them as they are.

    Raises
    ------
    CannotCompile
        For any other function: it may compute anything.
    """
    if function is None:
        return values
    one = graph.constant(np.ones((1, 1)))
    if function is np.log1p:
        return graph.node("Log", graph.node("Add", values, one))
    if function is np.expm1:
        return graph.node("Sub", graph.node("Exp", values), one)
    if function is np.square:
        return graph.node("Mul", values, values)
    for known, operator in _FUNCTIONS:
        if function is known:
            return graph.node(operator, values)
    name = getattr(function, "__name__", type(function).__name__)
    raise CannotCompile(f"a function of its own ({name})")


_FUNCTIONS: Final[tuple[tuple[Any, str], ...]] = (
    (np.log, "Log"),
    (np.exp, "Exp"),
    (np.sqrt, "Sqrt"),
    (np.abs, "Abs"),
    (np.sin, "Sin"),
    (np.cos, "Cos"),
    (np.tanh, "Tanh"),
    (np.negative, "Neg"),
)


def _function(graph: Graph, model: Any, table: Table) -> Table:
    if model.func is None:
        return table
    if model.kw_args:
        raise CannotCompile("a FunctionTransformer with arguments")
    return graph.table(apply_function(graph, model.func, graph.matrix(table)), len(table))


PROJECTIONS: Final[dict[str, Callable[[Graph, Any, Table], Table]]] = {
    "Binarizer": _binarizer,
    "FastICA": _independent,
    "FunctionTransformer": _function,
    "GaussianRandomProjection": _by_components,
    "KBinsDiscretizer": _bins,
    "KMeans": distances_to_centres,
    "LinearDiscriminantAnalysis": _discriminant,
    "MiniBatchKMeans": distances_to_centres,
    "Normalizer": _normalizer,
    "PCA": _principal,
    "PolynomialFeatures": _polynomial,
    "PowerTransformer": _power,
    "RBFSampler": _random_features,
    "SparseRandomProjection": _by_components,
    "TruncatedSVD": _by_components,
}
"""Class name in scikit-learn -> what compiles it."""
