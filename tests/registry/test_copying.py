"""A registry copied from one engine to the other says the same, and goes on counting where it was."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.examples import example_route, keep_versions
from tsavo.governance import audit, list_audit
from tsavo.registry import copy_registry, get_route, list_versions, save_route
from tsavo.storage import Connection, Database
from tsavo.vocabulary import Conflict

NOW = datetime(2026, 5, 4, 3, 2, 1, 123456, tzinfo=UTC)


def note(connection: Connection, subject: str) -> None:
    audit(connection, time=NOW, who="ada", action="test", subject=subject, before={"a": [1, None, "ü"]})


def test_there_and_back_again(database: Database, tmp_path: Path) -> None:
    with database.begin() as connection:
        keep_versions(connection, "credit", 3)
        route = save_route(connection, example_route("e"))
        for number in range(2_500):
            note(connection, f"s{number}")
    target = Database(f"sqlite:///{tmp_path / 'copy.db'}")
    copy_registry(database, target)
    with target.begin() as connection:
        assert get_route(connection, "e") == route
        assert [version.ref.number for version in list_versions(connection, "credit").items] == [3, 2, 1]
        with database.read() as original:
            assert list_audit(connection, limit=500) == list_audit(original, limit=500)
        note(connection, "after")
        assert list_audit(connection, limit=1).items[0].id == 2_501
    target.close()


def test_numbers_go_on_where_they_were_on_postgresql(postgresql_url: str, tmp_path: Path) -> None:
    from tsavo.registry import migrate

    source, target = Database(f"sqlite:///{tmp_path / 'source.db'}"), Database(postgresql_url)
    migrate(source)
    with source.begin() as connection:
        for number in range(7):
            note(connection, f"s{number}")
    copy_registry(source, target)
    with target.begin() as connection:
        note(connection, "after")
        assert [entry.id for entry in list_audit(connection, limit=2).items] == [8, 7]
    source.close()
    target.close()


def test_a_database_that_is_not_empty_is_refused(database: Database, tmp_path: Path) -> None:
    source = Database(f"sqlite:///{tmp_path / 'source.db'}")
    with pytest.raises(Conflict, match="not empty"):
        copy_registry(source, database)
    source.close()
