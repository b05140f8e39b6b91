"""The registry's rows as hashes: the same on both engines, and each row by itself."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from tests.examples import NOON, example_route, keep_versions
from tsavo.registry import (
    LOGGED_TABLES,
    add_verification,
    migrate,
    registry_mark,
    row_hashes,
    save_members,
    save_route,
)
from tsavo.storage import Connection, Database, canonical
from tsavo.vocabulary import Member, Verification, VersionRef


def fill(connection: Connection) -> None:
    keep_versions(connection, "credit", 2)
    route = save_route(connection, example_route("credit"))
    save_members(connection, "credit", [Member("credit", "nörd", VersionRef("credit", 1), 0)])
    ref = VersionRef("credit", 1)
    add_verification(connection, Verification(ref, NOON, "ada", "same", "3 rows are the same"))
    assert route.plug is None


def test_both_engines_give_the_same(tmp_path: Path, postgresql_url: str) -> None:
    found = []
    for url in (f"sqlite:///{tmp_path / 'registry.db'}", postgresql_url):
        database = Database(url)
        migrate(database)
        with database.begin() as connection:
            fill(connection)
        with database.read() as connection:
            found.append(row_hashes(connection))
        database.close()
    assert found[0] == found[1]
    assert {name: len(rows) for name, rows in found[0].items()} == {
        "models": 1,
        "versions": 2,
        "endpoints": 1,
        "routes": 1,
        "members": 1,
        "verifications": 1,
    }
    assert list(found[0]["versions"]) == ['["credit",1]', '["credit",2]']
    assert list(found[0]["members"]) == ['["credit","nörd"]']


@pytest.mark.parametrize("table", LOGGED_TABLES, ids=lambda table: str(table.name))
def test_a_changed_cell_changes_its_row_and_no_other(database: Database, table: sa.Table) -> None:
    with database.begin() as connection:
        fill(connection)
        before = row_hashes(connection)
        keys = list(table.primary_key.columns)
        first = connection.execute(sa.select(*keys)).first()
        assert first is not None
    # As texts and numbers: what is written need not be what Tsavo would write.
    kept = sa.table(table.name, *(sa.column(one.name) for one in table.columns))
    this = sa.and_(*(kept.c[key.name] == value for key, value in zip(keys, first, strict=True)))
    for column in table.columns:
        if column.primary_key or column.foreign_keys:
            continue
        value: object = "changed"
        if isinstance(column.type, sa.Boolean):
            value = True
        elif isinstance(column.type, sa.Integer):
            value = 7
        with database.engine.connect() as connection:
            connection.execute(sa.update(kept).where(this).values({column.name: value}))
            after = row_hashes(connection)
            connection.rollback()
        different = [
            (name, row) for name in before for row in before[name] if before[name][row] != after[name][row]
        ]
        assert different == [(table.name, canonical(list(first)).decode())]


def test_every_change_moves_the_mark(database: Database) -> None:
    marks = []
    with database.begin() as connection:
        marks.append(registry_mark(connection))
        fill(connection)
        marks.append(registry_mark(connection))
        ref = VersionRef("credit", 2)
        add_verification(connection, Verification(ref, NOON, "ada", "same", "again"))
        marks.append(registry_mark(connection))
    assert marks[0] < marks[1] < marks[2]
