"""Models of scikit-learn that look for the nearest of a few centres."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tsavo.formats.answers import Answer, classified
from tsavo.formats.graph import CannotCompile, Graph, Table
from tsavo.formats.kernel_methods import squared_distances

__all__ = ["CENTRES", "distances_to_centres", "nearest"]


def nearest(graph: Graph, matrix: str, centres: npt.NDArray[Any]) -> str:
    """[n] int64: the number of the nearest of `centres` [k, columns] by Euclidean distance."""
    kept = np.asarray(centres, np.float64)
    cross = graph.node("MatMul", matrix, graph.constant(np.ascontiguousarray(-2.0 * kept.T)))
    # The row's own length is the same for every centre.
    scores = graph.node("Add", cross, graph.constant((kept**2).sum(axis=1)[None, :]))
    return graph.node("ArgMin", scores, axis=1, keepdims=0)


def _labelled(graph: Graph, model: Any, table: Table) -> tuple[Answer, ...]:
    return (Answer("label", nearest(graph, graph.matrix(table), model.cluster_centers_), "int64"),)


def _birch(graph: Graph, model: Any, table: Table) -> tuple[Answer, ...]:
    at = nearest(graph, graph.matrix(table), model.subcluster_centers_)
    labels = np.asarray(model.subcluster_labels_, np.int64)
    return (Answer("label", graph.node("Gather", graph.constant(labels), at), "int64"),)


def _nearest_centroid(graph: Graph, model: Any, table: Table) -> tuple[Answer, ...]:
    if model.metric != "euclidean" or hasattr(model, "predict_proba"):
        raise CannotCompile("a NearestCentroid with probabilities or another distance than the Euclidean one")
    return classified(graph, model, nearest(graph, graph.matrix(table), model.centroids_), None)


def distances_to_centres(graph: Graph, model: Any, table: Table) -> Table:
    """What ``transform`` of k-means gives: the distance to each centre."""
    centres = np.asarray(model.cluster_centers_, np.float64)
    distances = graph.node("Sqrt", squared_distances(graph, graph.matrix(table), centres))
    return graph.table(distances, len(centres))


CENTRES: Final[dict[str, Callable[[Graph, Any, Table], tuple[Answer, ...]]]] = {
    "AffinityPropagation": _labelled,
    "Birch": _birch,
    "KMeans": _labelled,
    "MeanShift": _labelled,
    "MiniBatchKMeans": _labelled,
    "NearestCentroid": _nearest_centroid,
}
"""Class name in scikit-learn -> what compiles it."""
