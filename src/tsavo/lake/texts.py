"""Values that a file format has no word for, as text: intervals, and lists and structs where a cell holds one value."""

from __future__ import annotations

from typing import Any

import msgspec
import pyarrow as pa

from tsavo.vocabulary import Invalid

__all__ = ["plain_texts", "python_columns"]


def plain_texts(table: pa.Table, *, nested: bool = False) -> pa.Table:
    """The table with such columns as text.

    Parameters
    ----------
    nested
        Lists, structs and maps become JSON text; bytes become hexadecimal digits.

    >>> plain_texts(pa.table({"x": [[1, 2], None]}), nested=True).to_pydict()
    {'x': ['[1,2]', None]}
    """
    for place, field in enumerate(table.schema):
        if pa.types.is_interval(field.type) or pa.types.is_duration(field.type):
            texts = _texts(table[place], _span)
        elif nested and pa.types.is_nested(field.type):
            texts = _texts(table[place], lambda value: msgspec.json.encode(value, enc_hook=str).decode())
        elif nested and (pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type)):
            texts = _texts(table[place], bytes.hex)
        elif nested and pa.types.is_dictionary(field.type):
            texts = table[place].cast(field.type.value_type)
        elif nested and pa.types.is_null(field.type):
            texts = table[place].cast(pa.string())
        else:
            continue
        table = table.set_column(place, field.name, texts)
    return table


def _texts(column: pa.ChunkedArray, said: Any) -> pa.Array:
    return pa.array([None if value is None else said(value) for value in column.to_pylist()], pa.string())


def _span(value: Any) -> str:
    """An interval as ISO 8601 writes it; a duration as Python does."""
    if not isinstance(value, pa.MonthDayNano):
        return str(value)
    seconds = f"{value.nanoseconds / 1e9:.9f}".rstrip("0").rstrip(".")
    return f"P{value.months}M{value.days}DT{seconds}S"


def python_columns(table: pa.Table | pa.RecordBatch) -> list[list[Any]]:
    """The columns as Python's own values; raise `Invalid` for what Python has no value for."""
    columns = []
    for name, column in zip(table.schema.names, table.columns, strict=True):
        try:
            columns.append(column.to_pylist())
        except (pa.ArrowException, OverflowError, ValueError) as error:
            raise Invalid(
                f"a value of the column {name!r} cannot be shown: {error}",
                field="query",
                found=str(column.type),
                next_step="cast it to text, as in cast(x as varchar)",
            ) from error
    return columns
