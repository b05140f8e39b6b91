"""Where a scikit-learn model switches: the thresholds of its trees, brought back to the columns that it is given.

A threshold inside a pipeline is in the units of the step before it. Columns are followed through the steps that keep
them (imputers, selections, column transformers) or that stretch and shift them (scalers); what comes out of any other
step has no threshold that can be told of an input column.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

__all__ = ["thresholds"]

_DEPTH: Final = 8
_MOST_TREES: Final = 300


class _Track(msgspec.Struct, frozen=True):
    """A column between steps: input column `origin`, times `scale`, plus `shift`."""

    origin: int
    scale: float = 1.0
    shift: float = 0.0


_Tracks = list[_Track | None]


def thresholds(estimator: Any, names: Sequence[str]) -> dict[str, list[float]]:
    """Column name -> thresholds, for the columns that have any.

    Parameters
    ----------
    names
        The input columns in the model's order.
    """
    found: dict[str, set[float]] = {}
    start: _Tracks = [_Track(at) for at in range(len(names))]
    for track, value in _switches(estimator, start, 0):
        if np.isfinite(value) and track.scale != 0:
            found.setdefault(names[track.origin], set()).add(float((value - track.shift) / track.scale))
    return {name: sorted(values) for name, values in found.items()}


def _switches(part: Any, tracks: _Tracks, depth: int) -> Iterator[tuple[_Track, float]]:
    if depth > _DEPTH or part is None or isinstance(part, str):
        return
    if hasattr(part, "steps"):
        for _, step in part.steps:
            yield from _switches(step, tracks, depth + 1)
            tracks = _after(step, tracks)
        return
    for inner, columns in _members(part):
        yield from _switches(inner, tracks if columns is None else _chosen(tracks, columns), depth + 1)
    for columns, values in _own(part):
        for at, value in zip(columns.tolist(), values.tolist(), strict=True):
            track = tracks[at] if at < len(tracks) else None
            if track is not None:
                yield track, value


def _members(part: Any) -> Iterator[tuple[Any, Any]]:
    """The estimators inside one, each with the columns that it sees (``None`` for all)."""
    members = getattr(part, "estimators_", None)
    # Beside its members an ensemble keeps the pattern they were cut from under the name `estimator_`.
    for name in ("best_estimator_", "regressor_", *(() if members is not None else ("estimator_",))):
        if hasattr(part, name):
            yield getattr(part, name), None
    for member in getattr(part, "calibrated_classifiers_", ()):
        yield member.estimator, None
    if members is not None:
        flat = members.ravel().tolist() if isinstance(members, np.ndarray) else list(members)
        subsets = getattr(part, "estimators_features_", None)
        for at, member in enumerate(flat[:_MOST_TREES]):
            yield member, None if subsets is None else subsets[at]
    for name, step, _ in getattr(part, "transformers_", ()):
        yield step, list(part._transformer_to_input_indices.get(name, ()))


def _own(part: Any) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]]:
    """(columns, values) at which the estimator itself switches."""
    tree = getattr(part, "tree_", None)
    if tree is not None:
        inner = tree.children_left >= 0
        yield tree.feature[inner], tree.threshold[inner]
    for stage in getattr(part, "_predictors", None) or ():
        for predictor in stage:
            nodes = predictor.nodes
            inner = (nodes["is_leaf"] == 0) & (nodes["is_categorical"] == 0)
            yield _before_encoding(part, nodes["feature_idx"][inner]), nodes["num_threshold"][inner]
    if type(part).__name__ == "KBinsDiscretizer":
        for at, cuts in enumerate(part.bin_edges_):
            yield np.full(len(cuts), at, np.int64), np.asarray(cuts, np.float64)


def _before_encoding(model: Any, columns: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    """Histogram gradient boosting puts its categories first; back to the order in which it is given them."""
    if getattr(model, "_preprocessor", None) is None:
        return columns.astype(np.int64)
    encoded = model._preprocessor._transformer_to_input_indices.get("encoder", ())
    flags = np.zeros(int(model.n_features_in_), np.bool_)
    flags[list(encoded)] = True
    order: npt.NDArray[np.int64] = np.concatenate([np.flatnonzero(flags), np.flatnonzero(~flags)])
    return order[columns.astype(np.int64)]


def _chosen(tracks: _Tracks, columns: Any) -> _Tracks:
    return [tracks[int(at)] for at in columns]


def _after(step: Any, tracks: _Tracks) -> _Tracks:
    """The columns behind a transformer; ``None`` for those that it makes anew."""
    if step is None or isinstance(step, str):
        return tracks
    if hasattr(step, "steps"):
        for _, inner in step.steps:
            tracks = _after(inner, tracks)
        return tracks
    kind = type(step).__name__
    if kind == "ColumnTransformer":
        return _after_columns(step, tracks)
    if kind == "FeatureUnion":
        return [track for _, inner in step.transformer_list for track in _after(inner, tracks)]
    if hasattr(step, "get_support"):
        return _chosen(tracks, np.flatnonzero(step.get_support()))
    if kind in {"SimpleImputer", "KNNImputer", "IterativeImputer"}:
        same = len(step.get_feature_names_out()) == len(tracks)
        return tracks if same else [None] * len(step.get_feature_names_out())
    if kind == "FunctionTransformer":
        return tracks if step.func is None else [None] * len(tracks)
    scaled = _stretch(step, kind, len(tracks))
    if scaled is not None:
        return [
            None if track is None else _Track(track.origin, track.scale * a, track.shift * a + b)
            for track, a, b in zip(tracks, *scaled, strict=True)
        ]
    try:
        return [None] * len(step.get_feature_names_out())
    except (AttributeError, ValueError, TypeError):
        return []


def _after_columns(step: Any, tracks: _Tracks) -> _Tracks:
    made: _Tracks = []
    for name, inner, _ in step.transformers_:
        columns = list(step._transformer_to_input_indices.get(name, ()))
        if (isinstance(inner, str) and inner == "drop") or not columns:
            continue
        made += _after(inner, _chosen(tracks, columns))
    return made


def _stretch(step: Any, kind: str, width: int) -> tuple[list[float], list[float]] | None:
    """The factor and the summand of a scaler for each column."""
    ones, zeros = np.ones(width), np.zeros(width)
    if kind == "StandardScaler":
        scale = ones if step.scale_ is None else step.scale_
        mean = zeros if step.mean_ is None or not step.with_mean else step.mean_
    elif kind == "RobustScaler":
        scale = step.scale_ if step.with_scaling else ones
        mean = step.center_ if step.with_centering else zeros
    elif kind == "MaxAbsScaler":
        scale, mean = step.scale_, zeros
    elif kind == "MinMaxScaler":
        return step.scale_.tolist(), step.min_.tolist()
    else:
        return None
    return (1.0 / np.asarray(scale)).tolist(), (-np.asarray(mean) / np.asarray(scale)).tolist()
