from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from tsavo.storage import Database, JsonText, UtcDateTime

TABLES = sa.MetaData()
THINGS = sa.Table(
    "things",
    TABLES,
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("moment", UtcDateTime),
    sa.Column("point", JsonText(tuple[int, ...])),
)


@pytest.fixture
def things(empty_database_url: str) -> Any:
    """A database with one table, on both engines."""
    database = Database(empty_database_url)
    with database.begin() as connection:
        TABLES.create_all(connection)
    yield database
    database.close()


def count(connection: sa.Connection) -> int:
    return int(connection.execute(sa.select(sa.func.count()).select_from(THINGS)).scalar_one())


def test_a_transaction_is_kept_or_undone_as_a_whole(things: Database) -> None:
    with things.begin() as connection:
        connection.execute(THINGS.insert().values(id=1))
    with pytest.raises(RuntimeError), things.begin() as connection:
        connection.execute(THINGS.insert().values(id=2))
        raise RuntimeError
    with things.read() as connection:
        assert count(connection) == 1


def test_a_reader_sees_one_moment_throughout(things: Database) -> None:
    with things.read() as connection:
        assert count(connection) == 0
        with things.begin() as other:
            other.execute(THINGS.insert().values(id=1))
        assert count(connection) == 0
    with things.read() as connection:
        assert count(connection) == 1


def test_readers_do_not_hinder_writers_nor_each_other(things: Database) -> None:
    with things.read() as one, things.read() as two:
        assert count(one) == count(two) == 0
        with things.begin() as connection:
            connection.execute(THINGS.insert().values(id=1))


def test_a_writer_still_writes_after_a_reader_used_its_connection(things: Database) -> None:
    for number in range(5):
        with things.read() as connection:
            assert count(connection) == number
        with things.begin() as connection:
            connection.execute(THINGS.insert().values(id=number))


def test_no_update_is_lost_among_writers_who_read_first(things: Database) -> None:
    with things.begin() as connection:
        connection.execute(THINGS.insert().values(id=0, point=(0,)))

    def add() -> None:
        for _ in range(20):
            with things.begin() as connection:
                (row,) = connection.execute(sa.select(THINGS.c.point).with_for_update())
                connection.execute(THINGS.update().values(point=(row.point[0] + 1,)))

    threads = [threading.Thread(target=add) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with things.read() as connection:
        assert connection.execute(sa.select(THINGS.c.point)).scalar_one() == (80,)


def test_moments_come_back_in_utc_and_sort_as_moments(things: Database) -> None:
    nairobi = timezone(timedelta(hours=3))
    moments = [
        datetime(2026, 3, 1, 2, 30, tzinfo=nairobi),
        datetime(2026, 3, 1, 0, 0, 0, 1, tzinfo=UTC),
        datetime(2026, 2, 28, 23, 45, tzinfo=UTC),
        datetime(2026, 3, 1, 0, 0, tzinfo=UTC),
    ]
    with things.begin() as connection:
        for number, moment in enumerate(moments):
            connection.execute(THINGS.insert().values(id=number, moment=moment))
        found = connection.execute(sa.select(THINGS.c.moment).order_by(THINGS.c.moment)).scalars().all()
    assert found == sorted(moments)
    assert all(moment is not None and moment.tzinfo is not None for moment in found)


def test_json_comes_back_as_the_type_that_was_promised(things: Database) -> None:
    with things.begin() as connection:
        connection.execute(THINGS.insert().values(id=1, point=(1, 2)))
        connection.execute(THINGS.insert().values(id=2, point=None))
        assert connection.execute(sa.select(THINGS.c.point).order_by(THINGS.c.id)).scalars().all() == [
            (1, 2),
            None,
        ]
        connection.execute(sa.text("UPDATE things SET point = '[\"a\"]' WHERE id = 1"))
        with pytest.raises(msgspec.ValidationError):
            connection.execute(sa.select(THINGS.c.point)).scalars().all()


@pytest.mark.parametrize("folder", ["plain", "with space", "100%25 of ? and # and ü"])
def test_a_read_only_database_can_be_read_and_not_changed(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir()
    path = tmp_path / folder / "registry.db"
    writer = Database(f"sqlite:///{path}")
    with writer.begin() as connection:
        TABLES.create_all(connection)
        connection.execute(THINGS.insert().values(id=1))
    writer.close()
    assert path.is_file()
    reader = Database(f"sqlite:///{path}", read_only=True)
    with reader.read() as connection:
        assert count(connection) == 1
    with pytest.raises(sa.exc.OperationalError, match="readonly"), reader.begin() as connection:
        connection.execute(THINGS.insert().values(id=2))
    reader.close()


def test_a_read_only_database_is_not_made(tmp_path: Path) -> None:
    reader = Database(f"sqlite:///{tmp_path / 'none.db'}", read_only=True)
    with pytest.raises(sa.exc.OperationalError), reader.read() as connection:
        count(connection)
    reader.close()
    assert list(tmp_path.iterdir()) == []


def test_what_is_committed_in_sqlite_survives_a_power_cut(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'registry.db'}")
    with database.begin() as connection:
        # 2 is FULL: the log is synced to disk at every commit (sqlite.org/pragma.html#pragma_synchronous).
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == 2
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar_one() == "wal"
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar_one() == 1
    database.close()
