"""DuckDB as the lake uses it: in memory, without extensions, without files, one connection a question.

Data reaches it as Arrow only, so every way to a file, a folder or the network can be shut before a stranger's
query is read. A timer interrupts what takes too long.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, Final, NamedTuple

import duckdb
import pyarrow as pa

from tsavo.vocabulary import Invalid

__all__ = ["Session", "Source", "check_statement"]

_BATCH_ROWS: Final = 10_000
_READABLE: Final = (duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN)
# In this order: once external access is off, folders cannot be changed any more.
_SETTINGS: Final = {
    "temp_directory": "''",
    "TimeZone": "'UTC'",
    "enable_external_access": "false",
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
    "python_enable_replacements": "false",
}


class Source(NamedTuple):
    """A relation that queries can name, and its columns."""

    name: str
    schema: pa.Schema


class Session:
    """One DuckDB connection, closed to everything but what is handed to it.

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
        for name, value in _SETTINGS.items():
            connection.execute(f"SET {name} = {value}")
        connection.execute(f"SET memory_limit = '{self._memory_mib}MiB'")
        return connection

    def source(self, data: Any) -> Source:
        """Hand in an Arrow table or dataset under a name that no query would use."""
        name = f"tsavo source {self._sources}"
        self._sources += 1
        self._connection.register(name, data)
        return Source(name, data.schema)

    def define(self, view: str, query: str) -> None:
        """Give `query` a name; `view` is an SQL identifier, quoted already."""
        self._connection.execute(f"CREATE VIEW {view} AS {query}")

    def lock(self) -> None:
        """From now on no setting can be changed."""
        self._connection.execute("SET lock_configuration = true")

    def table(self, query: str) -> pa.Table:
        """Run a query of ours and return all of its rows."""
        return self._connection.sql(query).to_arrow_table()

    def limited(self, query: str, *, rows: int, seconds: float) -> tuple[pa.Table, bool]:
        """Run a stranger's query: at most `rows` rows, and whether there were more.

        Raises `Invalid` with DuckDB's own words, or when it takes longer than `seconds`.
        """
        with self._deadline(seconds) as late:
            try:
                # The relation is the query itself: rows come as they are asked for, and the rest is never computed.
                reader = self._connection.sql(query).to_arrow_reader(_BATCH_ROWS)
                batches, seen = [], 0
                for batch in reader:
                    batches.append(batch)
                    seen += batch.num_rows
                    if seen > rows:
                        break
                table = pa.Table.from_batches(batches, schema=reader.schema)
                reader.close()
            except (duckdb.Error, pa.ArrowException, OSError, RuntimeError, ValueError) as error:
                if late.is_set():
                    raise _too_slow(query, seconds) from error
                raise _refused(query, error) from error
            if late.is_set():
                raise _too_slow(query, seconds)
        return table.slice(0, rows), seen > rows

    @contextmanager
    def _deadline(self, seconds: float) -> Iterator[threading.Event]:
        late = threading.Event()
        done = threading.Event()

        def watch() -> None:
            if done.wait(seconds):
                return
            late.set()
            # Between two steps of a query there is nothing to interrupt: knock until somebody hears.
            while not done.wait(0.05):
                self._connection.interrupt()

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield late
        finally:
            done.set()
            watcher.join()


def check_statement(query: str) -> None:
    """Raise `Invalid` unless `query` is one statement that only reads."""
    try:
        with duckdb.connect(":memory:") as connection:
            statements = connection.extract_statements(query)
    except duckdb.Error as error:
        raise _refused(query, error) from error
    if len(statements) != 1:
        raise Invalid(
            "not one statement",
            field="query",
            found=f"{len(statements)} statements",
            expected="exactly one SELECT",
            next_step="send them one by one",
        )
    if statements[0].type not in _READABLE:
        raise Invalid(
            "only queries that read are answered",
            field="query",
            found=statements[0].type.name,
            expected="a SELECT, FROM, WITH, VALUES, DESCRIBE, SUMMARIZE or EXPLAIN",
            next_step="use the lake's Delta tables with a tool of your own to change or export data",
        )


def _refused(query: str, error: Exception) -> Invalid:
    return Invalid(
        str(error).strip(),
        field="query",
        found=query,
        expected="a query over decisions, outcomes, monitors or an endpoint's own name in double quotes",
    )


def _too_slow(query: str, seconds: float) -> Invalid:
    return Invalid(
        "the query took too long and was stopped",
        field="query",
        found=query,
        expected=f"an answer within {seconds:g} s",
        next_step="narrow it, for example by time, or ask for fewer columns",
    )
