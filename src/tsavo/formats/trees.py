"""Tree ensembles as ONNX nodes, in the precision that scikit-learn itself uses.

scikit-learn's classic trees cast a row to float32 and compare it with float64 thresholds; histogram gradient
boosting compares float64 with float64. Both are one `TreeEnsemble` of float64 here, behind a cast to float32 and
back for the classic ones, so that no row can take another branch.

Specification: ONNX operators TreeEnsemble (ai.onnx.ml 5) and TreeEnsembleRegressor (ai.onnx.ml 3).
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
from onnx import TensorProto, numpy_helper

from tsavo.formats.graph import CannotCompile, Graph, NeedsOlderTrees

__all__ = ["Tree", "classic_tree", "ensemble", "histogram_tree", "through_float32"]

_SUM: Final = 1
_LESS_OR_EQUAL: Final = 0
_MEMBER: Final = 6
_ML: Final = "ai.onnx.ml"
_MOST_NUMBERS: Final = 10_000_000


class Tree(msgspec.Struct, frozen=True):
    """One tree, node by node; a node without children is a leaf.

    Attributes
    ----------
    left, right, feature, threshold, missing_left
        [nodes]. A row goes left when its value is <= threshold, or missing and `missing_left`.
    weights
        [nodes, k] what a leaf adds to the targets from `target` on.
    members
        Node -> the values that go left, for splits on categories.
    """

    left: npt.NDArray[np.int64]
    right: npt.NDArray[np.int64]
    feature: npt.NDArray[np.int64]
    threshold: npt.NDArray[np.float64]
    missing_left: npt.NDArray[np.bool_]
    weights: npt.NDArray[np.float64]
    target: int = 0
    members: dict[int, list[float]] = {}


def classic_tree(
    tree: Any,
    weights: npt.NDArray[np.float64],
    *,
    target: int = 0,
    features: npt.NDArray[np.int64] | None = None,
) -> Tree:
    """A ``sklearn.tree._tree.Tree``, with `weights` [nodes, k]; `features` maps its columns to the table's."""
    used = np.maximum(tree.feature, 0)
    return Tree(
        left=np.where(tree.children_left < 0, 0, tree.children_left).astype(np.int64),
        right=np.where(tree.children_left < 0, 0, tree.children_right).astype(np.int64),
        feature=(used if features is None else features[used]).astype(np.int64),
        threshold=tree.threshold.astype(np.float64),
        missing_left=np.asarray(tree.__getstate__()["nodes"]["missing_go_to_left"]).astype(np.bool_),
        weights=weights,
        target=target,
    )


def histogram_tree(predictor: Any, target: int) -> Tree:
    """A ``TreePredictor`` of histogram gradient boosting."""
    nodes = predictor.nodes
    leaf = nodes["is_leaf"].astype(np.bool_)
    members = {}
    for at in np.flatnonzero(nodes["is_categorical"].astype(np.bool_) & ~leaf):
        words = predictor.raw_left_cat_bitsets[int(nodes["bitset_idx"][at])]
        bits = np.unpackbits(np.ascontiguousarray(words).view(np.uint8), bitorder="little")
        members[int(at)] = np.flatnonzero(bits).astype(float).tolist()
    return Tree(
        left=np.where(leaf, 0, nodes["left"]).astype(np.int64),
        right=np.where(leaf, 0, nodes["right"]).astype(np.int64),
        feature=nodes["feature_idx"].astype(np.int64),
        threshold=nodes["num_threshold"].astype(np.float64),
        missing_left=nodes["missing_go_to_left"].astype(np.bool_),
        weights=nodes["value"].astype(np.float64)[:, None],
        target=target,
        members=members,
    )


def through_float32(graph: Graph, matrix: str) -> str:
    """The matrix rounded to float32, as classic trees see it, in float64 again."""
    return graph.float64(graph.node("Cast", matrix, to=TensorProto.FLOAT))


def ensemble(graph: Graph, matrix: str, trees: list[Tree], targets: int) -> str:
    """[n, targets]: for each row the sum of the leaves it falls into.

    Raises
    ------
    CannotCompile
        When there are so many nodes that the graph would take gigabytes.
    """
    numbers = sum(len(tree.left) + int(np.count_nonzero(tree.weights)) for tree in trees)
    if numbers > _MOST_NUMBERS:
        raise CannotCompile(f"its trees hold {numbers:,} numbers, and {_MOST_NUMBERS:,} are compiled at most")
    wide = any(tree.weights.shape[1] > 1 for tree in trees)
    if graph.ml_opset >= 5:
        if wide:
            # A leaf of the newer operator adds to one target only.
            raise NeedsOlderTrees
        return _new_ensemble(graph, matrix, trees, targets)
    return _old_ensemble(graph, matrix, trees, targets)


def _new_ensemble(graph: Graph, matrix: str, trees: list[Tree], targets: int) -> str:
    writer = _NewTables()
    for tree in trees:
        writer.add(tree)
    attributes: dict[str, Any] = {}
    if writer.members:
        attributes["membership_values"] = _doubles(writer.members)
    return graph.node(
        "TreeEnsemble",
        matrix,
        domain=_ML,
        n_targets=targets,
        aggregate_function=_SUM,
        post_transform=0,
        tree_roots=writer.roots,
        nodes_featureids=writer.feature,
        nodes_modes=numpy_helper.from_array(np.array(writer.mode, np.uint8), "modes"),
        nodes_splits=_doubles(writer.split),
        nodes_truenodeids=writer.true,
        nodes_trueleafs=writer.true_leaf,
        nodes_falsenodeids=writer.false,
        nodes_falseleafs=writer.false_leaf,
        nodes_missing_value_tracks_true=writer.missing,
        leaf_targetids=writer.leaf_target,
        leaf_weights=_doubles(writer.leaf_weight),
        **attributes,
    )


