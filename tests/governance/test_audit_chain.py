"""The audit trail's chain of hashes, on both engines."""

from __future__ import annotations

import hashlib
import importlib
import json
import threading

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

from tests.examples import NOON
from tsavo.governance import audit, audit_rows, list_audit
from tsavo.registry import migrate
from tsavo.storage import Connection, Database

TOLD = ("time", "who", "action", "subject", "why", "before", "after")


def write(connection: Connection, number: int) -> None:
    audit(
        connection,
        time=NOON,
        who="ada",
        action="endpoint.deploy",
        subject=f"endpoint:e{number}",
        why="because ü",
        after={"number": number},
    )


def by_hand(rows: list[dict[str, object]]) -> list[str]:
    """The chain as docs/audit.md describes it."""
    chain, links = "", []
    for row in rows:
        told = json.dumps([row[name] for name in TOLD], ensure_ascii=False, separators=(",", ":"))
        chain = hashlib.sha256(f"{chain}{told}".encode()).hexdigest()
        links.append(chain)
    return links


def rows_of(database: Database) -> list[dict[str, object]]:
    with database.read() as connection:
        return audit_rows(connection, 0, 10_000)


def test_every_entry_binds_all_before_it(database: Database) -> None:
    with database.begin() as connection:
        for number in range(5):
            write(connection, number)
    with database.begin() as connection:
        write(connection, 5)
    rows = rows_of(database)
    assert [row["chain"] for row in rows] == by_hand(rows)
    with database.begin() as connection:
        connection.execute(sa.text("UPDATE audit SET who = 'eve' WHERE id = 3"))
    rows = rows_of(database)
    agree = [row["chain"] == link for row, link in zip(rows, by_hand(rows), strict=True)]
    assert agree == [True, True, False, False, False, False]


def test_entries_of_many_at_once_are_one_chain_in_the_order_of_their_numbers(database: Database) -> None:
    def work(start: int) -> None:
        for number in range(start, start + 5):
            with database.begin() as connection:
                write(connection, number)

    threads = [threading.Thread(target=work, args=(start * 100,)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = rows_of(database)
    assert len(rows) == 20
    assert [row["chain"] for row in rows] == by_hand(rows)


def test_the_trail_of_an_older_home_is_chained_when_it_is_migrated(empty_database_url: str) -> None:
    database = Database(empty_database_url)
    config = Config()
    config.set_main_option("script_location", str(importlib.import_module("tsavo.registry.migrate")._SCRIPTS))
    with database.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, "0004")
        insert = sa.text(
            "INSERT INTO audit (time, who, action, subject, why, after)"
            " VALUES ('2026-03-01T12:00:00.000000+00:00', 'ada', 'x', :subject, 'ü', '{}')"
        )
        connection.execute(insert, [{"subject": f"endpoint:{number}"} for number in range(3)])
    migrate(database)
    with database.begin() as connection:
        write(connection, 7)
        assert list_audit(connection).total == 4
    rows = rows_of(database)
    assert [row["chain"] for row in rows] == by_hand(rows)
    database.close()
