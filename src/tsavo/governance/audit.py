"""The audit trail: every change of the control plane, with who, when, what before and after, and why.

An entry is written in the transaction of the change itself, so that there is never one without the other. Each holds a
hash over itself and over the hash of the one before (`chain`): until the keeper has written it to the home's log, too,
an entry cannot be changed, taken out or put in without those behind it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa

from tsavo.registry import page_of
from tsavo.storage import Connection, JsonText, UtcDateTime, canonical, metadata
from tsavo.vocabulary import AuditEntry, Page

__all__ = ["AuditEntry", "audit", "audit_rows", "chain_of", "list_audit"]

_TOLD: Final = ("time", "who", "action", "subject", "why", "before", "after")
# Any number will do, as long as nobody else in this database takes it for another purpose.
_LOCK: Final = 0x7473_6176_6F41

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
    sa.Column("chain", sa.String(64)),
    sa.Index(None, "subject", "id"),
    sa.Index(None, "time"),
)


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
    if connection.dialect.name == "postgresql":
        # One at a time until the end of the transaction, so that numbers and hashes are in the order of the commits;
        # on SQLite a transaction that writes is alone anyway.
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
    newest = sa.select(_audit.c.chain).order_by(_audit.c.id.desc()).limit(1)
    told = {
        "time": time,
        "who": who,
        "action": action,
        "subject": subject,
        "why": why,
        "before": before,
        "after": after,
    }
    kept = {name: _as_kept(connection, name, value) for name, value in told.items()}
    chain = chain_of(connection.execute(newest).scalar() or "", kept)
    connection.execute(_audit.insert().values(**told, chain=chain))


def chain_of(previous: str, row: Mapping[str, Any]) -> str:
    """The hash that an entry holds: SHA-256 of the hash before it (in hexadecimal) and of the entry's texts as kept."""
    told = canonical([row[name] for name in _TOLD])
    return hashlib.sha256(previous.encode() + told).hexdigest()


def audit_rows(connection: Connection, after: int, limit: int) -> list[dict[str, Any]]:
    """Entries with numbers above `after`, oldest first, as they are kept: every value a text or a number."""
    kept = sa.table("audit", *(sa.column(column.name) for column in _audit.columns))
    query = sa.select(kept).where(kept.c.id > after).order_by(kept.c.id).limit(limit)
    return [dict(row._mapping) for row in connection.execute(query)]


def _as_kept(connection: Connection, name: str, value: Any) -> Any:
    kind = _audit.c[name].type
    if isinstance(kind, sa.types.TypeDecorator):
        return kind.process_bind_param(value, connection.dialect)
    return value


def list_audit(
    connection: Connection,
    *,
    subject: str | None = None,
    who: str | None = None,
    action: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    offset: int = 0,
    limit: int = 50,
) -> Page[AuditEntry]:
    """Entries, newest first.

    Parameters
    ----------
    subject
        About this alone: ``endpoint:credit``, ``model:credit``, ``version:credit@3``.
    who
        By this person alone.
    action
        Of this kind: ``endpoint.deploy``, or ``endpoint`` for all that begin so.
    since, until
        Of the time in [`since`, `until`).
    """
    query = sa.select(*(column for column in _audit.columns if column.name != "chain"))
    query = query.order_by(_audit.c.id.desc())
    if subject is not None:
        query = query.where(_audit.c.subject == subject)
    if who is not None:
        query = query.where(_audit.c.who == who)
    if action is not None:
        query = query.where(
            (_audit.c.action == action) | _audit.c.action.startswith(f"{action}.", autoescape=True)
        )
    if since is not None:
        query = query.where(_audit.c.time >= since)
    if until is not None:
        query = query.where(_audit.c.time < until)
    return page_of(connection, query, _entry, offset=offset, limit=limit, key=_audit.c.id)


def _entry(row: sa.Row[Any]) -> AuditEntry:
    return AuditEntry(**row._mapping)
