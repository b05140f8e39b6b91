from __future__ import annotations

import importlib
import pkgutil
import subprocess
import sys
import threading

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext

import tsavo
from tests.examples import example_route
from tsavo.registry import get_route, migrate, newest_revision, save_members, save_route, schema_revision
from tsavo.storage import Database, metadata
from tsavo.vocabulary import Conflict, Member, VersionRef


def import_every_module_with_tables() -> None:
    for module in pkgutil.walk_packages(tsavo.__path__, "tsavo."):
        room = module.name.split(".")[1]
        if room in {"registry", "governance", "alerts", "monitors"} and "migrations" not in module.name:
            importlib.import_module(module.name)


def test_the_migrations_make_exactly_the_tables_that_the_rooms_describe(database: Database) -> None:
    import_every_module_with_tables()
    with database.begin() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_type": True, "compare_server_default": True}
        )
        assert compare_metadata(context, metadata) == []


def test_migrating_again_changes_nothing(database: Database) -> None:
    with database.begin() as connection:
        before = schema_revision(connection)
    migrate(database)
    with database.read() as connection:
        assert schema_revision(connection) == before is not None
        assert newest_revision(connection) == 0


def test_a_home_from_before_families_goes_on(empty_database_url: str) -> None:
    database = Database(empty_database_url)
    config = Config()
    config.set_main_option("script_location", str(importlib.import_module("tsavo.registry.migrate")._SCRIPTS))
    with database.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0003")
        route = save_route(connection, example_route("credit"))
    migrate(database)
    with database.begin() as connection:
        (member,) = save_members(
            connection, "credit", [Member("credit", "north", VersionRef("credit", 1), 0)]
        )
        assert get_route(connection, "credit") == route
        assert newest_revision(connection) == member.revision == route.revision + 1
    database.close()


def test_an_empty_database_has_no_schema(empty_database_url: str) -> None:
    database = Database(empty_database_url)
    with database.read() as connection:
        assert schema_revision(connection) is None
    database.close()


def test_a_database_of_a_newer_tsavo_is_left_alone(database: Database) -> None:
    with database.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Conflict, match="newer Tsavo") as caught:
        migrate(database)
    assert "9999" in str(caught.value)


def test_processes_that_migrate_at_once_get_one_schema(empty_database_url: str) -> None:
    program = (
        "import sys; from tsavo.storage import Database; from tsavo.registry import migrate; "
        "print('ready', flush=True); input(); migrate(Database(sys.argv[1]))"
    )
    words = [sys.executable, "-c", program, empty_database_url]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(words, **pipes) for _ in range(3)]  # type: ignore[call-overload]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("\n")
        process.stdin.flush()
    for process in processes:
        _, said = process.communicate(timeout=60)
        assert process.returncode == 0, said
    database = Database(empty_database_url)
    with database.read() as connection:
        assert newest_revision(connection) == 0
    database.close()


def test_a_second_node_waits_while_the_first_one_migrates(postgresql_url: str) -> None:
    lock = importlib.import_module("tsavo.registry.migrate")._LOCK
    database = Database(postgresql_url)
    finished = threading.Event()

    def second_node() -> None:
        other = Database(postgresql_url)
        migrate(other)
        other.close()
        finished.set()

    thread = threading.Thread(target=second_node)
    with database.begin() as first_node:
        first_node.execute(sa.select(sa.func.pg_advisory_xact_lock(lock)))
        thread.start()
        assert not finished.wait(0.7)
        assert schema_revision(first_node) is None
    thread.join(30)
    assert finished.is_set()
    database.close()
