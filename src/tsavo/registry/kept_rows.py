"""The registry's rows as they are kept, hashed one by one: what the home's log says of them.

A row's hash is SHA-256 of its canonical JSON: an object of its columns, texts and numbers as the database keeps them,
truth values as 0 and 1. Both engines give the same.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

import sqlalchemy as sa

from tsavo.registry.migrate import schema_revision
from tsavo.registry.tables import counters, endpoints, members, models, routes, verifications, versions
from tsavo.storage import Connection, canonical

__all__ = ["LOGGED_TABLES", "registry_mark", "row_hash", "row_hashes"]

# What says which model answers what, and why; not counters, nor what alerts and monitors are up to.
LOGGED_TABLES: Final = (models, versions, endpoints, routes, members, verifications)
_PAGE: Final = 1000


def row_hash(row: dict[str, Any]) -> str:
    """The hash of one row: column -> value as kept."""
    return hashlib.sha256(canonical({name: _plain(value) for name, value in row.items()})).hexdigest()


def row_hashes(connection: Connection) -> dict[str, dict[str, str]]:
    """Table -> key (canonical JSON of the primary key's values) -> the row's hash."""
    return {table.name: _hashes(connection, table) for table in LOGGED_TABLES}


def registry_mark(connection: Connection) -> list[int]:
    """Numbers of which one moves with every change that Tsavo makes to these tables, a migration included."""
    audit = sa.table("audit", sa.column("id"))
    revision = sa.select(counters.c.value).where(counters.c.name == "route_revision").scalar_subquery()
    query = sa.select(
        sa.select(sa.func.max(audit.c.id)).scalar_subquery(),
        sa.select(sa.func.max(verifications.c.id)).scalar_subquery(),
        revision,
    )
    schema = int(schema_revision(connection) or 0)
    return [schema, *(value or 0 for value in connection.execute(query).one())]


def _hashes(connection: Connection, table: sa.Table) -> dict[str, str]:
    keys = [column.name for column in table.primary_key.columns]
    kept = sa.table(table.name, *(sa.column(column.name) for column in table.columns))
    hashes = {}
    for row in connection.execute(sa.select(kept).execution_options(yield_per=_PAGE)):
        values = dict(row._mapping)
        hashes[canonical([values[key] for key in keys]).decode()] = row_hash(values)
    return hashes


def _plain(value: Any) -> Any:
    return int(value) if isinstance(value, bool) else value
