"""Tables of any make, as Arrow: pandas, polars, Arrow itself, dicts of columns, lists of rows, files."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from tsavo.vocabulary import Invalid, NotFound, Unreadable

__all__ = ["as_table", "parquet_bytes", "read_table", "write_table"]

_SUFFIXES: Final = (".csv", ".parquet", ".json", ".jsonl", ".ndjson")


def as_table(data: Any) -> pa.Table:
    """`data` as an Arrow table; raise `Invalid` when it is no table.

    >>> as_table([{"a": 1, "b": "x"}, {"a": 2, "b": None}]).to_pydict()
    {'a': [1, 2], 'b': ['x', None]}
    """
    try:
        if isinstance(data, pa.Table):
            return data
        if hasattr(data, "iloc") and hasattr(data, "columns"):
            return pa.Table.from_pandas(data, preserve_index=False).replace_schema_metadata(None)
        if hasattr(data, "__arrow_c_stream__"):
            return pa.table(data)
        if isinstance(data, Mapping):
            return pa.table({str(name): list(values) for name, values in data.items()})
        if isinstance(data, Sequence) and all(isinstance(row, Mapping) for row in data):
            return pa.Table.from_pylist([dict(row) for row in data])
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise Invalid(f"not a table: {error}", field="table", found=type(data).__name__) from error
    raise Invalid(
        "not a table",
        field="table",
        found=type(data).__name__,
        expected="a DataFrame (pandas, polars), an Arrow table, a dict of columns or a list of row dicts",
    )


def parquet_bytes(table: pa.Table) -> bytes:
    """The table as a Parquet file."""
    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def read_table(path: Path, *, format: str | None = None, content: bytes | None = None) -> pa.Table:
    """Read a CSV, Parquet or JSON file (an array of rows, or one row a line).

    Parameters
    ----------
    format
        ``csv``, ``parquet`` or ``json``; by default what the file's name ends in.
    content
        The file's content when it was read already (from standard input).
    """
    kind = format or path.suffix.lower().removeprefix(".")
    try:
        raw = path.read_bytes() if content is None else content
    except FileNotFoundError as error:
        raise NotFound("there is no such file", field="file", found=str(path)) from error
    except OSError as error:
        raise Unreadable(
            f"the file cannot be read: {error.strerror}", field="file", found=str(path)
        ) from error
    try:
        if kind == "parquet":
            return pq.read_table(io.BytesIO(raw))
        if kind == "csv":
            options = pa.csv.ConvertOptions(strings_can_be_null=True, quoted_strings_can_be_null=False)
            return pa.csv.read_csv(io.BytesIO(raw), convert_options=options)
        if kind in ("json", "jsonl", "ndjson"):
            return _from_json(raw)
    except (pa.ArrowException, msgspec.MsgspecError, OSError, ValueError) as error:
        raise Unreadable(f"not a {kind} table: {error}", field="file", found=str(path)) from error
    raise Invalid(
        "not a kind of table that can be read",
        field="file",
        found=str(path),
        expected=f"a name that ends in one of {', '.join(_SUFFIXES)}",
        next_step="name the kind with --format",
    )


def _from_json(raw: bytes) -> pa.Table:
    stripped = raw.lstrip()
    if stripped.startswith(b"["):
        rows = msgspec.json.decode(stripped, type=list[dict[str, Any]])
    else:
        rows = [
            msgspec.json.decode(line, type=dict[str, Any]) for line in stripped.splitlines() if line.strip()
        ]
    return pa.Table.from_pylist(rows)


def write_table(table: pa.Table, path: Path, *, format: str | None = None) -> bytes:
    """The table as the bytes of a file of this kind (by default what the name ends in)."""
    kind = format or path.suffix.lower().removeprefix(".")
    if kind == "parquet":
        return parquet_bytes(table)
    if kind == "csv":
        sink = io.BytesIO()
        pa.csv.write_csv(_flattened(table), sink)
        return sink.getvalue()
    if kind == "json":
        return msgspec.json.encode(table.to_pylist()) + b"\n"
    if kind in ("jsonl", "ndjson"):
        return b"".join(msgspec.json.encode(row) + b"\n" for row in table.to_pylist())
    raise Invalid(
        "not a kind of table that can be written",
        field="output",
        found=str(path),
        expected=f"a name that ends in one of {', '.join(_SUFFIXES)}",
        next_step="name the kind with --format",
    )


def _flattened(table: pa.Table) -> pa.Table:
    """Lists as JSON text: a CSV cell holds one value."""
    for place, field in enumerate(table.schema):
        if pa.types.is_nested(field.type):
            texts = [
                None if value is None else msgspec.json.encode(value).decode()
                for value in table[place].to_pylist()
            ]
            table = table.set_column(place, field.name, pa.array(texts, pa.string()))
    return table
