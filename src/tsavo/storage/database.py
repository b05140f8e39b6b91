"""The SQL engine behind the control plane: SQLite (write-ahead log) or PostgreSQL, one schema.

Rooms define their tables on the `metadata` here; the migrations that create them lie in the registry room.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote

import msgspec
import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.engine.interfaces import DBAPIConnection

__all__ = ["Connection", "Database", "JsonText", "UtcDateTime", "metadata"]

# How long a connection to SQLite waits for the others.
_BUSY_SECONDS: Final = 10.0

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class UtcDateTime(sa.types.TypeDecorator[datetime]):
    """A moment in UTC, kept as ISO 8601 text so that both engines sort and return it alike."""

    impl = sa.String(32)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> str | None:
        """Write a timezone-aware moment with six digits of a second."""
        return None if value is None else value.astimezone(UTC).isoformat(timespec="microseconds")

    def process_result_value(self, value: Any | None, dialect: sa.Dialect) -> datetime | None:
        """Read it back, timezone-aware."""
        return None if value is None else datetime.fromisoformat(value)


class JsonText(sa.types.TypeDecorator[Any]):
    """A msgspec struct (or plain JSON value) kept as JSON text and read back as `kind`."""

    impl = sa.Text
    cache_ok = True

    def __init__(self, kind: Any = Any) -> None:
        super().__init__()
        self.kind = kind

    def process_bind_param(self, value: Any | None, dialect: sa.Dialect) -> str | None:
        """Encode."""
        return None if value is None else msgspec.json.encode(value).decode()

    def process_result_value(self, value: Any | None, dialect: sa.Dialect) -> Any | None:
        """Decode and check against `kind`."""
        return None if value is None else msgspec.json.decode(value, type=self.kind)


class Database:
    """Opens connections and transactions.

    Parameters
    ----------
    url
        ``sqlite:///path`` or ``postgresql+psycopg://…``.
    read_only
        Open a SQLite file without the possibility to change it (for a home that is stopped).
    """

    def __init__(self, url: str, *, read_only: bool = False) -> None:
        self.url = url
        self._sqlite = url.startswith("sqlite")
        arguments: dict[str, Any] = {"timeout": 10, "check_same_thread": False} if self._sqlite else {}
        where = _sqlite_url(url.removeprefix("sqlite:///"), read_only) if self._sqlite else url
        self.engine: Engine = sa.create_engine(where, connect_args=arguments, pool_pre_ping=not self._sqlite)
        self._reading: dict[str, Any] = (
            {"tsavo_read": True}
            if self._sqlite
            else {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
        )
        if self._sqlite:
            sa.event.listen(
                self.engine, "connect", _prepare_sqlite_read_only if read_only else _prepare_sqlite
            )
            sa.event.listen(self.engine, "begin", _begin_deferred if read_only else _begin_immediate)

    @contextmanager
    def begin(self) -> Iterator[Connection]:
        """A transaction: committed when the block ends, undone when it raises."""
        with self.engine.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A consistent view for reading; takes no write lock."""
        with self.engine.connect().execution_options(**self._reading) as connection:
            yield connection

    def scrub(self) -> None:
        """Empty SQLite's write-ahead log, which may hold what was deleted; others in the way are let go first.

        PostgreSQL keeps deleted rows until it vacuums, which it does by itself.
        """
        if self._sqlite:
            with self.engine.connect().execution_options(tsavo_read=True) as connection:
                raw = connection.connection.driver_connection
                assert raw is not None  # noqa: S101 -- it is open
                connection.rollback()
                raw.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def close(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def _sqlite_url(path: str, read_only: bool) -> sa.URL:
    # The path is not parsed as a part of a URL: a home may have '?' or '%' in its name.
    if not read_only:
        return sa.URL.create("sqlite", database=path)
    return sa.URL.create("sqlite", database=f"file:{quote(path)}", query={"mode": "ro", "uri": "true"})


def _prepare_sqlite(connection: DBAPIConnection, _record: Any) -> None:
    # sqlite3 must not begin transactions by itself: `_begin_immediate` does.
    connection.isolation_level = None
    cursor = connection.cursor()
    cursor.execute(f"PRAGMA busy_timeout={round(_BUSY_SECONDS * 1000)}")
    _write_ahead(cursor)
    # What is deleted, a person's data perhaps, is overwritten.
    for pragma in ("synchronous=FULL", "foreign_keys=ON", "secure_delete=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _write_ahead(cursor: Any) -> None:
    """Switch to the write-ahead log; SQLite does not wait for others who make the same switch on a new file."""
    deadline = time.monotonic() + _BUSY_SECONDS
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _prepare_sqlite_read_only(connection: DBAPIConnection, _record: Any) -> None:
    connection.isolation_level = None


def _begin_immediate(connection: Connection) -> None:
    # Taking the write lock at once avoids the dead end of two readers that both want to write.
    reading = connection.get_execution_options().get("tsavo_read")
    connection.exec_driver_sql("BEGIN" if reading else "BEGIN IMMEDIATE")


def _begin_deferred(connection: Connection) -> None:
    connection.exec_driver_sql("BEGIN")
