"""Models of scikit-learn that look for the nearest of a few centres."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tsavo.formats.answers import Answer
from tsavo.formats.graph import Graph, Table
from tsavo.formats.kernel_methods import squared_distances

__all__ = ["CENTRES", "distances_to_centres", "nearest_by_distance"]


def _nearest(graph: Graph, matrix: str, centres: npt.NDArray[Any]) -> str:
    """[n] int64: the number of the nearest of `centres` [k, columns] by Euclidean distance."""
    kept = np.asarray(centres, np.float64)
    cross = graph.node("MatMul", matrix, graph.constant(np.ascontiguousarray(-2.0 * kept.T)))
    # The row's own length is the same for every centre.
    scores = graph.node("Add", cross, graph.constant((kept**2).sum(axis=1)[None, :]))
    return graph.node("ArgMin", scores, axis=1, keepdims=0)


def nearest_by_distance(graph: Graph, matrix: str, centres: npt.NDArray[Any]) -> str:
    """[n] int64: the same, and the first one where a row is so far out that all distances are one number."""
    kept = np.asarray(centres, np.float64)
    cross = graph.node("MatMul", matrix, graph.constant(np.ascontiguousarray(-2.0 * kept.T)))
    squares = graph.node("Mul", matrix, matrix)
    length = graph.node("ReduceSum", squares, graph.constant(np.array([1], np.int64)), keepdims=1)
    partial = graph.node("Add", cross, graph.constant((kept**2).sum(axis=1)[None, :]))
    return graph.node("ArgMin", graph.node("Add", partial, length), axis=1, keepdims=0)


def _k_means(graph: Graph, model: Any, table: Table) -> tuple[Answer, ...]:
    return (Answer("label", _nearest(graph, graph.matrix(table), model.cluster_centers_), "int64"),)


def _labelled(graph: Graph, model: Any, table: Table) -> tuple[Answer, ...]:
    at = nearest_by_distance(graph, graph.matrix(table), np.asarray(model.cluster_centers_))
    return (Answer("label", at, "int64"),)


def _birch(graph: Graph, model: Any, table: Table) -> tuple[Answer, ...]:
    at = nearest_by_distance(graph, graph.matrix(table), np.asarray(model.subcluster_centers_))
    labels = np.asarray(model.subcluster_labels_, np.int64)
    return (Answer("label", graph.node("Gather", graph.constant(labels), at), "int64"),)


def distances_to_centres(graph: Graph, model: Any, table: Table) -> Table:
    """What ``transform`` of k-means gives: the distance to each centre."""
    centres = np.asarray(model.cluster_centers_, np.float64)
    distances = graph.node("Sqrt", squared_distances(graph, graph.matrix(table), centres))
    return graph.table(distances, len(centres))


CENTRES: Final[dict[str, Callable[[Graph, Any, Table], tuple[Answer, ...]]]] = {
    "AffinityPropagation": _labelled,
    "Birch": _birch,
    "KMeans": _k_means,
    "MeanShift": _labelled,
    "MiniBatchKMeans": _k_means,
}
"""Class name in scikit-learn -> what compiles it."""
