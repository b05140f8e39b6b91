"""Preprocessing of scikit-learn: imputers, scalers, encoders; missing values mean here what they mean there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tsavo.formats.graph import CannotCompile, Graph, Table
from tsavo.formats.layout import MISSING
from tsavo.formats.sklearn_models import is_missing

__all__ = ["TRANSFORMERS", "category_codes"]

_ML: Final = "ai.onnx.ml"


def _standard_scaler(graph: Graph, scaler: Any, table: Table) -> Table:
    matrix = graph.matrix(table)
    if scaler.with_mean:
        matrix = graph.node("Sub", matrix, graph.constant(scaler.mean_.reshape(1, -1)))
    if scaler.with_std:
        matrix = graph.node("Div", matrix, graph.constant(scaler.scale_.reshape(1, -1)))
    return graph.table(matrix, len(table))


def _robust_scaler(graph: Graph, scaler: Any, table: Table) -> Table:
    matrix = graph.matrix(table)
    if scaler.with_centering:
        matrix = graph.node("Sub", matrix, graph.constant(scaler.center_.reshape(1, -1)))
    if scaler.with_scaling:
        matrix = graph.node("Div", matrix, graph.constant(scaler.scale_.reshape(1, -1)))
    return graph.table(matrix, len(table))


def _min_max_scaler(graph: Graph, scaler: Any, table: Table) -> Table:
    matrix = graph.node("Mul", graph.matrix(table), graph.constant(scaler.scale_.reshape(1, -1)))
    matrix = graph.node("Add", matrix, graph.constant(scaler.min_.reshape(1, -1)))
    if scaler.clip:
        low, high = (graph.constant(np.float64(bound)) for bound in scaler.feature_range)
        matrix = graph.node("Clip", matrix, low, high)
    return graph.table(matrix, len(table))


def _max_abs_scaler(graph: Graph, scaler: Any, table: Table) -> Table:
    matrix = graph.node("Div", graph.matrix(table), graph.constant(scaler.scale_.reshape(1, -1)))
    if getattr(scaler, "clip", False):
        low, high = graph.constant(np.float64(-1.0)), graph.constant(np.float64(1.0))
        matrix = graph.node("Clip", matrix, low, high)
    return graph.table(matrix, len(table))


def _simple_imputer(graph: Graph, imputer: Any, table: Table) -> Table:
    statistics = np.asarray(imputer.statistics_, dtype=object)
    pieces: dict[int, Table] = {}
    for kind in sorted(table.kinds()):
        places = [at for at, cell in enumerate(table) if cell.kind == kind]
        fills = [statistics[at] for at in places]
        part = table.select(places)
        filled = (
            _fill_strings(graph, imputer, part, fills)
            if kind == "string"
            else _fill_numbers(graph, imputer, part, fills)
        )
        pieces.update({at: Table([cell]) for at, cell in zip(places, filled, strict=True)})
    kept = [at for at in range(len(table)) if imputer.keep_empty_features or not is_missing(statistics[at])]
    filled_table = Table(pieces[at][0] for at in kept)
    if imputer.indicator_ is None:
        return filled_table
    return Table((*filled_table, *_indicator(graph, imputer, table)))


def _fill_numbers(graph: Graph, imputer: Any, part: Table, fills: Sequence[Any]) -> Table:
    matrix = graph.matrix(part)
    try:
        values = np.array([np.nan if is_missing(fill) else float(fill) for fill in fills]).reshape(1, -1)
    except ValueError as error:
        raise CannotCompile("an imputer that puts text into numbers") from error
    holes = _number_holes(graph, imputer.missing_values, matrix)
    return graph.table(graph.node("Where", holes, graph.constant(values), matrix), len(part))


def _number_holes(graph: Graph, marker: Any, matrix: str) -> str:
    if is_missing(marker):
        return graph.node("IsNaN", matrix)
    if isinstance(marker, str):
        raise CannotCompile("an imputer that looks for text in numbers")
    return graph.node("Equal", matrix, graph.constant(np.array([[float(marker)]])))


def _fill_strings(graph: Graph, imputer: Any, part: Table, fills: Sequence[Any]) -> Table:
    texts = [MISSING if is_missing(fill) else fill for fill in fills]
    if not all(isinstance(text, str) for text in texts):
        raise CannotCompile("an imputer that puts numbers into text")
    matrix = graph.matrix(part)
    fill = graph.constant(np.array([texts], dtype=object))
    where = _string_holes(graph, imputer.missing_values, matrix)
    return graph.table(
        graph.node("Where", where, fill, matrix), len(part), "string", [cell.origin for cell in part]
    )


def _string_holes(graph: Graph, marker: Any, matrix: str) -> str:
    if not (is_missing(marker) or isinstance(marker, str)):
        raise CannotCompile("an imputer that looks for numbers in text")
    text = MISSING if is_missing(marker) else marker
    return graph.node("Equal", matrix, graph.constant(np.array([[text]], dtype=object)))


def _indicator(graph: Graph, imputer: Any, table: Table) -> Table:
    """One column of 0 and 1 for each input that had missing values when the imputer was fitted."""
    flags: list[Any] = []
    for at in imputer.indicator_.features_:
        part = table.select([int(at)])
        seek = _string_holes if part[0].kind == "string" else _number_holes
        flag = graph.float64(seek(graph, imputer.missing_values, graph.matrix(part)))
        flags.extend(graph.table(flag, 1))
    return Table(flags)


def _one_hot_encoder(graph: Graph, encoder: Any, table: Table) -> Table:
    cells: list[Any] = []
    for at, categories in enumerate(encoder.categories_):
        part = table.select([at])
        _remember(graph, part, categories)
        groups = _groups(encoder, at, list(categories))
        dropped = None if encoder.drop_idx_ is None else encoder._drop_idx_after_grouping[at]
        kept = [index for index in range(len(groups)) if index != dropped]
        if kept:
            lit = graph.node(
                "Equal", category_codes(graph, part, groups), graph.constant(np.array([kept], np.int64))
            )
            cells.extend(graph.table(graph.float64(lit), len(kept)))
    return Table(cells)


def _groups(encoder: Any, at: int, categories: list[Any]) -> list[list[Any]]:
    """The categories of input `at` that share an output column; ``...`` stands for all unknown ones."""
    mapping = None
    if getattr(encoder, "_infrequent_enabled", False):
        mapping = encoder._default_to_infrequent_mappings[at]
    indexes = range(len(categories)) if mapping is None else mapping.tolist()
    groups: list[list[Any]] = [[] for _ in range(max(indexes, default=-1) + 1)]
    for category, index in zip(categories, indexes, strict=True):
        groups[index].append(category)
    if mapping is not None and encoder.handle_unknown in {"infrequent_if_exist", "warn"}:
        groups[-1].append(...)
    return groups


def category_codes(graph: Graph, part: Table, groups: list[list[Any]]) -> str:
    """[n, 1] int64: the group of each value, -1 for values of no group (or the group that holds ``...``)."""
    matrix = graph.matrix(part)
    default = next((at for at, group in enumerate(groups) if any(value is ... for value in group)), -1)
    pairs = [(value, at) for at, group in enumerate(groups) for value in group if value is not ...]
    if part[0].kind == "string":
        keys = [MISSING if is_missing(value) else value for value, _ in pairs]
        if not all(isinstance(key, str) for key in keys):
            raise CannotCompile("an encoder of numbers that is given text")
        if not keys:
            keys, pairs = [MISSING], [(None, default)]
        return graph.node(
            "LabelEncoder",
            matrix,
            domain=_ML,
            keys_strings=keys,
            values_int64s=[at for _, at in pairs],
            default_int64=default,
        )
    return _number_codes(graph, matrix, pairs, default)


def _number_codes(graph: Graph, matrix: str, pairs: list[tuple[Any, int]], default: int) -> str:
    try:
        numbers = np.array([np.nan if is_missing(value) else float(value) for value, _ in pairs])
    except ValueError as error:
        raise CannotCompile("an encoder of text that is given numbers") from error
    hit = graph.node("Equal", matrix, graph.constant(numbers.reshape(1, -1)))
    if np.isnan(numbers).any():
        hole = graph.node(
            "And", graph.node("IsNaN", matrix), graph.constant(np.isnan(numbers).reshape(1, -1))
        )
        hit = graph.node("Or", hit, hole)
    # At most one key equals a value, so the sum picks that key's code; codes are kept as their distance to default.
    offsets: npt.NDArray[np.int64] = np.array([at - default for _, at in pairs], np.int64).reshape(-1, 1)
    picked = graph.node("MatMul", graph.float64(hit), graph.constant(offsets.astype(np.float64)))
    return graph.node(
        "Add", graph.node("Cast", picked, to=7), graph.constant(np.array([[default]], np.int64))
    )


def _ordinal_encoder(graph: Graph, encoder: Any, table: Table) -> Table:
    cells: list[Any] = []
    for at, categories in enumerate(encoder.categories_):
        part = table.select([at])
        _remember(graph, part, categories)
        groups = _groups(encoder, at, list(categories))
        codes = graph.float64(category_codes(graph, part, groups))
        outside = encoder.unknown_value if encoder.handle_unknown == "use_encoded_value" else np.nan
        for index, value in ((-1, outside), *_missing_code(encoder, groups)):
            found = graph.node("Equal", codes, graph.constant(np.array([[float(index)]])))
            codes = graph.node("Where", found, graph.constant(np.array([[float(value)]])), codes)
        cells.extend(graph.table(codes, 1))
    return Table(cells)


def _target_encoder(graph: Graph, encoder: Any, table: Table) -> Table:
    """The mean of the target for each category, shrunk; the target's own mean for unknown ones."""
    means = np.asarray(encoder.target_mean_, np.float64).reshape(-1)
    cells: list[Any] = []
    for at, categories in enumerate(encoder.categories_):
        part = table.select([at])
        _remember(graph, part, categories)
        codes = category_codes(graph, part, [[value] for value in categories])
        place = graph.node("Add", graph.flatten(codes), graph.constant(np.array([1], np.int64)))
        for target, mean in enumerate(means.tolist()):
            known = np.asarray(encoder.encodings_[at * len(means) + target], np.float64)
            # Code -1, an unknown category, comes first.
            values = graph.constant(np.concatenate([[mean], known])[:, None])
            cells.extend(graph.table(graph.node("Gather", values, place, axis=0), 1))
    return Table(cells)


def _missing_code(encoder: Any, groups: Sequence[list[Any]]) -> list[tuple[int, float]]:
    return [
        (at, encoder.encoded_missing_value) for at, group in enumerate(groups) if any(map(is_missing, group))
    ]


def _remember(graph: Graph, part: Table, categories: Sequence[Any]) -> None:
    """Note which texts an input column is known to take, reference rows or not."""
    origin = part[0].origin
    if origin is not None and part[0].kind == "string":
        graph.known.setdefault(origin, []).extend(text for text in categories if isinstance(text, str))


TRANSFORMERS: Final[dict[str, Callable[[Graph, Any, Table], Table]]] = {
    "MaxAbsScaler": _max_abs_scaler,
    "MinMaxScaler": _min_max_scaler,
    "OneHotEncoder": _one_hot_encoder,
    "OrdinalEncoder": _ordinal_encoder,
    "RobustScaler": _robust_scaler,
    "SimpleImputer": _simple_imputer,
    "StandardScaler": _standard_scaler,
    "TargetEncoder": _target_encoder,
}
"""Class name in scikit-learn -> what compiles it."""
