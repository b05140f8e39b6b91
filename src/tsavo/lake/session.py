"""DuckDB as the lake uses it: in memory, without extensions, without files, one connection a question.

Data reaches it as Arrow only, so every way to a file, a folder or the network can be shut before a stranger's
query is read. A timer interrupts what takes too long, and what nobody waits for any more.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, Final, NamedTuple

import duckdb
import pyarrow as pa

from tsavo.lake.refusals import not_one_statement, not_reading, refused, stopped, too_slow

__all__ = ["Answer", "Session", "Source", "check_statement"]

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
    # It goes to standard output, which is a file's or a program's.
    "enable_progress_bar": "false",
}
_FAILURES: Final = (duckdb.Error, pa.ArrowException, OSError, RuntimeError, ValueError)


class Source(NamedTuple):
    """A relation that queries can name, and its columns."""

    name: str
    schema: pa.Schema


class Answer:
    """The rows of a query, computed as they are taken; taken once, by one thread at a time.

    Attributes
    ----------
    schema
        The columns.
    rows
        How many rows were handed out so far.
    truncated
        Whether there were more than the limit; known when all were taken.
    """

    def __init__(self, reader: pa.RecordBatchReader, limit: int, watch: _Watch) -> None:
        self.schema: pa.Schema = reader.schema
        self.rows = 0
        self.truncated = False
        self._reader, self._limit, self._watch = reader, limit, watch

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        while not self.truncated:
            with self._watch.translated():
                batch = next(self._reader, None)
            if batch is None:
                return
            left = self._limit - self.rows
            # One row beyond the limit is looked for, so that an answer of exactly so many rows is not called cut.
            self.truncated = batch.num_rows > left
            batch = batch.slice(0, left) if self.truncated else batch
            self.rows += batch.num_rows
            if batch.num_rows:
                yield batch

    def table(self) -> pa.Table:
        """All rows; a cut answer has ``truncated`` = ``true`` in its schema's metadata."""
        table = pa.Table.from_batches(list(self), schema=self.schema)
        return table.replace_schema_metadata({"truncated": "true"}) if self.truncated else table

    def stop(self) -> None:
        """Stop computing, from any thread; who takes rows meanwhile gets `Invalid`."""
        self._watch.stop()


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
        connection.execute(f"SET memory_limit = '{self._memory_mib:d}MiB'")
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

    @contextmanager
    def answered(
        self,
        query: str,
        *,
        rows: int,
        seconds: float,
        names: Collection[str] = (),
        stop: threading.Event | None = None,
    ) -> Iterator[Answer]:
        """Run a stranger's query; its rows are computed as they are taken, at most `rows` of them.

        Parameters
        ----------
        seconds
            For everything until the block ends.
        names
            Every view that there could be, for a refusal to name those that were perhaps meant.
        stop
            Set by somebody else, it stops the query; it is set when the block ends.

        Raises
        ------
        Invalid
            With DuckDB's reason in plain words, or when it takes longer than `seconds`.
        """
        watch = _Watch(self._connection, query, seconds, names, self._memory_mib, stop or threading.Event())
        with watch:
            with watch.translated():
                # The relation is the query itself: rows come as they are asked for, and the rest is never computed.
                reader = self._connection.sql(query).to_arrow_reader(_BATCH_ROWS)
            try:
                yield Answer(reader, rows, watch)
            finally:
                reader.close()


class _Watch:
    """Knocks at a connection when time is over or nobody waits, and says afterwards which it was."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        query: str,
        seconds: float,
        names: Collection[str],
        memory_mib: int,
        wake: threading.Event,
    ) -> None:
        self._connection = connection
        self._query, self._seconds = query, seconds
        self._names, self._memory_mib = names, memory_mib
        self._late = False
        self._wake = wake
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._knock, daemon=True)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._wake.set()
        self._thread.join()

    def stop(self) -> None:
        self._wake.set()

    def _knock(self) -> None:
        self._late = not self._wake.wait(self._seconds)
        # Between two steps of a query there is nothing to interrupt: knock until somebody hears.
        while not self._done.is_set():
            self._connection.interrupt()
            self._done.wait(0.05)

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Failures of DuckDB, and being late, as refusals."""
        try:
            yield
        except _FAILURES as error:
            raise self._why() or refused(
                self._query, error, self._names, memory_mib=self._memory_mib
            ) from error
        if (why := self._why()) is not None:
            raise why

    def _why(self) -> Exception | None:
        if self._wake.is_set() and not self._done.is_set():
            return stopped(self._query)
        return too_slow(self._query, self._seconds) if self._late else None


def check_statement(query: str, names: Collection[str] = ()) -> None:
    """Raise `Invalid` unless `query` is one statement that only reads; `names` as in `Session.answered`."""
    try:
        with duckdb.connect(":memory:") as connection:
            statements = connection.extract_statements(query)
    except duckdb.Error as error:
        raise refused(query, error, names) from error
    if len(statements) != 1:
        raise not_one_statement(len(statements))
    if statements[0].type not in _READABLE:
        raise not_reading(statements[0].type.name)
