"""Calibrated classifiers and isotonic regression of scikit-learn."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np

from tsavo.formats.answers import Answer, from_scores, normalized, valued, with_complement
from tsavo.formats.graph import CannotCompile, Graph, Table
from tsavo.formats.roads import Roads, has_decision, response

__all__ = ["CALIBRATED"]

_MOST_KNOTS: Final = 2_000
_NEARLY_NOTHING: Final = 1e-12


def _calibrated(roads: Roads, graph: Graph, model: Any, table: Table) -> tuple[Answer, ...]:
    parts = [_one(roads, graph, part, table) for part in model.calibrated_classifiers_]
    total = graph.node("Sum", *parts) if len(parts) > 1 else parts[0]
    shares = graph.node("Mul", total, graph.constant(np.array([[1.0 / len(parts)]])))
    return from_scores(graph, model, shares, softmax=False)


def _one(roads: Roads, graph: Graph, part: Any, table: Table) -> str:
    """[n, classes]: the probabilities of one fitted classifier with its calibrators."""
    if len(part.estimator.classes_) != len(part.classes):
        raise CannotCompile("a calibrated member that knows fewer classes than the others")
    scores, width = response(roads, graph, part.estimator, table)
    if part.method == "temperature":
        return _temperature(graph, part, scores, width)
    columns = [
        _calibrator(graph, calibrator, graph.column(scores, at))
        for at, calibrator in enumerate(part.calibrators)
    ]
    if len(part.classes) == 2:
        return with_complement(graph, columns[0])
    return normalized(graph, graph.node("Concat", *columns, axis=1), len(columns))


def _calibrator(graph: Graph, calibrator: Any, score: str) -> str:
    """[n, 1]: Platt's sigmoid, or an isotonic step function."""
    if type(calibrator).__name__ == "IsotonicRegression":
        return _interpolated(graph, calibrator, score)
    scaled = graph.node("Mul", score, graph.constant(np.array([[-float(calibrator.a_)]])))
    return graph.node(
        "Sigmoid", graph.node("Sub", scaled, graph.constant(np.array([[float(calibrator.b_)]])))
    )


def _temperature(graph: Graph, part: Any, scores: str, width: int) -> str:
    """Guo et al., "On Calibration of Modern Neural Networks" (2017): softmax of the scaled logits."""
    shares = not has_decision(part.estimator)
    if width == 1:
        scores = (
            with_complement(graph, scores)
            if shares
            else graph.node("Mul", scores, graph.constant(np.array([[-1.0, 1.0]])))
        )
    if shares:
        floor = graph.constant(np.array([[_NEARLY_NOTHING]]))
        scores = graph.node("Log", graph.node("Add", scores, floor))
    beta = graph.constant(np.array([[float(part.calibrators[0].beta_)]]))
    return graph.node("Softmax", graph.node("Mul", scores, beta), axis=1)


def _interpolated(graph: Graph, model: Any, values: str) -> str:
    """[n, 1]: linear between the knots of an isotonic regression, flat beyond them."""
    if model.out_of_bounds != "clip":
        raise CannotCompile(
            f"an isotonic regression that does not clip (out_of_bounds='{model.out_of_bounds}')"
        )
    knots = np.asarray(model.X_thresholds_, np.float64)
    heights = np.asarray(model.y_thresholds_, np.float64)
    widths, rises = np.diff(knots), np.diff(heights)
    used = (widths > 0) & (rises != 0)
    if used.sum() > _MOST_KNOTS:
        raise CannotCompile(f"an isotonic regression of more than {_MOST_KNOTS} steps")
    if not used.any():
        flat = graph.node("Mul", values, graph.constant(np.zeros((1, 1))))
        return graph.node("Add", flat, graph.constant(np.array([[heights[0]]])))
    # Each piece adds its whole rise above it, nothing below it, and a share in between.
    along = graph.node("Sub", values, graph.constant(knots[:-1][used][None, :]))
    share = graph.node("Div", along, graph.constant(widths[used][None, :]))
    low, high = graph.constant(np.float64(0.0)), graph.constant(np.float64(1.0))
    clipped = graph.node("Clip", share, low, high)
    risen = graph.node("MatMul", clipped, graph.constant(np.ascontiguousarray(rises[used][:, None])))
    return graph.node("Add", risen, graph.constant(np.array([[heights[0]]])))


def _isotonic(_roads: Roads, graph: Graph, model: Any, table: Table) -> tuple[Answer, ...]:
    return valued(graph, _interpolated(graph, model, graph.matrix(table)), None)


CALIBRATED: Final[dict[str, Callable[[Roads, Graph, Any, Table], tuple[Answer, ...]]]] = {
    "CalibratedClassifierCV": _calibrated,
    "IsotonicRegression": _isotonic,
}
"""Class name in scikit-learn -> what compiles it."""
