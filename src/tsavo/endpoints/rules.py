"""Rule tables: what answers for a model when people have written down what to do without it."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from tsavo.vocabulary import NUMPY_DTYPES, Batch, Condition, RulesFallback, Signature, Unavailable

__all__ = ["rule_outputs"]


def rule_outputs(signature: Signature, rules: RulesFallback, batch: Batch) -> tuple[npt.NDArray[Any], ...]:
    """What the table says for each row, in the order and the types of the signature's outputs.

    The first rule whose conditions a row meets gives its outputs; rows that meet none get `rules.otherwise`. Bounds
    and listed values count in the column's own type: ``0.1`` is the nearest 32-bit float in a column of those.

    Parameters
    ----------
    signature
        Of the version that read `batch`; the table was checked against it.

    Returns
    -------
    tuple of numpy.ndarray
        [rows] for each output, [rows, width] for wide ones.

    Raises
    ------
    Unavailable
        When the table asks for a column that the batch does not have.
    """
    columns = {field.name: at for at, field in enumerate(signature.inputs)}
    outputs = tuple(
        np.empty(
            (batch.rows,) if output.width is None else (batch.rows, output.width), NUMPY_DTYPES[output.dtype]
        )
        for output in signature.outputs
    )
    undecided = np.ones(batch.rows, dtype=np.bool_)
    for rule in rules.rules:
        chosen = undecided.copy()
        for condition in rule.when:
            chosen &= _meets(condition, _column(columns, batch, condition.column))
        _fill(signature, outputs, chosen, rule.outputs)
        undecided &= ~chosen
    _fill(signature, outputs, undecided, rules.otherwise)
    return outputs


def _column(columns: dict[str, int], batch: Batch, name: str) -> npt.NDArray[Any]:
    at = columns.get(name)
    if at is None:
        raise Unavailable(
            f"the rule table asks for a column that is not sent: {name}",
            field="fallback",
            found=name,
            expected=f"one of {list(columns)}",
            next_step="give the endpoint a new fallback chain",
        )
    return batch.columns[at] if batch.matrix is None else batch.matrix[:, at]


def _meets(condition: Condition, column: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    met = np.ones(len(column), dtype=np.bool_)
    # A bound beyond the column's own type is infinite there, and NaN is within no bounds.
    with np.errstate(over="ignore", invalid="ignore"):
        if condition.at_least is not None:
            met &= column >= condition.at_least
        if condition.below is not None:
            met &= column < condition.below
        if condition.one_of is not None:
            met &= _is_one_of(condition.one_of, column)
    if condition.missing is not None:
        met &= _is_missing(column) == condition.missing
    return met


def _is_one_of(
    values: tuple[str | int | float | bool, ...], column: npt.NDArray[Any]
) -> npt.NDArray[np.bool_]:
    if column.dtype == object:
        known = frozenset(values)
        return np.fromiter((value in known for value in column), np.bool_, len(column))
    return np.isin(column, np.array(values, dtype=column.dtype))


def _is_missing(column: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    if column.dtype == object:
        return np.fromiter((value is None for value in column), np.bool_, len(column))
    return np.isnan(column) if column.dtype.kind == "f" else np.zeros(len(column), dtype=np.bool_)


def _fill(
    signature: Signature,
    outputs: tuple[npt.NDArray[Any], ...],
    chosen: npt.NDArray[np.bool_],
    values: dict[str, Any],
) -> None:
    for output, array in zip(signature.outputs, outputs, strict=True):
        array[chosen] = values[output.name]
