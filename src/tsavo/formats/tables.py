"""Reference rows as columns: from Parquet or CSV, in the few types that signatures have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from tsavo.vocabulary import Batch, Columns, Field, Invalid, Signature, Unreadable

__all__ = [
    "arrow_column",
    "batch_of",
    "evenly",
    "field_of",
    "holes",
    "pick",
    "read_columns",
    "read_table",
    "table_with_predictions",
    "without_target",
]

MAX_CATEGORIES: Final = 200


def read_table(path: Path) -> pa.Table:
    """The rows of a Parquet or CSV file; which one it is, its first bytes say."""
    try:
        with path.open("rb") as file:
            magic = file.read(4)
        if magic == b"PAR1":
            table = pyarrow.parquet.read_table(path)
        else:
            table = pyarrow.csv.read_csv(path, convert_options=_CSV)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise Unreadable(
            "the reference data cannot be read",
            field="reference",
            found=str(error)[:300],
            expected="a Parquet file, or CSV with a header line",
        ) from error
    if table.num_rows == 0:
        raise Invalid(
            "the reference data has no rows", field="reference", found=0, expected="at least one row"
        )
    twice = sorted({name for name in table.column_names if table.column_names.count(name) > 1})
    if twice:
        raise Invalid("columns occur twice in the reference data", field="reference", found=twice)
    return table


# An empty cell is a missing value in text columns too, as pandas reads it.
_CSV: Final = pyarrow.csv.ConvertOptions(strings_can_be_null=True)


_NUMBERS: Final = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_decimal)


def read_columns(table: pa.Table, names: Sequence[str]) -> dict[str, npt.NDArray[Any]]:
    """The named columns as float64, int64, bool or object arrays of `str` and ``None``.

    Raises
    ------
    Invalid
        Naming the column whose type a model cannot take.
    """
    return {name: _array(name, table.column(name)) for name in names}


def _array(name: str, column: pa.ChunkedArray) -> npt.NDArray[Any]:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    kind = column.type
    if pa.types.is_null(kind):
        return np.full(len(column), np.nan)
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        array = np.empty(len(column), dtype=object)
        array[:] = column.to_pylist()
        return array
    if pa.types.is_boolean(kind) and column.null_count == 0:
        return np.asarray(column.to_pylist(), np.bool_)
    if pa.types.is_integer(kind) and column.null_count == 0:
        return np.asarray(column.cast(pa.int64()).to_numpy(), np.int64)
    if any(is_number(kind) for is_number in _NUMBERS):
        numbers = column.cast(pa.int8()) if pa.types.is_boolean(kind) else column
        return np.array(pc.fill_null(numbers.cast(pa.float64()), float("nan")).to_numpy(), np.float64)
    raise Invalid(
        "a column has a type that models cannot take",
        field=f"reference.{name}",
        found=str(kind),
        expected="numbers, booleans or text",
        next_step="convert it before fitting, such as a date into a number of days",
    )


def field_of(name: str, values: npt.NDArray[Any], known: Sequence[str] = ()) -> Field:
    """What the values say about the column; `known` are texts the model itself was fitted on."""
    if values.dtype == object:
        present = {value for value in values.tolist() if value is not None}
        nullable = any(value is None for value in values)
        categories = tuple(sorted(present | set(known)))
        closed = 0 < len(categories) <= MAX_CATEGORIES
        return Field(name, "string", nullable, categories if closed else None)
    if values.dtype == np.bool_:
        return Field(name, "bool")
    finite = values[np.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (None, None)
    if values.dtype == np.int64:
        return Field(name, "int64", low=low, high=high)
    return Field(name, "float64", nullable=bool(np.isnan(values).any()), low=low, high=high)


def holes(values: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Where values are missing.

    >>> holes(np.array(["a", None], dtype=object)).tolist()
    [False, True]
    """
    if values.dtype == object:
        return np.array([value is None for value in values.tolist()], np.bool_)
    return np.isnan(values.astype(np.float64))


def evenly(rows: int, most: int) -> npt.NDArray[np.int64]:
    """At most `most` row numbers, spread evenly over all of them.

    >>> evenly(5, 3).tolist()
    [0, 2, 4]
    """
    return np.unique(np.linspace(0, rows - 1, min(rows, most)).round().astype(np.int64))


def batch_of(signature: Signature, columns: Columns) -> Batch:
    """The columns as a runtime takes them."""
    arrays = tuple(np.asarray(columns[field.name]) for field in signature.inputs)
    if signature.matrix_dtype is None:
        return Batch(len(arrays[0]), None, arrays)
    return Batch(len(arrays[0]), np.ascontiguousarray(np.stack(arrays, axis=1)))


def table_with_predictions(
    signature: Signature,
    columns: Columns,
    outputs: Sequence[npt.NDArray[Any]],
    target: tuple[str, pa.ChunkedArray] | None,
) -> pa.Table:
    """Inputs, target, and the outputs as ``prediction.<output>`` or ``prediction.<output>.<k>``."""
    made: dict[str, Any] = {field.name: arrow_column(columns[field.name]) for field in signature.inputs}
    if target is not None:
        made[target[0]] = target[1]
    for output, values in zip(signature.outputs, outputs, strict=True):
        if output.width is None:
            made[f"prediction.{output.name}"] = arrow_column(values)
        else:
            made.update(
                {f"prediction.{output.name}.{k}": arrow_column(values[:, k]) for k in range(output.width)}
            )
    return pa.table(made)


def arrow_column(values: npt.NDArray[Any]) -> pa.Array:
    """A column as Arrow has it: a missing number is null."""
    if values.dtype == object:
        return pa.array(values.tolist(), pa.string())
    # A missing number is null in the file, as other tools expect.
    holes = np.isnan(values) if values.dtype.kind == "f" else None
    return pa.array(np.ascontiguousarray(values), mask=holes)


def without_target(
    table: pa.Table, target: str | None
) -> tuple[list[str], tuple[str, pa.ChunkedArray] | None]:
    """The names of the other columns, and the target; raise `Invalid` when there is no such column."""
    if target is None:
        return list(table.column_names), None
    if target not in table.column_names:
        raise Invalid(
            "the target is not a column of the reference data",
            field="target",
            found=target,
            expected=f"one of {table.column_names[:30]}",
        )
    return [name for name in table.column_names if name != target], (target, table.column(target))


def pick(columns: Mapping[str, npt.NDArray[Any]], rows: Any) -> dict[str, npt.NDArray[Any]]:
    """The chosen rows of each column."""
    return {name: values[rows] for name, values in columns.items()}
