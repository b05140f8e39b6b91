"""Relations that SQL over the lake is put together from, whoever reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, Protocol

import pyarrow as pa

from tsavo.lake.tables import DataFile

__all__ = ["Source", "Sources"]


class Source(NamedTuple):
    """A relation that queries can name, and its columns.

    Attributes
    ----------
    stored
        Of a struct: the fields that it has here, where it has not all that `schema` tells of.
    """

    name: str
    schema: pa.Schema
    stored: Mapping[str, tuple[str, ...]] = MappingProxyType({})

    def fields(self, struct: str) -> tuple[str, ...]:
        """The fields of a struct that SQL may name."""
        whole = self.schema.field(struct).type
        return self.stored.get(struct, tuple(field.name for field in whole))


class Sources(Protocol):
    """Who takes rows and files, and gives them names: a `Session` of ours, or the `Question` for a query's process."""

    def source(self, rows: pa.Table) -> Source:
        """Hand in rows."""

    def scan(
        self,
        files: Sequence[DataFile],
        schema: pa.Schema,
        bounded: Sequence[str] = (),
        partition_by: Sequence[str] = (),
    ) -> list[Source]:
        """Hand in files of a table, as `tables.dataset`; all of the rows are in one of the sources."""

    def define(self, view: str, query: str) -> None:
        """Give `query` a name; `view` is an SQL identifier, quoted already."""
