"""Outcomes under business keys that wait for their decisions."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
import sqlalchemy as sa

from tsavo.registry.paging import page_of
from tsavo.storage import Connection, JsonText, UtcDateTime, metadata
from tsavo.vocabulary import Page, WaitingOutcome

__all__ = [
    "count_waiting",
    "drop_waiting",
    "endpoints_waiting",
    "keep_waiting",
    "list_waiting",
    "next_waiting",
]

_waiting = sa.Table(
    "waiting_outcomes",
    metadata,
    sa.Column("endpoint", sa.String(100), primary_key=True),
    # A digest of the key, its value and the moment: the same outcome sent again takes the place of the first.
    sa.Column("id", sa.String(64), primary_key=True),
    sa.Column("recorded", UtcDateTime, nullable=False),
    sa.Column("outcome", JsonText(WaitingOutcome), nullable=False),
    sa.Index(None, "endpoint", "recorded"),
)
_AT_ONCE: Final = 200


def keep_waiting(connection: Connection, outcomes: Iterable[WaitingOutcome]) -> None:
    """Keep outcomes; one of the same key, value and moment is replaced."""
    rows = {(one.endpoint, _digest(one)): one for one in outcomes}
    places = list(rows)
    for start in range(0, len(places), _AT_ONCE):
        piece = places[start : start + _AT_ONCE]
        # The endpoint is in no digest, so that one of another endpoint may have the same.
        for endpoint in {place[0] for place in piece}:
            digests = [digest for name, digest in piece if name == endpoint]
            connection.execute(
                _waiting.delete().where(_waiting.c.endpoint == endpoint, _waiting.c.id.in_(digests))
            )
    if rows:
        connection.execute(
            _waiting.insert(),
            [
                {"endpoint": endpoint, "id": digest, "recorded": one.recorded, "outcome": one}
                for (endpoint, digest), one in rows.items()
            ],
        )


def drop_waiting(connection: Connection, outcomes: Iterable[WaitingOutcome]) -> None:
    """Forget outcomes that have found their decision; one that was sent again meanwhile stays."""
    groups: dict[tuple[str, datetime], list[str]] = {}
    for one in outcomes:
        groups.setdefault((one.endpoint, one.recorded), []).append(_digest(one))
    for (endpoint, recorded), digests in groups.items():
        for start in range(0, len(digests), _AT_ONCE):
            connection.execute(
                _waiting.delete().where(
                    _waiting.c.endpoint == endpoint,
                    _waiting.c.recorded == recorded,
                    _waiting.c.id.in_(digests[start : start + _AT_ONCE]),
                )
            )


def count_waiting(connection: Connection, endpoint: str) -> int:
    """How many outcomes wait at an endpoint."""
    query = sa.select(sa.func.count()).select_from(_waiting).where(_waiting.c.endpoint == endpoint)
    return int(connection.execute(query).scalar_one())


def list_waiting(
    connection: Connection, endpoint: str, *, offset: int = 0, limit: int = 50
) -> Page[WaitingOutcome]:
    """What waits at an endpoint, the longest first."""
    return page_of(connection, _of(endpoint), _outcome, offset=offset, limit=limit)


def next_waiting(
    connection: Connection, endpoint: str, after: str, limit: int
) -> tuple[Sequence[WaitingOutcome], str]:
    """A piece of what waits, and where it ends (empty: there is no more); begins behind `after`, empty at the start."""
    query = (
        sa.select(_waiting.c.id, _waiting.c.outcome)
        .where(_waiting.c.endpoint == endpoint, _waiting.c.id > after)
        .order_by(_waiting.c.id)
        .limit(limit)
    )
    rows = connection.execute(query).all()
    return [row.outcome for row in rows], rows[-1].id if len(rows) == limit else ""


def endpoints_waiting(connection: Connection) -> set[str]:
    """Endpoints at which something waits."""
    return set(connection.execute(sa.select(_waiting.c.endpoint).distinct()).scalars())


def _of(endpoint: str) -> sa.Select[Any]:
    return (
        sa.select(_waiting.c.outcome)
        .where(_waiting.c.endpoint == endpoint)
        .order_by(_waiting.c.recorded, _waiting.c.id)
    )


def _outcome(row: sa.Row[Any]) -> WaitingOutcome:
    outcome: WaitingOutcome = row.outcome
    return outcome


def _digest(one: WaitingOutcome) -> str:
    return hashlib.sha256(msgspec.json.encode([one.key, one.value, one.time, one.every])).hexdigest()
