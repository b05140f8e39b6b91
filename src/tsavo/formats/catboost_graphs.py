"""CatBoost's trees as ONNX. A symmetric tree asks the same question on each level; here it is written out in full."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tsavo.formats.answers import Answer
from tsavo.formats.boosted import compiled_answers
from tsavo.formats.graph import CannotCompile, Graph, Table
from tsavo.formats.trees import Tree, ensemble, through_float32

if TYPE_CHECKING:
    from tsavo.formats.catboost_models import CatBoostOriginal

__all__ = ["catboost_answers"]

_KINDS: Final = {
    "OneHotFeature": "it splits on text categories by a hash of CatBoost's own",
    "OnlineCtr": "it replaces categories by statistics of the target, which CatBoost computes while it predicts",
}


def catboost_answers(graph: Graph, original: CatBoostOriginal, table: Table) -> tuple[Answer, ...]:
    """The public outputs of `original`, whose columns are `table`.

    Raises
    ------
    CannotCompile
        For models with categories, texts or embeddings.
    """
    written = original.written
    if original.categorical or "string" in table.kinds():
        raise CannotCompile(_KINDS["OnlineCtr"])
    targets = original.meaning.targets
    reader = _Reader(written, targets)
    trees = [reader.symmetric(tree) for tree in written.get("oblivious_trees", ())]
    trees += [reader.free(tree) for tree in written.get("trees", ())]
    if not trees:
        raise CannotCompile("it has no trees")
    summed = ensemble(graph, through_float32(graph, graph.matrix(table)), trees, targets)
    scale, bias = written["scale_and_bias"]
    start = np.asarray(bias, np.float64).reshape(1, -1)
    scaled = summed if scale == 1 else graph.node("Mul", summed, graph.constant(np.array([[float(scale)]])))
    return compiled_answers(graph, original.meaning, graph.node("Add", scaled, graph.constant(start)))


class _Reader:
    """Reads trees; knows which column a split is about, and where missing values go."""

    def __init__(self, written: dict[str, Any], targets: int) -> None:
        features = written["features_info"].get("float_features", ())
        self._column = {feature["feature_index"]: feature["flat_feature_index"] for feature in features}
        self._missing_right = {
            feature["feature_index"] for feature in features if feature["nan_value_treatment"] == "AsTrue"
        }
        self._targets = targets

    def _split(self, split: dict[str, Any]) -> tuple[int, float, bool]:
        """Column, border, and whether missing values go left: to where values go that are not above the border."""
        kind = split["split_type"]
        if kind != "FloatFeature":
            raise CannotCompile(_KINDS.get(kind, f"it has splits of the kind {kind}"))
        feature = split["float_feature_index"]
        return self._column[feature], float(split["border"]), feature not in self._missing_right

    def symmetric(self, tree: dict[str, Any]) -> Tree:
        splits = [self._split(split) for split in tree["splits"] or ()]
        depth = len(splits)
        values = np.asarray(tree["leaf_values"], np.float64).reshape(-1, self._targets)
        inner = 2**depth - 1
        size = 2 ** (depth + 1) - 1
        node = np.arange(size)
        level = np.floor(np.log2(node + 1)).astype(np.int64)
        # The last split is the leaf number's highest bit, so it is asked first.
        asked = [splits[depth - 1 - at] if at < depth else (0, 0.0, False) for at in level.tolist()]
        weights = np.zeros((size, self._targets))
        weights[inner:] = values
        return Tree(
            left=np.where(node < inner, 2 * node + 1, 0),
            right=np.where(node < inner, 2 * node + 2, 0),
            feature=np.array([column for column, _, _ in asked], np.int64),
            threshold=np.array([border for _, border, _ in asked]),
            missing_left=np.array([left for _, _, left in asked], np.bool_),
            weights=weights,
        )

    def free(self, tree: dict[str, Any]) -> Tree:
        """A tree of another growing policy, node by node."""
        left: list[int] = []
        right: list[int] = []
        asked: list[tuple[int, float, bool]] = []
        weights: list[Any] = []
        waiting: list[tuple[dict[str, Any], int, bool]] = [(tree, -1, False)]
        while waiting:
            node, parent, is_right = waiting.pop()
            at = len(left)
            if parent >= 0:
                (right if is_right else left)[parent] = at
            left.append(0)
            right.append(0)
            if "split" in node:
                asked.append(self._split(node["split"]))
                weights.append(np.zeros(self._targets))
                waiting += [(node["left"], at, False), (node["right"], at, True)]
            else:
                asked.append((0, 0.0, False))
                weights.append(np.asarray(node["value"], np.float64).reshape(self._targets))
        return Tree(
            left=np.array(left),
            right=np.array(right),
            feature=np.array([column for column, _, _ in asked], np.int64),
            threshold=np.array([border for _, border, _ in asked]),
            missing_left=np.array([missing for _, _, missing in asked], np.bool_),
            weights=np.array(weights),
        )
