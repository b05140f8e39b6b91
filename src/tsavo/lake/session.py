"""DuckDB as the lake uses it for its own questions: in memory, without extensions, without files.

Data reaches it as Arrow only. Strangers' queries have processes of their own (`query_processes`).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import duckdb
import pyarrow as pa

from tsavo.lake.query_process import SETTINGS
from tsavo.lake.sources import Source
from tsavo.lake.tables import DataFile, dataset

__all__ = ["Session", "Source"]


class Session:
    """One DuckDB connection, closed to everything but what is handed to it; a `Sources`.

    Parameters
    ----------
    memory_mib
        Most memory that DuckDB may take for the query's own work; it never spills to disk.
    """

    def __init__(self, *, memory_mib: int = 2048) -> None:
        self._memory_mib = memory_mib
        self._sources = 0

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        if "_connection" in vars(self):
            self._connection.close()

    @cached_property
    def _connection(self) -> duckdb.DuckDBPyConnection:
        # Opened when it is needed: finding that an endpoint has nothing new takes no connection.
        connection = duckdb.connect(":memory:")
        for name, value in SETTINGS.items():
            connection.execute(f"SET {name} = {value}")
        connection.execute("SET enable_external_access = false")
        connection.execute(f"SET memory_limit = '{self._memory_mib:d}MiB'")
        return connection

    def source(self, rows: Any) -> Source:
        """Hand in an Arrow table or dataset under a name that no query would use."""
        name = f"tsavo source {self._sources}"
        self._sources += 1
        self._connection.register(name, rows)
        return Source(name, rows.schema)

    def scan(
        self,
        files: Sequence[DataFile],
        schema: pa.Schema,
        bounded: Sequence[str] = (),
        partition_by: Sequence[str] = (),
    ) -> list[Source]:
        """Hand in files as `tables.dataset` reads them."""
        return [self.source(dataset(files, schema, bounded, partition_by))]

    def define(self, view: str, query: str) -> None:
        """Give `query` a name; `view` is an SQL identifier, quoted already."""
        self._connection.execute(f"CREATE VIEW {view} AS {query}")

    def table(self, query: str) -> pa.Table:
        """Run a query of ours and return all of its rows."""
        return self._connection.sql(query).to_arrow_table()