class _NewTables:
    """The flat lists of a TreeEnsemble: inner nodes of all trees, and their leaves."""

    def __init__(self) -> None:
        self.roots: list[int] = []
        self.feature: list[int] = []
        self.mode: list[int] = []
        self.split: list[float] = []
        self.true: list[int] = []
        self.true_leaf: list[int] = []
        self.false: list[int] = []
        self.false_leaf: list[int] = []
        self.missing: list[int] = []
        self.members: list[float] = []
        self.leaf_target: list[int] = []
        self.leaf_weight: list[float] = []

    def add(self, tree: Tree) -> None:
        is_leaf = tree.left == 0
        place = np.where(is_leaf, np.cumsum(is_leaf) - 1, np.cumsum(~is_leaf) - 1)
        place = place + np.where(is_leaf, len(self.leaf_weight), len(self.feature))
        self.leaf_weight += tree.weights[is_leaf, 0].tolist()
        self.leaf_target += [tree.target] * int(is_leaf.sum())
        self.roots.append(len(self.feature))
        inner = np.flatnonzero(~is_leaf)
        if len(inner) == 0:
            # A tree that never splits: both ways lead to its only leaf.
            self._lists(np.zeros(1, np.int64), np.zeros(1), [0], place[:1], [1], place[:1], [1], [0])
            return
        # A split that sends no value left, only missing ones, is a comparison with minus infinity.
        modes = [_MEMBER if tree.members.get(int(node)) else _LESS_OR_EQUAL for node in inner]
        splits = [-np.inf if int(node) in tree.members else tree.threshold[node] for node in inner]
        left, right = tree.left[inner], tree.right[inner]
        for node in inner:
            if values := tree.members.get(int(node)):
                # NaN ends the list of one node's values.
                self.members += [*values, float("nan")]
        self._lists(
            tree.feature[inner],
            np.array(splits),
            modes,
            place[left],
            is_leaf[left].astype(int).tolist(),
            place[right],
            is_leaf[right].astype(int).tolist(),
            tree.missing_left[inner].astype(int).tolist(),
        )

    def _lists(
        self,
        feature: Any,
        split: Any,
        mode: Any,
        true: Any,
        true_leaf: Any,
        false: Any,
        false_leaf: Any,
        missing: Any,
    ) -> None:
        self.feature += feature.tolist()
        self.split += split.tolist()
        self.mode += mode
        self.true += true.tolist()
        self.true_leaf += true_leaf
        self.false += false.tolist()
        self.false_leaf += false_leaf
        self.missing += missing


def _old_ensemble(graph: Graph, matrix: str, trees: list[Tree], targets: int) -> str:
    if any(tree.members for tree in trees):
        raise NeedsOlderTrees
    sizes = [len(tree.left) for tree in trees]
    modes = [["LEAF" if left == 0 else "BRANCH_LEQ" for left in tree.left.tolist()] for tree in trees]
    leaves, places, weights = zip(*(_leaf_weights(tree) for tree in trees), strict=True)
    summed = graph.node(
        "TreeEnsembleRegressor",
        matrix,
        domain=_ML,
        n_targets=targets,
        aggregate_function="SUM",
        post_transform="NONE",
        nodes_treeids=np.repeat(np.arange(len(trees)), sizes).tolist(),
        nodes_nodeids=np.concatenate([np.arange(size) for size in sizes]).tolist(),
        nodes_featureids=np.concatenate([tree.feature for tree in trees]).tolist(),
        nodes_values_as_tensor=_doubles(np.concatenate([tree.threshold for tree in trees])),
        nodes_modes=[mode for tree_modes in modes for mode in tree_modes],
        nodes_truenodeids=np.concatenate([tree.left for tree in trees]).tolist(),
        nodes_falsenodeids=np.concatenate([tree.right for tree in trees]).tolist(),
        nodes_missing_value_tracks_true=np.concatenate([tree.missing_left for tree in trees])
        .astype(int)
        .tolist(),
        target_treeids=np.repeat(np.arange(len(trees)), [len(at) for at in leaves]).tolist(),
        target_nodeids=np.concatenate(leaves).tolist(),
        target_ids=np.concatenate(places).tolist(),
        target_weights_as_tensor=_doubles(np.concatenate(weights)),
    )
    return graph.float64(summed)


def _leaf_weights(tree: Tree) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[np.float64]]:
    """(leaf, target, weight) of what leaves add; zeros are left out, for with many classes most are."""
    leaves = np.flatnonzero(tree.left == 0)
    held = tree.weights[leaves]
    kept = held != 0
    # The operator wants to hear of every leaf.
    kept[:, 0] |= ~kept.any(axis=1)
    row, column = np.nonzero(kept)
    return leaves[row], column + tree.target, held[row, column]


def _doubles(values: Any) -> Any:
    return numpy_helper.from_array(np.asarray(values, np.float64), "values")
