"""What tests of several rooms share: programs of the system, and both kinds of database."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.examples import SteppingClock
from tests.postgresql import execute, running_postgresql
from tests.system_packages import find_chromium, find_postgresql, found_or_installed
from tsavo.registry import migrate
from tsavo.storage import Database

_numbers = itertools.count()


@pytest.fixture(scope="session")
def chromium_path() -> str:
    """A chromium that playwright can drive."""
    return str(found_or_installed(find_chromium, "chromium"))


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """A PostgreSQL server of this test process; the URL has ``{database}`` where the database's name belongs."""
    with running_postgresql(found_or_installed(find_postgresql, "postgresql")) as url:
        yield url


@pytest.fixture
def postgresql_url(postgresql_server: str) -> Iterator[str]:
    """An empty PostgreSQL database of this test's own."""
    name = f"test_{next(_numbers)}"
    execute(postgresql_server, f"CREATE DATABASE {name}")
    yield postgresql_server.format(database=name)
    execute(postgresql_server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database: every test that asks for it runs on both engines."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'registry.db'}"
    url: str = request.getfixturevalue("postgresql_url")
    return url


@pytest.fixture
def database(empty_database_url: str) -> Iterator[Database]:
    """A registry's database with the present schema, on both engines."""
    database = Database(empty_database_url)
    migrate(database)
    yield database
    database.close()


@pytest.fixture
def clock() -> SteppingClock:
    """A clock that moves on by one second whenever it is read."""
    return SteppingClock()
