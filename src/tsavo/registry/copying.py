"""A registry copied from one database to another, whatever their engines."""

from __future__ import annotations

from typing import Final

import sqlalchemy as sa

from tsavo.registry.migrate import migrate, schema_revision
from tsavo.storage import Connection, Database, metadata
from tsavo.vocabulary import Conflict

__all__ = ["copy_registry"]

_ROWS: Final = 1000


def copy_registry(source: Database, target: Database) -> None:
    """Copy every row of every table, as of one moment, into a database that is empty.

    Raises
    ------
    Conflict
        `target` is not empty, or `source` has another schema than this Tsavo.
    """
    with target.read() as connection:
        if schema_revision(connection) is not None:
            raise Conflict(
                "the database is not empty",
                field="registry",
                found=target.engine.url.render_as_string(hide_password=True),
                expected="a database without tables",
                next_step="create a new database and name it",
            )
    migrate(target)
    with source.read() as reading, target.begin() as writing:
        found, present = schema_revision(reading), schema_revision(writing)
        if found != present:
            raise Conflict(
                "the registry has another schema than this Tsavo",
                field="registry",
                found=f"schema {found}",
                expected=f"schema {present}",
                next_step="start this Tsavo on the home once, which upgrades it",
            )
        # As they lie there, not as their columns read them: two engines, one text. Including tables that only
        # migrations know.
        tables = sa.MetaData()
        tables.reflect(reading)
        order = [table.name for table in metadata.sorted_tables if table.name in tables.tables]
        others = sorted(tables.tables.keys() - set(order) - {"alembic_version"})
        for name in [*order, *others]:
            _copy_table(tables.tables[name], reading, writing)


def _copy_table(table: sa.Table, reading: Connection, writing: Connection) -> None:
    target = sa.Table(table.name, sa.MetaData(), autoload_with=writing)
    writing.execute(target.delete())
    result = reading.execute(table.select())
    while rows := result.mappings().fetchmany(_ROWS):
        writing.execute(target.insert(), [dict(row) for row in rows])
    key = [
        column for column in target.primary_key.columns if isinstance(column.type, sa.Integer | sa.BigInteger)
    ]
    if writing.dialect.name == "postgresql" and len(key) == 1:
        name = f"pg_get_serial_sequence('{target.name}', '{key[0].name}')"
        writing.execute(
            sa.text(
                f"SELECT setval({name}, (SELECT max({key[0].name}) FROM {target.name}))"  # noqa: S608 -- names of our own schema
                f" WHERE {name} IS NOT NULL AND EXISTS (SELECT 1 FROM {target.name})"
            )
        )
