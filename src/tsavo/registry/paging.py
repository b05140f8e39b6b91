"""Long lists, cut into pages by the database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

import sqlalchemy as sa

from tsavo.storage import Connection
from tsavo.vocabulary import Invalid, Page

__all__ = ["MAX_LIMIT", "items_of", "page_of"]

MAX_LIMIT: Final = 1000

T = TypeVar("T")


def page_of(
    connection: Connection,
    query: sa.Select[Any],
    build: Callable[[sa.Row[Any]], T],
    *,
    offset: int,
    limit: int,
    key: sa.Column[Any] | None = None,
) -> Page[T]:
    """Run `query` for one page and count the whole; raise `Invalid` for an impossible page.

    Parameters
    ----------
    key
        The column that tells rows apart, when it is also what they are ordered by. The rows before a page are then
        skipped in its index, and not read.
    """
    if offset < 0:
        raise Invalid("not a page", field="offset", found=offset, expected="0 or more")
    if not 1 <= limit <= MAX_LIMIT:
        raise Invalid("not a page size", field="limit", found=limit, expected=f"1 to {MAX_LIMIT}")
    total = connection.execute(
        sa.select(sa.func.count()).select_from(query.order_by(None).subquery())
    ).scalar_one()
    page = query.offset(offset).limit(limit)
    if key is not None and offset:
        page = query.where(key.in_(page.with_only_columns(key)))
    rows = connection.execute(page)
    return Page(items=tuple(build(row) for row in rows), total=total, offset=offset, limit=limit)


def items_of(page_at: Callable[[int], Page[T]]) -> Iterator[T]:
    """Every item of a list, whose pages `page_at` reads from an offset on."""
    offset: int | None = 0
    while offset is not None:
        page = page_at(offset)
        yield from page.items
        offset = page.next_offset
