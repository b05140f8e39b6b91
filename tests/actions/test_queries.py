from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from tsavo.actions import ControlPlane, keep_query, remove_export, remove_query, schedule_export
from tsavo.actions.queries import exported_query, next_run
from tsavo.governance import Principal, Right, list_audit, local_owner
from tsavo.registry import find_export, list_queries
from tsavo.vocabulary import Forbidden, Invalid, NotFound, TooLarge

ADA = local_owner("ada")


def test_another_text_or_description_makes_a_version_and_the_same_makes_none(plane: ControlPlane) -> None:
    first = keep_query(plane, ADA, "late", "select 1", description="Who pays late?", why="asked by Bo")
    assert (first.number, first.by, first.why) == (1, "ada", "asked by Bo")
    assert keep_query(plane, ADA, "late", "select 1", description="Who pays late?") == first
    assert keep_query(plane, ADA, "late", "select 2", description="Who pays late?").number == 2
    assert keep_query(plane, ADA, "late", "select 2", description="Late payers").number == 3
    remove_query(plane, ADA, "late", why="wrong")
    assert keep_query(plane, ADA, "late", "select 2", description="Late payers").number == 4
    with plane.database.read() as connection:
        entries = list_audit(connection, subject="query:late").items
        assert [entry.action for entry in entries] == [
            "query.save",
            "query.remove",
            "query.save",
            "query.save",
            "query.save",
        ]
        assert (entries[1].why, entries[1].after) == ("wrong", None)
        assert entries[2].before["query"] == entries[2].after["query"] == "select 2"
        assert list_queries(connection).total == 1


@pytest.mark.parametrize(
    ("name", "query", "kind"),
    [
        ("Late", "select 1", Invalid),
        ("late", "drop table x", Invalid),
        ("late", "select 1; select 2", Invalid),
        ("late", "selec", Invalid),
        ("late", "select '" + "x" * 100_000 + "'", TooLarge),
    ],
    ids=["name", "changes", "two", "syntax", "long"],
)
def test_what_is_no_query_is_not_kept(
    plane: ControlPlane, name: str, query: str, kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        keep_query(plane, ADA, name, query)
    with plane.database.read() as connection:
        assert list_audit(connection).total == list_queries(connection).total == 0


SCHEDULE: dict[str, Any] = {
    "query": "select 1",
    "folder": "sales/daily",
    "every_seconds": 3600,
    "format": "csv",
}


def test_an_export_is_due_at_once_and_then_in_its_rhythm(plane: ControlPlane) -> None:
    export = schedule_export(plane, ADA, "late", **SCHEDULE)
    assert export.next == export.created
    hour = timedelta(hours=1)
    assert next_run(export, export.next) == export.next + hour
    assert next_run(export, export.next + 0.9 * hour) == export.next + hour
    # The keeper was down for a while: one run, and then the old rhythm.
    assert next_run(export, export.next + 5.5 * hour) == export.next + 6 * hour
    remove_export(plane, ADA, "late", why="nobody reads it")
    with plane.database.read() as connection:
        assert find_export(connection, "late") is None
        actions = [entry.action for entry in list_audit(connection, subject="export:late").items]
    assert actions == ["export.remove", "export.schedule"]
    with pytest.raises(NotFound):
        remove_export(plane, ADA, "late")


@pytest.mark.parametrize(
    "changes",
    [
        {"folder": "/etc"},
        {"folder": "../x"},
        {"folder": "a//b"},
        {"folder": ""},
        {"folder": "a/b/c/d/e/f"},
        {"folder": "a\\b"},
        {"every_seconds": 59},
        {"every_seconds": 10**9},
        {"format": "doc"},
        {"query": "drop table x"},
        {"query": "@Never"},
    ],
    ids=range(11),
)
def test_what_cannot_be_exported_is_refused_when_it_is_scheduled(
    plane: ControlPlane, changes: dict[str, Any]
) -> None:
    with pytest.raises((Invalid, NotFound)):
        schedule_export(plane, ADA, "late", **(SCHEDULE | changes))
    with plane.database.read() as connection:
        assert find_export(connection, "late") is None


def test_an_export_follows_the_newest_version_of_its_saved_query(plane: ControlPlane) -> None:
    keep_query(plane, ADA, "late", "select 1")
    export = schedule_export(plane, ADA, "late", **(SCHEDULE | {"query": "@late"}))
    keep_query(plane, ADA, "late", "select 2")
    with plane.database.read() as connection:
        assert exported_query(connection, export.query) == "select 2"


def test_who_lacks_the_right_changes_nothing(plane: ControlPlane) -> None:
    eve = replace(ADA, name="eve", rights=frozenset({Right.READ}))
    bo = Principal("bo", frozenset({Right.READ, Right.QUERY}))
    with pytest.raises(Forbidden):
        keep_query(plane, eve, "late", "select 1")
    keep_query(plane, bo, "late", "select 1")
    with pytest.raises(Forbidden):
        schedule_export(plane, bo, "late", **SCHEDULE)
