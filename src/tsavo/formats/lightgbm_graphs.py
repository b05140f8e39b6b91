"""LightGBM's trees as ONNX: float64 throughout, as LightGBM computes."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from tsavo.formats.answers import Answer
from tsavo.formats.boosted import compiled_answers
from tsavo.formats.graph import CannotCompile, Graph, Table
from tsavo.formats.lightgbm_models import refuse_linear, trees_of
from tsavo.formats.preprocessing import TRANSFORMERS
from tsavo.formats.trees import Tree, ensemble

if TYPE_CHECKING:
    from tsavo.formats.lightgbm_models import LightGBMOriginal

__all__ = ["lightgbm_answers"]

_CATEGORICAL: Final = 1
_DEFAULT_LEFT: Final = 2
_ZERO, _NAN = 1, 2
# What LightGBM takes for zero (kZeroThreshold).
_TINY: Final = float(np.float32(1e-35))
_WORD: Final = 32


def lightgbm_answers(graph: Graph, original: LightGBMOriginal, table: Table) -> tuple[Answer, ...]:
    """The public outputs of `original`, whose columns are `table`.

    Raises
    ------
    CannotCompile
        For trees of kinds that have no form in ONNX here.
    """
    cells = list(table)
    for at, known in original.categories.items():
        cells[at] = _numbered(graph, table.select([at]), known)[0]
    if "string" in Table(cells).kinds():
        raise CannotCompile("a text column that it does not know as categories")
    matrix = graph.matrix(Table(cells))
    written = trees_of(original.text)
    targets = original.meaning.targets
    zeros = np.zeros(len(table), np.bool_)
    trees = [_tree(tree, at % targets, zeros) for at, tree in enumerate(written)]
    if not trees:
        raise CannotCompile("it has no trees")
    if zeros.any():
        matrix = _zeros_missing(graph, matrix, zeros)
    raw = ensemble(graph, matrix, trees, targets)
    if "average_output" in original.header:
        rounds = len(trees) // targets
        raw = graph.node("Div", raw, graph.constant(np.array([[float(rounds)]])))
    return compiled_answers(graph, original.meaning, raw)


def _numbered(graph: Graph, column: Table, known: list[Any]) -> Table:
    """The place of each value among the known ones, and NaN for others: an ordinal encoder by another name."""
    kind = object if any(isinstance(value, str) for value in known) else np.float64
    encoder = SimpleNamespace(
        categories_=[np.array(known, dtype=kind)],
        handle_unknown="use_encoded_value",
        unknown_value=np.nan,
        encoded_missing_value=np.nan,
        infrequent_categories_=[None],
        _infrequent_enabled=False,
    )
    return TRANSFORMERS["OrdinalEncoder"](graph, encoder, column)


def _zeros_missing(graph: Graph, matrix: str, zeros: npt.NDArray[np.bool_]) -> str:
    """The matrix with NaN for zeros in the columns that take zero for missing."""
    size = graph.node("Abs", matrix)
    limits = np.where(zeros, _TINY, -1.0).reshape(1, -1)
    is_zero = graph.node("LessOrEqual", size, graph.constant(limits))
    return graph.node("Where", is_zero, graph.constant(np.array([[np.nan]])), matrix)


def _numbers(tree: dict[str, str], key: str, kind: Any) -> npt.NDArray[Any]:
    return np.array(tree.get(key, "").split(), dtype=kind)


def _tree(tree: dict[str, str], target: int, zeros: npt.NDArray[np.bool_]) -> Tree:
    """One tree; marks in `zeros` the columns that take zero for missing.

    LightGBM numbers inner nodes from zero and writes leaf k as ~k; here leaves follow the inner nodes.
    """
    refuse_linear(tree)
    values = _numbers(tree, "leaf_value", np.float64)
    feature = _numbers(tree, "split_feature", np.int64)
    threshold = _numbers(tree, "threshold", np.float64)
    decision = _numbers(tree, "decision_type", np.int64)
    inner, leaves = len(feature), len(values)
    categorical = (decision & _CATEGORICAL).astype(np.bool_)
    missing = (decision >> 2) & 3
    default_left = (decision & _DEFAULT_LEFT).astype(np.bool_)
    zeros[feature[(missing == _ZERO) & ~categorical]] = True
    # Without a kind of missing, NaN is zero.
    goes_left = np.where(missing == 0, threshold >= 0.0, default_left) & ~categorical
    padding = np.zeros(leaves)
    return Tree(
        left=np.concatenate([_children(tree, "left_child", inner), padding]).astype(np.int64),
        right=np.concatenate([_children(tree, "right_child", inner), padding]).astype(np.int64),
        feature=np.concatenate([feature, padding]).astype(np.int64),
        threshold=np.concatenate([np.where(categorical, threshold, _around_zero(threshold)), padding]),
        missing_left=np.concatenate([goes_left, padding]).astype(np.bool_),
        weights=np.concatenate([np.zeros(inner), values])[:, None],
        target=target,
        members=_members(tree, threshold, categorical),
    )


def _around_zero(threshold: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The thresholds, such that whatever LightGBM rounds to zero goes where zero goes."""
    near = np.abs(threshold) <= _TINY
    return np.where(near, np.where(threshold >= 0.0, _TINY, np.nextafter(-_TINY, -np.inf)), threshold)


def _children(tree: dict[str, str], side: str, inner: int) -> npt.NDArray[np.int64]:
    children = _numbers(tree, side, np.int64)
    return np.where(children < 0, inner + ~children, children)


def _members(
    tree: dict[str, str], threshold: npt.NDArray[np.float64], categorical: npt.NDArray[np.bool_]
) -> dict[int, list[float]]:
    """Node -> categories that go left, from bitsets of 32-bit words."""
    members = {}
    if categorical.any():
        bounds = _numbers(tree, "cat_boundaries", np.int64)
        words = _numbers(tree, "cat_threshold", np.uint32)
        for node in np.flatnonzero(categorical).tolist():
            at = int(threshold[node])
            bits = np.unpackbits(words[bounds[at] : bounds[at + 1]].view(np.uint8), bitorder="little")
            members[node] = np.flatnonzero(bits).astype(float).tolist()
    return members
