"""The audit trail: every change of the control plane, with who, when, what before and after, and why.

An entry is written in the transaction of the change itself, so that there is never one without the other.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from tsavo.registry import page_of
from tsavo.storage import Connection, JsonText, UtcDateTime, metadata
from tsavo.vocabulary import Page

__all__ = ["AuditEntry", "audit", "list_audit"]

_audit = sa.Table(
    "audit",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("time", UtcDateTime, nullable=False),
    sa.Column("who", sa.String(200), nullable=False),
    sa.Column("action", sa.String(50), nullable=False),
    sa.Column("subject", sa.String(220), nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("before", JsonText()),
    sa.Column("after", JsonText()),
    sa.Index(None, "subject", "id"),
)


class AuditEntry(msgspec.Struct, frozen=True):
    """One change: `before` and `after` are the changed thing as JSON values."""

    id: int
    time: datetime
    who: str
    action: str
    subject: str
    why: str
    before: Any = None
    after: Any = None


def audit(
    connection: Connection,
    *,
    time: datetime,
    who: str,
    action: str,
    subject: str,
    why: str = "",
    before: Any = None,
    after: Any = None,
) -> None:
    """Write one entry into the transaction of the change."""
    connection.execute(
        _audit.insert().values(
            time=time, who=who, action=action, subject=subject, why=why, before=before, after=after
        )
    )


def list_audit(
    connection: Connection, *, subject: str | None = None, offset: int = 0, limit: int = 50
) -> Page[AuditEntry]:
    """Entries, newest first, about one `subject` (``endpoint:credit``) or all."""
    query = sa.select(_audit).order_by(_audit.c.id.desc())
    if subject is not None:
        query = query.where(_audit.c.subject == subject)
    return page_of(connection, query, _entry, offset=offset, limit=limit, key=_audit.c.id)


def _entry(row: sa.Row[Any]) -> AuditEntry:
    return AuditEntry(**row._mapping)
