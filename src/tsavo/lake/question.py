"""What the process of a query is told beside the query: views, the files that they read, and rows that are in no file.

DuckDB reads the files itself, so that it skips what a query does not need: columns, fields of structs, groups of rows.
It is told the columns of the table's present version; a file of an earlier version that lacks some has nulls there. It
finds fields of structs by their place, whatever their names. So files whose structs differ are relations of their own,
each read with the structs that it has.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Final, TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq

from tsavo.lake.columns import quoted
from tsavo.lake.sources import Source
from tsavo.lake.tables import DataFile

__all__ = ["Question", "sql_type"]


class Question:
    """Collects what `catalog.define_views` makes; a `Sources`.

    Parameters
    ----------
    root
        The lake's folder: what the process may read, and what `files` are relative to.

    Attributes
    ----------
    views
        Statements that make the views.
    tables
        Name and rows of what lies in no file.
    files
        Every file that a view reads.
    """

    def __init__(self, root: Path) -> None:
        self.folder = str(root.absolute())
        self.views: list[str] = []
        self.tables: list[tuple[str, pa.Table]] = []
        self.files: list[str] = []
        self._prefix = f"{root}{os.sep}"
        self._sources = 0

    def source(self, rows: pa.Table) -> Source:
        """Hand in rows under a name that no query would use."""
        name = self._name()
        self.tables.append((name, rows))
        return Source(name, rows.schema)

    def scan(
        self,
        files: Sequence[DataFile],
        schema: pa.Schema,
        bounded: Sequence[str] = (),
        partition_by: Sequence[str] = (),
    ) -> list[Source]:
        """Hand in a table's files; columns of `partition_by`, which lie in no file, are left out."""
        # DuckDB finds the bounds of groups of rows in the files themselves.
        del bounded
        kept = pa.schema([field for field in schema if field.name not in partition_by])
        groups = _alike(files, [field.name for field in kept if pa.types.is_struct(field.type)])
        return [self._read(some, kept, stored) for stored, some in groups]

    def _read(self, files: Sequence[DataFile], schema: pa.Schema, stored: _Structs) -> Source:
        """Files whose structs are `stored` alike, or no files."""
        name = self._name()
        types = {field.name: stored.get(field.name, field.type) for field in schema}
        nothing = {
            column: f"CAST(NULL AS {sql_type(schema.field(column).type)}) AS {quoted(column)}"
            for column, kind in types.items()
            if kind is None or not files
        }
        query = f"SELECT {', '.join(nothing.get(column, quoted(column)) for column in types)}"
        if files:
            paths = [file.path.removeprefix(self._prefix) for file in files]
            self.files += paths
            columns = ", ".join(
                f"{_text(column)}: {{name: {_text(column)}, type: {_text(sql_type(kind))}, default_value: NULL}}"
                for column, kind in types.items()
                if kind is not None
            )
            query += f" FROM read_parquet([{', '.join(map(_text, paths))}], schema = MAP {{{columns}}})"
        else:
            query += " WHERE false"
        self.define(quoted(name), query)
        fields = {
            column: tuple(field.name for field in kind) for column, kind in stored.items() if kind is not None
        }
        return Source(name, schema, fields)

    def define(self, view: str, query: str) -> None:
        """Give `query` a name; `view` is an SQL identifier, quoted already."""
        self.views.append(f"CREATE VIEW {view} AS {query}")

    def _name(self) -> str:
        self._sources += 1
        return f"tsavo source {self._sources}"


_Structs: TypeAlias = "dict[str, pa.DataType | None]"


def _alike(files: Sequence[DataFile], structs: Sequence[str]) -> list[tuple[_Structs, list[DataFile]]]:
    """Files by what their structs are, where a struct is ``None`` that they lack; at least one group."""
    groups: dict[tuple[pa.DataType | None, ...], list[DataFile]] = {}
    for file in files:
        kinds = _struct_types(file.path, file.bytes) if structs else {}
        groups.setdefault(tuple(kinds.get(name) for name in structs), []).append(file)
    if not groups:
        return [({}, [])]
    return [(dict(zip(structs, kinds, strict=True)), some) for kinds, some in groups.items()]


@lru_cache(maxsize=100_000)
def _struct_types(path: str, size: int) -> dict[str, pa.DataType]:
    """The structs as they lie in a file. It never changes; `size` tells it from another under its name."""
    del size
    return {
        field.name: _SEEN.setdefault(field.type, field.type)
        for field in pq.read_schema(path)
        if pa.types.is_struct(field.type)
    }


# Most files have the same: each is kept once.
_SEEN: Final[dict[pa.DataType, pa.DataType]] = {}


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


_TYPES: Final = {
    pa.bool_(): "BOOLEAN",
    pa.int8(): "TINYINT",
    pa.int16(): "SMALLINT",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.float32(): "FLOAT",
    pa.float64(): "DOUBLE",
    pa.string(): "VARCHAR",
    pa.large_string(): "VARCHAR",
    pa.string_view(): "VARCHAR",
    pa.binary(): "BLOB",
    pa.large_binary(): "BLOB",
    pa.binary_view(): "BLOB",
    pa.date32(): "DATE",
    pa.timestamp("us"): "TIMESTAMP",
    pa.timestamp("us", tz="UTC"): "TIMESTAMPTZ",
}


def sql_type(arrow: pa.DataType) -> str:
    """DuckDB's name for the type of a column of a Delta table.

    >>> sql_type(pa.struct([("a", pa.list_(pa.int64())), ("b", pa.timestamp("us", tz="UTC"))]))
    'STRUCT("a" BIGINT[], "b" TIMESTAMPTZ)'

    Raises
    ------
    TypeError
        Delta has no such type.
    """
    if pa.types.is_struct(arrow):
        return f"STRUCT({', '.join(f'{quoted(field.name)} {sql_type(field.type)}' for field in arrow)})"
    if pa.types.is_list(arrow) or pa.types.is_large_list(arrow):
        return f"{sql_type(arrow.value_type)}[]"
    if pa.types.is_map(arrow):
        return f"MAP({sql_type(arrow.key_type)}, {sql_type(arrow.item_type)})"
    if pa.types.is_decimal(arrow):
        return f"DECIMAL({arrow.precision}, {arrow.scale})"
    if arrow not in _TYPES:
        raise TypeError(f"Delta tables have no columns of type {arrow}")
    return _TYPES[arrow]
