from __future__ import annotations

import pytest

from tests.examples import NOON, example_route
from tsavo.governance import audit, list_audit
from tsavo.registry import find_route, save_route
from tsavo.storage import Connection, Database


def change_with_its_entry(connection: Connection, name: str = "credit") -> None:
    route = save_route(connection, example_route(name))
    audit(
        connection,
        time=NOON,
        who="ada",
        action="endpoint.deploy",
        subject=f"endpoint:{name}",
        why="first",
        after=route,
    )


def test_an_entry_says_who_when_what_and_why(database: Database) -> None:
    with database.begin() as connection:
        change_with_its_entry(connection)
    with database.read() as connection:
        (entry,) = list_audit(connection).items
    assert (entry.time, entry.who, entry.action, entry.subject, entry.why) == (
        NOON,
        "ada",
        "endpoint.deploy",
        "endpoint:credit",
        "first",
    )
    assert entry.before is None
    assert entry.after["champion"] == {"model": "credit", "number": 1}


def test_what_is_undone_leaves_neither_the_change_nor_its_entry(database: Database) -> None:
    with pytest.raises(RuntimeError), database.begin() as connection:
        change_with_its_entry(connection)
        raise RuntimeError
    with database.read() as connection:
        assert find_route(connection, "credit") is None
        assert list_audit(connection).total == 0


def test_entries_come_newest_first_and_by_subject(database: Database) -> None:
    with database.begin() as connection:
        for name in ("a", "b", "c"):
            change_with_its_entry(connection, name)
    with database.read() as connection:
        assert [entry.subject[-1] for entry in list_audit(connection).items] == ["c", "b", "a"]
        assert [entry.subject for entry in list_audit(connection, subject="endpoint:b").items] == [
            "endpoint:b"
        ]
        page = list_audit(connection, offset=1, limit=1)
        assert ([entry.subject[-1] for entry in page.items], page.total, page.next_offset) == (["b"], 3, 2)
