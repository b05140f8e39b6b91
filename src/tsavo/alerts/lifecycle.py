"""Alerts: opened by a finding that used up its error budget, then acknowledged and resolved by people.

A monitor's evidence may be looked at after every row, so its alarm latches: one alert per monitor, subject and
version, however long the evidence stays high. A new version starts with new monitors and so with a new budget.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from tsavo.governance import audit
from tsavo.registry import page_of
from tsavo.storage import Connection, JsonText, UtcDateTime, metadata
from tsavo.vocabulary import Alert, AlertState, Conflict, Finding, Note, NotFound, Page

__all__ = ["acknowledge", "count_open", "get_alert", "list_alerts", "raise_alerts", "resolve"]

_alerts = sa.Table(
    "alerts",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("endpoint", sa.String(100), nullable=False),
    sa.Column("monitor", sa.String(100), nullable=False),
    sa.Column("kind", sa.String(20), nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("version", sa.String(120), nullable=False),
    sa.Column("state", sa.String(20), nullable=False),
    sa.Column("opened", UtcDateTime, nullable=False),
    sa.Column("evidence", sa.Float, nullable=False),
    sa.Column("budget", sa.Float, nullable=False),
    sa.Column("text", sa.Text, nullable=False),
    sa.Column("figures", JsonText(dict[str, Any]), nullable=False),
    sa.Column("acknowledged", UtcDateTime),
    sa.Column("acknowledged_by", sa.String(200), nullable=False),
    sa.Column("resolved", UtcDateTime),
    sa.Column("notes", JsonText(tuple[Note, ...]), nullable=False),
    sa.UniqueConstraint("endpoint", "monitor", "version", "subject"),
    sa.Index(None, "state", "id"),
)

# Evidence can grow past what a JSON or SQL number holds; beyond this nobody needs the exact figure.
_MOST_EVIDENCE = 1e300


def raise_alerts(connection: Connection, findings: Sequence[Finding], now: datetime) -> list[Alert]:
    """Open an alert for every finding in alarm that has none yet; return the new ones.

    A monitor that speaks for the endpoint as a whole (subject ``""``) gets one alert, not one a column: what moved
    is in its text.
    """
    opened = []
    speaks_for_all = {(finding.endpoint, finding.monitor) for finding in findings if not finding.subject}
    for finding in findings:
        if not finding.alarm or finding.evidence is None or finding.threshold is None:
            continue
        if finding.subject and (finding.endpoint, finding.monitor) in speaks_for_all:
            continue
        mine = (
            (_alerts.c.endpoint == finding.endpoint)
            & (_alerts.c.monitor == finding.monitor)
            & (_alerts.c.version == finding.version)
            & (_alerts.c.subject == finding.subject)
        )
        if connection.execute(sa.select(_alerts.c.id).where(mine)).first() is not None:
            continue
        key = connection.execute(
            _alerts.insert()
            .values(
                endpoint=finding.endpoint,
                monitor=finding.monitor,
                kind=finding.kind,
                subject=finding.subject,
                version=finding.version,
                state="open",
                opened=now,
                evidence=min(finding.evidence, _MOST_EVIDENCE),
                budget=1 / finding.threshold,
                text=finding.text,
                figures=finding.figures,
                acknowledged_by="",
                notes=(),
            )
            .returning(_alerts.c.id)
        ).scalar_one()
        opened.append(get_alert(connection, key))
    return opened


def get_alert(connection: Connection, key: int) -> Alert:
    """One alert; raise `NotFound` when there is none."""
    row = connection.execute(sa.select(_alerts).where(_alerts.c.id == key)).one_or_none()
    if row is None:
        raise NotFound(
            "there is no such alert", field="alert", found=key, next_step="see 'tsavo alerts --all'"
        )
    return _alert(row)


def list_alerts(
    connection: Connection,
    *,
    endpoint: str | None = None,
    state: AlertState | None = None,
    offset: int = 0,
    limit: int = 50,
) -> Page[Alert]:
    """Alerts, newest first, of one `endpoint` and in one `state` or all."""
    query = sa.select(_alerts).order_by(_alerts.c.id.desc())
    if endpoint is not None:
        query = query.where(_alerts.c.endpoint == endpoint)
    if state is not None:
        query = query.where(_alerts.c.state == state)
    return page_of(connection, query, _alert, offset=offset, limit=limit)


def count_open(connection: Connection, endpoints: Sequence[str]) -> dict[str, int]:
    """How many open alerts each of these endpoints has; those with none are left out."""
    query = (
        sa.select(_alerts.c.endpoint, sa.func.count())
        .where(_alerts.c.state == "open", _alerts.c.endpoint.in_(endpoints))
        .group_by(_alerts.c.endpoint)
    )
    return {row[0]: row[1] for row in connection.execute(query)}


def acknowledge(connection: Connection, key: int, *, by: str, now: datetime, note: str = "") -> Alert:
    """Say that a person has seen an alert; raise `Conflict` unless it is open."""
    return _move(connection, key, "acknowledged", by=by, now=now, note=note)


def resolve(connection: Connection, key: int, *, by: str, now: datetime, note: str = "") -> Alert:
    """Say that an alert is dealt with; raise `Conflict` when it is resolved already."""
    return _move(connection, key, "resolved", by=by, now=now, note=note)


def _move(connection: Connection, key: int, state: AlertState, *, by: str, now: datetime, note: str) -> Alert:
    before = get_alert(connection, key)
    if before.state in {state, "resolved"}:
        raise Conflict(
            f"this alert is {before.state} already",
            field="alert",
            found=key,
            expected="an open alert" if state == "acknowledged" else "an alert that is not resolved",
        )
    changes: dict[str, Any] = {"state": state}
    if state == "acknowledged":
        changes |= {"acknowledged": now, "acknowledged_by": by}
    else:
        changes |= {"resolved": now}
    if note:
        changes["notes"] = (*before.notes, Note(by=by, time=now, text=note))
    # Somebody else may have moved it since it was read.
    unchanged = (_alerts.c.id == key) & (_alerts.c.state == before.state)
    if connection.execute(_alerts.update().where(unchanged).values(changes)).rowcount != 1:
        raise Conflict(
            "this alert was changed meanwhile",
            field="alert",
            found=key,
            next_step="look at it with 'tsavo alerts' and try again",
        )
    after = msgspec.structs.replace(before, **changes)
    audit(
        connection,
        time=now,
        who=by,
        action=f"alert.{state}",
        subject=f"endpoint:{before.endpoint}",
        why=note,
        before=before,
        after=after,
    )
    return after


def _alert(row: sa.Row[Any]) -> Alert:
    return Alert(**row._mapping)
