"""Back-tests: which there are, and how far they have come."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from tsavo.registry.paging import page_of
from tsavo.storage import Connection, JsonText, UtcDateTime, metadata
from tsavo.vocabulary import Backtest, Conflict, NotFound, Page

__all__ = ["add_backtest", "advance_backtest", "get_backtest", "list_backtests"]

_backtests = sa.Table(
    "backtests",
    metadata,
    sa.Column("name", sa.String(100), primary_key=True),
    # Kept beside the whole so that lists can be filtered and sorted in the database.
    sa.Column("endpoint", sa.String(100), nullable=False),
    sa.Column("created", UtcDateTime, nullable=False),
    sa.Column("backtest", JsonText(Backtest), nullable=False),
    sa.Index(None, "created"),
)


def add_backtest(connection: Connection, backtest: Backtest) -> None:
    """Keep a new back-test; raise `Conflict` when its name is taken."""
    taken = sa.select(_backtests.c.name).where(_backtests.c.name == backtest.name)
    if connection.execute(taken).scalar() is not None:
        raise Conflict(
            "there is a back-test of this name",
            field="name",
            found=backtest.name,
            next_step="choose another with --name",
        )
    connection.execute(
        _backtests.insert().values(
            name=backtest.name, endpoint=backtest.endpoint, created=backtest.created, backtest=backtest
        )
    )


def get_backtest(connection: Connection, name: str) -> Backtest:
    """A back-test; raise `NotFound` when there is none of this name."""
    query = sa.select(_backtests.c.backtest).where(_backtests.c.name == name)
    found: Backtest | None = connection.execute(query).scalar()
    if found is None:
        raise NotFound(
            "there is no such back-test", field="name", found=name, next_step="see 'tsavo backtest --list'"
        )
    return found


def advance_backtest(connection: Connection, before: Backtest, after: Backtest) -> None:
    """Keep how far it has come; raise `Conflict` when somebody else has taken it further meanwhile."""
    if get_backtest(connection, before.name).after != before.after:
        raise Conflict(
            "somebody else is running this back-test",
            field="name",
            found=before.name,
            next_step="let them finish, or run one of another name",
        )
    connection.execute(_backtests.update().where(_backtests.c.name == before.name).values(backtest=after))


def list_backtests(
    connection: Connection, *, endpoint: str | None = None, offset: int = 0, limit: int = 50
) -> Page[Backtest]:
    """Back-tests, newest first."""
    query = sa.select(_backtests.c.backtest).order_by(_backtests.c.created.desc(), _backtests.c.name)
    if endpoint is not None:
        query = query.where(_backtests.c.endpoint == endpoint)
    return page_of(connection, query, _backtest, offset=offset, limit=limit)


def _backtest(row: sa.Row[Any]) -> Backtest:
    found: Backtest = row.backtest
    return found
