"""XGBoost's trees as ONNX.

A row goes left when its value, rounded to float32, is *less* than the threshold; our trees compare with *less or
equal*, so a threshold becomes the float32 just below it. Categories in a node's set go right. XGBoost adds leaves in
float32, we in float64: sums differ by what float32 rounds away.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tsavo.formats.answers import Answer
from tsavo.formats.boosted import compiled_answers
from tsavo.formats.graph import CannotCompile, Graph, Table
from tsavo.formats.trees import Tree, ensemble, through_float32

if TYPE_CHECKING:
    from tsavo.formats.xgboost_models import XGBoostOriginal

__all__ = ["xgboost_answers"]


def xgboost_answers(graph: Graph, original: XGBoostOriginal, table: Table) -> tuple[Answer, ...]:
    """The public outputs of `original`, whose columns are `table`.

    Raises
    ------
    CannotCompile
        For boosters of kinds that have no form in ONNX here.
    """
    if "string" in table.kinds():
        raise CannotCompile("it splits on text categories that XGBoost itself numbers")
    matrix = through_float32(graph, graph.matrix(table))
    if not np.isnan(original.missing):
        hole = graph.node("Equal", matrix, graph.constant(np.array([[original.missing]])))
        matrix = graph.node("Where", hole, graph.constant(np.array([[np.nan]])), matrix)
    model = json.loads(original.booster.save_raw("json"))
    booster = model["learner"]["gradient_booster"]
    targets = original.meaning.targets
    if booster["name"] == "gblinear":
        summed = _linear(graph, matrix, booster["model"], len(table), targets)
        base = _base(original, np.asarray(booster["model"]["weights"], np.float64)[-targets:])
    else:
        trees = _grown(booster, original.rounds)
        if not trees:
            raise CannotCompile("it has no trees")
        summed = ensemble(graph, matrix, trees, targets)
        base = _base(original, _of_a_missing_row(trees, targets))
    raw = graph.node("Add", summed, graph.constant(base.reshape(1, -1)))
    return compiled_answers(graph, original.meaning, raw)


def _grown(booster: dict[str, Any], rounds: int | None) -> list[Tree]:
    weights: list[float] | None = None
    if booster["name"] == "dart":
        weights = booster["weight_drop"]
        booster = booster["gbtree"]
    model = booster["model"]
    until = len(model["trees"])
    if rounds is not None:
        starts = model["iteration_indptr"]
        until = starts[min(rounds, len(starts) - 1)]
    return [
        _tree(tree, int(target), 1.0 if weights is None else float(weights[at]))
        for at, (tree, target) in enumerate(zip(model["trees"][:until], model["tree_info"], strict=False))
    ]


def _tree(tree: dict[str, Any], target: int, weight: float) -> Tree:
    if int(tree["tree_param"].get("size_leaf_vector", 1)) > 1:
        raise CannotCompile("its leaves hold one value for each of several targets (multi_output_tree)")
    left = np.asarray(tree["left_children"], np.int64)
    right = np.asarray(tree["right_children"], np.int64)
    conditions = np.asarray(tree["split_conditions"], np.float32)
    leaf = left < 0
    default_left = np.asarray(tree["default_left"], np.int64).astype(np.bool_)
    below = np.nextafter(conditions, np.float32(-np.inf)).astype(np.float64)
    members: dict[int, list[float]] = {}
    sizes = zip(
        tree.get("categories_nodes", ()),
        tree.get("categories_segments", ()),
        tree.get("categories_sizes", ()),
        strict=True,
    )
    for node, start, size in sizes:
        # These go right in XGBoost; here what is listed goes left, so the two sides change places.
        members[int(node)] = [float(code) for code in tree["categories"][start : start + size]]
        left[node], right[node] = right[node], left[node]
        default_left[node] = not default_left[node]
    return Tree(
        left=np.where(leaf, 0, left),
        right=np.where(leaf, 0, right),
        feature=np.where(leaf, 0, np.asarray(tree["split_indices"], np.int64)),
        threshold=np.where(leaf, 0.0, below),
        missing_left=default_left & ~leaf,
        weights=np.where(leaf, conditions.astype(np.float64) * weight, 0.0)[:, None],
        target=target,
        members=members,
    )


def _of_a_missing_row(trees: list[Tree], targets: int) -> npt.NDArray[np.float64]:
    """[targets]: what the trees add up to for a row without any value."""
    sums = np.zeros(targets)
    for tree in trees:
        node = 0
        while tree.left[node]:
            node = int(tree.left[node] if tree.missing_left[node] else tree.right[node])
        sums[tree.target] += tree.weights[node, 0]
    return sums


def _base(original: XGBoostOriginal, known: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """[targets]: where the sum starts.

    Every release keeps the start in another way; what it comes to is seen from a row of which the rest is known.
    """
    import xgboost

    width = original.columns or 1
    row = xgboost.DMatrix(
        np.full((1, width), np.nan),
        feature_names=original.booster.feature_names,
        feature_types=original.kinds or None,
        enable_categorical="c" in original.kinds,
        nthread=1,
    )
    until = (0, original.rounds) if original.rounds is not None else (0, 0)
    margin = original.booster.predict(row, output_margin=True, iteration_range=until)
    return np.asarray(margin, np.float64).reshape(-1) - known


def _linear(graph: Graph, matrix: str, model: dict[str, Any], width: int, targets: int) -> str:
    weights = np.asarray(model["weights"], np.float64).reshape(width + 1, targets)
    # A missing value adds nothing.
    gap = graph.node("IsNaN", matrix)
    filled = graph.node("Where", gap, graph.constant(np.zeros((1, 1))), matrix)
    product = graph.node("MatMul", filled, graph.constant(weights[:-1]))
    return graph.node("Add", product, graph.constant(weights[-1:]))
