"""Saved queries and exports in the registry."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from tsavo.registry import (
    delete_export,
    due_exports,
    find_export,
    find_query,
    get_query,
    hide_query,
    list_exports,
    list_queries,
    query_history,
    query_number,
    save_export,
    save_query,
)
from tsavo.storage import Database
from tsavo.vocabulary import Export, ExportRun, Invalid, NotFound, SavedQuery

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def saved(name: str, number: int, text: str = "select 1", description: str = "") -> SavedQuery:
    return SavedQuery(name, number, text, description, "ann", NOON + timedelta(minutes=number))


def test_versions_are_kept_and_the_newest_is_listed(database: Database) -> None:
    with database.begin() as connection:
        save_query(connection, saved("late", 1, "select 1", "Who PAYS late?"))
        save_query(connection, saved("late", 2, "select 2", "Who pays late?"))
        save_query(connection, saved("busy", 1))
    with database.read() as connection:
        assert [(one.name, one.number) for one in list_queries(connection).items] == [
            ("busy", 1),
            ("late", 2),
        ]
        assert [one.number for one in query_history(connection, "late").items] == [2, 1]
        assert get_query(connection, "late") == saved("late", 2, "select 2", "Who pays late?")
        assert get_query(connection, "late", 1).query == "select 1"
        assert [one.name for one in list_queries(connection, search="PAYS").items] == ["late"]
        assert list_queries(connection, search="%").total == 0
        page = list_queries(connection, offset=1, limit=1)
        assert (page.total, page.items[0].name) == (2, "late")


def test_a_hidden_query_keeps_its_versions_and_goes_on_counting(database: Database) -> None:
    with database.begin() as connection:
        save_query(connection, saved("late", 1))
        hide_query(connection, "late")
        assert find_query(connection, "late") is None
        assert list_queries(connection).total == 0
        assert get_query(connection, "late", 1).number == 1
        assert query_number(connection, "late") == 1
        save_query(connection, saved("late", 2))
        assert find_query(connection, "late") == saved("late", 2)
    for name, number in (("late", 3), ("never", None)):
        with database.read() as connection, pytest.raises(NotFound):
            get_query(connection, name, number)


def test_a_name_that_is_none_is_refused(database: Database) -> None:
    with database.begin() as connection, pytest.raises(Invalid):
        save_query(connection, saved("../x", 1))


def test_exports_come_due_the_longest_overdue_first(database: Database) -> None:
    def export(name: str, minutes: int) -> Export:
        moment = NOON + timedelta(minutes=minutes)
        return Export(name, "select 1", "daily", "csv", 60, False, "ann", NOON, moment)

    with database.begin() as connection:
        for name, minutes in (("a", 3), ("b", 1), ("c", 2)):
            save_export(connection, export(name, minutes))
    with database.begin() as connection:
        assert [one.name for one in due_exports(connection, NOON + timedelta(minutes=2))] == ["b", "c"]
        assert due_exports(connection, NOON) == []
        ran = ExportRun(NOON, 0.5, rows=3, bytes=10, file="daily/b.csv")
        save_export(connection, replace(export("b", 9), last=ran))
        found = find_export(connection, "b")
        assert found is not None
        assert found.last == ran
        assert [one.name for one in due_exports(connection, NOON + timedelta(minutes=2))] == ["c"]
        delete_export(connection, "c")
        assert [one.name for one in list_exports(connection).items] == ["a", "b"]
