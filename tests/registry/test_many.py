"""Questions about many models, versions and endpoints at once say what asking one by one says, on both engines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.examples import REGRESSOR, example_route, keep_versions
from tsavo.registry import (
    get_route,
    list_routes,
    list_versions,
    newest_version,
    newest_versions,
    origins_of,
    routes_by_model,
    routes_of,
    save_route,
)
from tsavo.storage import Connection, Database

NAMES = ["credit", "debit", "empty", "nobody"]


@pytest.fixture
def connection(database: Database) -> Iterator[Connection]:
    """Three versions of ``credit``, one of ``debit``, none of ``empty``; five endpoints of ``credit``."""
    with database.begin() as connection:
        keep_versions(connection, "credit", 3)
        keep_versions(connection, "debit", 1, REGRESSOR)
        keep_versions(connection, "empty", 0)
        for endpoint in ("e", "c", "a", "d", "b"):
            save_route(connection, example_route(endpoint))
    with database.read() as connection:
        yield connection


def test_newest_versions(connection: Connection) -> None:
    found = newest_versions(connection, NAMES)
    assert found == {
        name: (newest_version(connection, name), list_versions(connection, name).total)
        for name in ("credit", "debit")
    }
    assert newest_versions(connection, []) == {}


def test_origins(connection: Connection) -> None:
    found = origins_of(connection, NAMES)
    assert set(found) == {"credit", "debit"}
    for name, origins in found.items():
        versions = list_versions(connection, name).items[::-1]
        assert [(one.ref, one.digest, one.lineage, one.hints) for one in origins] == [
            (one.ref, one.digest, one.lineage, one.hints) for one in versions
        ]
        assert {one.target for one in origins} == {"late"}


@pytest.mark.parametrize("limit", [1, 3, 50])
def test_routes_by_model(connection: Connection, limit: int) -> None:
    found = routes_by_model(connection, NAMES, limit=limit)
    assert found == {name: list_routes(connection, model=name, limit=limit) for name in NAMES}


def test_routes_of(connection: Connection) -> None:
    assert routes_of(connection, ["d", "nobody", "a", "d"]) == [
        get_route(connection, "a"),
        get_route(connection, "d"),
    ]
    assert routes_of(connection, []) == []


@pytest.mark.parametrize("order", ["name", "newest"])
@pytest.mark.parametrize("words", [{}, {"search": "e"}, {"plugged": False}, {"model": "credit"}], ids=str)
def test_pages_put_together_are_the_whole(connection: Connection, order: Any, words: dict[str, Any]) -> None:
    whole = list_routes(connection, order=order, **words)
    for limit in (1, 2, 3):
        pages = [
            list_routes(connection, order=order, offset=offset, limit=limit, **words)
            for offset in range(0, whole.total + limit, limit)
        ]
        assert tuple(route for page in pages for route in page.items) == whole.items
        assert {page.total for page in pages} == {whole.total}
