"""Erasures: who was erased, under their pseudonym, and how far that has come."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa

from tsavo.registry.paging import page_of
from tsavo.storage import Connection, JsonText, UtcDateTime, metadata
from tsavo.vocabulary import Erasure, NotFound, Page

__all__ = ["change_erasure", "get_erasure", "list_erasures", "pending_erasures", "save_erasure"]

_erasures = sa.Table(
    "erasures",
    metadata,
    sa.Column("id", sa.String(36), primary_key=True),
    # Kept beside the whole so that lists can be filtered and sorted in the database.
    sa.Column("subject", sa.String(32), nullable=False),
    sa.Column("time", UtcDateTime, nullable=False),
    sa.Column("pending", sa.Boolean, nullable=False),
    sa.Column("erasure", JsonText(Erasure), nullable=False),
    sa.Index(None, "subject"),
    sa.Index(None, "time"),
)


def save_erasure(connection: Connection, erasure: Erasure) -> None:
    """Keep an erasure, or how far it has come."""
    values = {
        "subject": erasure.subject,
        "time": erasure.time,
        "pending": erasure.pending,
        "erasure": erasure,
    }
    if not connection.execute(_erasures.update().where(_erasures.c.id == erasure.id).values(values)).rowcount:
        connection.execute(_erasures.insert().values(id=erasure.id, **values))


def change_erasure(connection: Connection, erasure_id: str, change: Callable[[Erasure], Erasure]) -> Erasure:
    """Keep what `change` makes of an erasure, which nobody else changes meanwhile."""
    query = sa.select(_erasures.c.erasure).where(_erasures.c.id == erasure_id).with_for_update()
    after = change(connection.execute(query).scalar_one())
    save_erasure(connection, after)
    return after


def get_erasure(connection: Connection, erasure_id: str) -> Erasure:
    """An erasure by its id; raise `NotFound` when there is none."""
    query = sa.select(_erasures.c.erasure).where(_erasures.c.id == erasure_id)
    found: Erasure | None = connection.execute(query).scalar()
    if found is None:
        raise NotFound(
            "there is no such erasure", field="id", found=erasure_id, next_step="see 'tsavo erase --list'"
        )
    return found


def pending_erasures(connection: Connection) -> Sequence[Erasure]:
    """Erasures that the keeper has not finished, the oldest first."""
    query = sa.select(_erasures.c.erasure).where(_erasures.c.pending.is_(True)).order_by(_erasures.c.time)
    return list(connection.execute(query).scalars())


def list_erasures(
    connection: Connection, *, subject: str | None = None, offset: int = 0, limit: int = 50
) -> Page[Erasure]:
    """Erasures, the newest first; of one pseudonym, if one is given."""
    query = sa.select(_erasures.c.erasure).order_by(_erasures.c.time.desc(), _erasures.c.id)
    if subject is not None:
        query = query.where(_erasures.c.subject == subject)
    return page_of(connection, query, _erasure, offset=offset, limit=limit)


def _erasure(row: sa.Row[Any]) -> Erasure:
    found: Erasure = row.erasure
    return found
