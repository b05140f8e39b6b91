"""What verifications of versions found, each time."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from tsavo.registry.paging import page_of
from tsavo.registry.tables import verifications
from tsavo.storage import Connection
from tsavo.vocabulary import Page, Verification, VersionRef

__all__ = ["add_verification", "list_verifications"]


def add_verification(connection: Connection, found: Verification) -> None:
    """Keep what a verification found. The version must exist."""
    connection.execute(
        verifications.insert().values(
            model=found.version.model,
            number=found.version.number,
            time=found.time,
            verdict=found.verdict,
            found=found,
        )
    )


def list_verifications(
    connection: Connection, ref: VersionRef, *, offset: int = 0, limit: int = 50
) -> Page[Verification]:
    """Verifications of one version, newest first."""
    table = verifications
    query = (
        sa.select(table.c.found)
        .where(table.c.model == ref.model, table.c.number == ref.number)
        .order_by(table.c.id.desc())
    )
    return page_of(connection, query, _verification, offset=offset, limit=limit)


def _verification(row: sa.Row[Any]) -> Verification:
    found: Verification = row.found
    return found
