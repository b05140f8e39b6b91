"""Single decisions: their receipts, and replays of what was recorded."""

from __future__ import annotations

from datetime import datetime

import msgspec

from tsavo.actions import replay_decision, replay_next, replay_requests
from tsavo.console.crowding import REGISTRATIONS
from tsavo.console.declaring import act, look
from tsavo.console.moments import aware
from tsavo.console.parts import ConsoleParts
from tsavo.governance import Principal, Receipt, Right, receipt
from tsavo.vocabulary import Replay, ReplayPage, VersionRef

__all__ = ["DECISION_ROUTES", "receipt_of"]


class ReplaysGiven(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which requests: those of a time and a version, behind `after` (the `last` of the page before), or those named.

    Attributes
    ----------
    since, until
        Decided in [`since`, `until`).
    version
        Only what ``model@3`` answered.
    requests
        Ids of requests, at most 1,000; the rest is not looked at then.
    """

    since: datetime | None = None
    until: datetime | None = None
    version: str | None = None
    after: str = ""
    requests: tuple[str, ...] | None = None


@look("/api/decisions/{decision:str}", summary="The receipt of a decision", right=Right.QUERY)
def show_decision(parts: ConsoleParts, decision: str) -> Receipt:
    """What came in, what went out, which version, who put it there, what scored, what became of it, and its log."""
    return receipt_of(parts, decision)


def receipt_of(parts: ConsoleParts, decision_id: str) -> Receipt:
    """One decision; raise `NotFound` when there is none."""
    return receipt(parts.plane.database, parts.lake, parts.home, decision_id)


@act("/api/decisions/{decision:str}/replay", Right.QUERY, summary="Replay a decision")
async def replay_one(parts: ConsoleParts, who: Principal, decision: str) -> Replay:
    """Ask the version again, with all rows that it was asked together, and compare to the last bit."""
    return await REGISTRATIONS.run(lambda: replay_decision(parts.plane, parts.lake, who, decision))


@act("/api/endpoints/{endpoint:str}/replays", Right.QUERY, summary="Replay the next requests to an endpoint")
async def replay_some(parts: ConsoleParts, who: Principal, endpoint: str, data: ReplaysGiven) -> ReplayPage:
    """Replay a few hundred requests in the order of their time; go on with `last` as `after` until it is null."""
    requests = data.requests
    if requests is not None:
        return await REGISTRATIONS.run(
            lambda: replay_requests(parts.plane, parts.lake, who, endpoint, requests)
        )
    version = None if data.version is None else VersionRef.parse(data.version)
    return await REGISTRATIONS.run(
        lambda: replay_next(
            parts.plane,
            parts.lake,
            who,
            endpoint,
            since=aware(data.since),
            until=aware(data.until),
            version=version,
            after=data.after,
        )
    )


DECISION_ROUTES = [show_decision, replay_one, replay_some]
