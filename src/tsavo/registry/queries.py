"""Saved queries, all their versions, and the exports that are written from them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from tsavo.registry.paging import page_of
from tsavo.storage import Connection, JsonText, UtcDateTime, metadata
from tsavo.vocabulary import Export, NotFound, Page, SavedQuery, check_name

__all__ = [
    "delete_export",
    "due_exports",
    "find_export",
    "find_query",
    "get_query",
    "hide_query",
    "list_exports",
    "list_queries",
    "query_history",
    "query_number",
    "save_export",
    "save_query",
]

_queries = sa.Table(
    "saved_queries",
    metadata,
    sa.Column("name", sa.String(100), primary_key=True),
    # Numbers are never given twice, also when a name was taken out of the list and comes back.
    sa.Column("newest", sa.Integer, nullable=False),
    sa.Column("listed", sa.Boolean, nullable=False),
    sa.Column("description", sa.Text, nullable=False),
)
_versions = sa.Table(
    "saved_query_versions",
    metadata,
    sa.Column("name", sa.String(100), sa.ForeignKey("saved_queries.name"), primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("saved", JsonText(SavedQuery), nullable=False),
)
_exports = sa.Table(
    "exports",
    metadata,
    sa.Column("name", sa.String(100), primary_key=True),
    sa.Column("next", UtcDateTime, nullable=False),
    sa.Column("export", JsonText(Export), nullable=False),
    sa.Index(None, "next"),
)


def save_query(connection: Connection, saved: SavedQuery) -> None:
    """Keep a version of a query, which must have the next number, and list it."""
    check_name(saved.name, "name")
    values = {"newest": saved.number, "listed": True, "description": saved.description}
    if query_number(connection, saved.name) == 0:
        connection.execute(_queries.insert().values(name=saved.name, **values))
    else:
        connection.execute(_queries.update().where(_queries.c.name == saved.name).values(**values))
    connection.execute(_versions.insert().values(name=saved.name, number=saved.number, saved=saved))


def query_number(connection: Connection, name: str) -> int:
    """The number of the newest version, also of a query that is not listed any more; 0 when there never was one."""
    found = connection.execute(sa.select(_queries.c.newest).where(_queries.c.name == name)).scalar()
    return 0 if found is None else int(found)


def find_query(connection: Connection, name: str) -> SavedQuery | None:
    """The newest version of a query that is listed, or ``None``."""
    found = connection.execute(_newest().where(_queries.c.name == name)).one_or_none()
    return None if found is None else _saved(found)


def get_query(connection: Connection, name: str, number: int | None = None) -> SavedQuery:
    """A saved query, its newest version unless a number is given.

    Raises
    ------
    NotFound
        There is none, or it is not listed any more and no number is given.
    """
    if number is None:
        saved = find_query(connection, name)
    else:
        row = connection.execute(
            sa.select(_versions.c.saved).where(_versions.c.name == name, _versions.c.number == number)
        ).one_or_none()
        saved = None if row is None else _saved(row)
    if saved is None:
        raise NotFound(
            "there is no such saved query",
            field="name",
            found=name if number is None else f"{name}, version {number}",
            next_step="see 'tsavo query ls'",
        )
    return saved


def list_queries(
    connection: Connection, *, search: str = "", offset: int = 0, limit: int = 50
) -> Page[SavedQuery]:
    """The newest version of each query that is listed, by name; those whose name or description has `search` in it."""
    query = _newest().order_by(_queries.c.name)
    if search:
        query = query.where(
            _queries.c.name.contains(search, autoescape=True)
            | _queries.c.description.icontains(search, autoescape=True)
        )
    return page_of(connection, query, _saved, offset=offset, limit=limit, key=_queries.c.name)


def query_history(connection: Connection, name: str, *, offset: int = 0, limit: int = 50) -> Page[SavedQuery]:
    """All versions of a query, newest first."""
    query = sa.select(_versions.c.saved).where(_versions.c.name == name).order_by(_versions.c.number.desc())
    return page_of(connection, query, _saved, offset=offset, limit=limit)


def hide_query(connection: Connection, name: str) -> None:
    """Take a query out of the list; its versions stay."""
    connection.execute(_queries.update().where(_queries.c.name == name).values(listed=False))


def _newest() -> sa.Select[Any]:
    return (
        sa.select(_versions.c.saved)
        .join(
            _queries,
            (_queries.c.name == _versions.c.name) & (_queries.c.newest == _versions.c.number),
        )
        .where(_queries.c.listed)
    )


def _saved(row: sa.Row[Any]) -> SavedQuery:
    saved: SavedQuery = row.saved
    return saved


def save_export(connection: Connection, export: Export) -> None:
    """Keep an export, in the place of one of the same name."""
    check_name(export.name, "name")
    changed = connection.execute(
        _exports.update().where(_exports.c.name == export.name).values(next=export.next, export=export)
    )
    if changed.rowcount == 0:
        connection.execute(_exports.insert().values(name=export.name, next=export.next, export=export))


def find_export(connection: Connection, name: str) -> Export | None:
    """The export of this name, or ``None``."""
    row = connection.execute(sa.select(_exports.c.export).where(_exports.c.name == name)).one_or_none()
    return None if row is None else _export(row)


def list_exports(connection: Connection, *, offset: int = 0, limit: int = 50) -> Page[Export]:
    """Exports by name."""
    query = sa.select(_exports.c.export).order_by(_exports.c.name)
    return page_of(connection, query, _export, offset=offset, limit=limit)


def due_exports(connection: Connection, now: datetime, *, limit: int = 100) -> list[Export]:
    """Exports whose time has come, the longest overdue first."""
    query = sa.select(_exports.c.export).where(_exports.c.next <= now).order_by(_exports.c.next).limit(limit)
    return [_export(row) for row in connection.execute(query)]


def delete_export(connection: Connection, name: str) -> None:
    """Forget an export."""
    connection.execute(_exports.delete().where(_exports.c.name == name))


def _export(row: sa.Row[Any]) -> Export:
    export: Export = row.export
    return export
