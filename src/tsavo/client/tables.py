"""Tables of any make, as Arrow: pandas, polars, Arrow itself, arrays, dicts of columns, lists of rows, files."""

from __future__ import annotations

import io
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from tsavo.vocabulary import Invalid, NotFound, Unreadable

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["as_table", "check_writable", "parquet_bytes", "read_table", "write_table"]

_SUFFIXES: Final = (".csv", ".parquet", ".json", ".jsonl", ".ndjson")


def as_table(data: Any) -> pa.Table:
    """`data` as an Arrow table; raise `Invalid` when it is no table.

    The columns of an array [rows, columns] are called ``x0``, ``x1`` and so on, as scikit-learn calls them.

    >>> as_table([{"a": 1}, {"a": 2, "b": "x"}]).to_pydict()
    {'a': [1, 2], 'b': [None, 'x']}
    """
    import pyarrow as pa

    try:
        table = _converted(data)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise Invalid(f"not a table: {error}", field="table", found=type(data).__name__) from error
    if table is None:
        raise Invalid(
            "not a table",
            field="table",
            found=type(data).__name__,
            expected="a DataFrame (pandas, polars), an Arrow table, a dict of columns or a list of row dicts",
        )
    twice = sorted({name for name in table.column_names if table.column_names.count(name) > 1})
    if twice:
        raise Invalid("columns occur twice", field="table", found=twice, expected="each name once")
    return table


def _converted(data: Any) -> pa.Table | None:
    import numpy as np
    import pyarrow as pa

    if isinstance(data, pa.Table):
        return data
    if hasattr(data, "iloc") and hasattr(data, "columns"):
        return pa.Table.from_pandas(data, preserve_index=False).replace_schema_metadata(None)
    if hasattr(data, "__arrow_c_stream__") or isinstance(data, pa.RecordBatch):
        return pa.table(data)
    if isinstance(data, np.ndarray) and data.ndim == 2:
        return pa.table({f"x{place}": np.ascontiguousarray(data[:, place]) for place in range(data.shape[1])})
    if isinstance(data, Mapping):
        return pa.table({str(name): _values(values) for name, values in data.items()})
    if isinstance(data, Sequence) and all(isinstance(row, Mapping) for row in data):
        # Not from_pylist: that takes the first row's keys for all.
        names = dict.fromkeys(str(name) for row in data for name in row)
        return pa.table({name: pa.array([row.get(name) for row in data], from_pandas=True) for name in names})
    return None


def _values(values: Any) -> Any:
    """One column of a dict: an array, a series of any make, or a list."""
    import pyarrow as pa

    if isinstance(values, str | bytes) or not hasattr(values, "__iter__"):
        raise TypeError(f"a column is a list or an array, not {type(values).__name__}")
    if isinstance(values, pa.Array | pa.ChunkedArray):
        return values
    return pa.array(values.tolist() if hasattr(values, "tolist") else list(values), from_pandas=True)


def parquet_bytes(table: pa.Table) -> bytes:
    """The table as a Parquet file."""
    import pyarrow.parquet as pq

    sink = io.BytesIO()
    pq.write_table(table, sink)
    return sink.getvalue()


def read_table(
    path: Path, *, format: str | None = None, content: bytes | None = None, text: Collection[str] = ()
) -> pa.Table:
    """Read a CSV, Parquet or JSON file (an array of rows, or one row a line).

    Parameters
    ----------
    format
        ``csv``, ``parquet`` or ``json``; by default what the file's name ends in.
    content
        The file's content when it was read already (from standard input).
    text
        Columns of a CSV file that are text whatever they look like: ``01234`` stays ``01234``.

    Raises
    ------
    NotFound, Unreadable
        When there is no such file, or it is not what its name says.
    Invalid
        When the kind of file is not known.
    """
    import pyarrow as pa

    kind = format or path.suffix.lower().removeprefix(".")
    if f".{kind}" not in _SUFFIXES:
        raise _unknown_kind("file", path, "read")
    raw = _content(path) if content is None else content
    try:
        return as_table(_parsed(raw, kind, text))
    except (pa.ArrowException, msgspec.MsgspecError, OSError, ValueError) as error:
        raise Unreadable(f"not a {kind} table: {error}", field="file", found=str(path)) from error


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise NotFound("there is no such file", field="file", found=str(path)) from error
    except OSError as error:
        raise Unreadable(
            f"the file cannot be read: {error.strerror}", field="file", found=str(path)
        ) from error


def _parsed(raw: bytes, kind: str, text: Collection[str]) -> Any:
    import pyarrow as pa

    if kind == "parquet":
        import pyarrow.parquet as pq

        return pq.read_table(io.BytesIO(raw))
    if kind == "csv":
        import pyarrow.csv as pcsv

        options = pcsv.ConvertOptions(
            strings_can_be_null=True,
            quoted_strings_can_be_null=False,
            column_types=dict.fromkeys(text, pa.string()),
        )
        return pcsv.read_csv(io.BytesIO(raw), convert_options=options)
    stripped = raw.lstrip()
    if stripped.startswith(b"["):
        return msgspec.json.decode(stripped, type=list[dict[str, Any]])
    return [msgspec.json.decode(line, type=dict[str, Any]) for line in stripped.splitlines() if line.strip()]


def check_writable(path: Path, *, format: str | None = None) -> None:
    """Raise `Invalid` when `write_table` would not know this kind, `NotFound` when the folder is not there."""
    if f".{format or path.suffix.lower().removeprefix('.')}" not in _SUFFIXES:
        raise _unknown_kind("output", path, "written")
    if not path.parent.is_dir():
        raise NotFound("there is no such folder", field="output", found=str(path.parent))


def write_table(table: pa.Table, path: Path, *, format: str | None = None) -> bytes:
    """The table as the bytes of a file of this kind (by default what the name ends in)."""
    kind = format or path.suffix.lower().removeprefix(".")
    if kind == "parquet":
        return parquet_bytes(table)
    if kind == "csv":
        import pyarrow.csv as pcsv

        sink = io.BytesIO()
        pcsv.write_csv(_flattened(table), sink)
        return sink.getvalue()
    if kind == "json":
        return msgspec.json.encode(table.to_pylist(), enc_hook=str) + b"\n"
    if kind in ("jsonl", "ndjson"):
        return b"".join(msgspec.json.encode(row, enc_hook=str) + b"\n" for row in table.to_pylist())
    raise _unknown_kind("output", path, "written")


def _unknown_kind(field: str, path: Path, done: str) -> Invalid:
    return Invalid(
        f"not a kind of table that can be {done}",
        field=field,
        found=str(path),
        expected=f"a name that ends in one of {', '.join(_SUFFIXES)}",
        next_step="name the kind with --format" if field == "file" else None,
    )


def _flattened(table: pa.Table) -> pa.Table:
    """Lists as JSON text: a CSV cell holds one value."""
    import pyarrow as pa

    for place, field in enumerate(table.schema):
        if pa.types.is_nested(field.type):
            texts = [
                None if value is None else msgspec.json.encode(value, enc_hook=str).decode()
                for value in table[place].to_pylist()
            ]
            table = table.set_column(place, field.name, pa.array(texts, pa.string()))
    return table
