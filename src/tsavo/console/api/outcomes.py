"""What really happened: recorded by decision id or business key, how late it comes, and what waits for its decision."""

from __future__ import annotations

from typing import Any

import msgspec

from tsavo.console.declaring import act, look
from tsavo.console.outcomes import (
    KeyedOutcomesGiven,
    OutcomesGiven,
    record_keyed,
    record_outcomes,
)
from tsavo.console.parts import ConsoleParts
from tsavo.governance import Principal, Right
from tsavo.lake import Labels
from tsavo.registry import MAX_LIMIT, get_route, get_version, list_waiting
from tsavo.vocabulary import Invalid, OutcomesRecorded, Page, Signature, WaitingOutcome

__all__ = ["OUTCOME_ROUTES"]


class WaitingView(msgspec.Struct, frozen=True):
    """Outcomes whose decision is not there yet, the oldest first.

    Attributes
    ----------
    by_id
        Those that name a decision id: a page of them. `total` is how many there are.
    keyed
        Those under a business key.
    """

    by_id: list[dict[str, Any]]
    total: int
    keyed: Page[WaitingOutcome]


@act("/api/endpoints/{endpoint:str}/outcomes", Right.OUTCOMES, summary="Record outcomes")
def outcomes(parts: ConsoleParts, endpoint: str, data: OutcomesGiven) -> OutcomesRecorded:
    """Record what really happened, by decision id; on disk when this answers."""
    return record_outcomes(parts, endpoint, _signature(parts, endpoint), data)


@act("/api/endpoints/{endpoint:str}/outcomes/keyed", Right.OUTCOMES, summary="Record outcomes by a key")
def keyed_outcomes(
    parts: ConsoleParts, who: Principal, endpoint: str, data: KeyedOutcomesGiven
) -> OutcomesRecorded:
    """Record what really happened to the decisions of a business key; on disk when this answers."""
    return record_keyed(parts, who, endpoint, _signature(parts, endpoint), data)


@look("/api/endpoints/{endpoint:str}/labels", summary="How many outcomes are known, and how late they come")
def labels(parts: ConsoleParts, endpoint: str) -> Labels:
    """Counts, and the lag from a decision to the recording of its first outcome: median and 95th percentile."""
    with parts.plane.database.read() as connection:
        get_route(connection, endpoint)
    return parts.lake.labels(endpoint)


@look("/api/endpoints/{endpoint:str}/waiting", Right.QUERY, summary="Outcomes that wait for their decision")
def waiting(parts: ConsoleParts, endpoint: str, offset: int = 0, limit: int = 50) -> WaitingView:
    """By decision id, and by business key; a page of each."""
    if offset < 0 or not 1 <= limit <= MAX_LIMIT:
        raise Invalid(
            "not a page", field="limit", found=f"{offset}, {limit}", expected=f"from 0, 1 to {MAX_LIMIT}"
        )
    with parts.plane.database.read() as connection:
        get_route(connection, endpoint)
        keyed = list_waiting(connection, endpoint, offset=offset, limit=limit)
    by_id, total = parts.lake.without_decision(endpoint, offset, limit)
    return WaitingView(by_id, total, keyed)


def _signature(parts: ConsoleParts, endpoint: str) -> Signature:
    with parts.plane.database.read() as connection:
        route = get_route(connection, endpoint)
        return get_version(connection, route.champion).signature


OUTCOME_ROUTES = [outcomes, keyed_outcomes, labels, waiting]
