"""Back-testing: what another version would have answered to decisions of the past, in the batches of the past."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from tsavo.actions.asking_again import score_recorded
from tsavo.actions.control_plane import ControlPlane
from tsavo.endpoints.loaded import project
from tsavo.governance import Principal, Right, audit, require
from tsavo.lake import Lake, Recorded
from tsavo.registry import add_backtest, advance_backtest, find_route, get_backtest, get_version
from tsavo.runtimes.scoring_again import Outputs
from tsavo.vocabulary import (
    Backtest,
    Batch,
    Invalid,
    NotFound,
    Refused,
    Signature,
    Version,
    VersionRef,
    check_name,
    misfits,
)

__all__ = ["continue_backtest", "start_backtest"]

_PAGE_REQUESTS: Final = 500


def start_backtest(
    plane: ControlPlane,
    who: Principal,
    ref: VersionRef,
    endpoint: str,
    *,
    name: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> Backtest:
    """Set up a back-test of a version over the decisions of an endpoint; `continue_backtest` runs it.

    Parameters
    ----------
    name
        Of its table; by default made of the version, the endpoint and the time.
    since, until
        Decisions in [`since`, `until`); by default all until now.

    Raises
    ------
    NotFound
        When there is no such version or endpoint.
    Refused
        When the version cannot answer what callers of the endpoint send.
    Conflict
        When the name is taken.
    """
    require(who, Right.QUERY)
    now = plane.clock.now()
    made = name or f"{ref.model}-{ref.number}-on-{endpoint}-{now:%Y%m%d-%H%M%S}"[:100]
    backtest = Backtest(
        name=check_name(made, "name"),
        version=ref,
        endpoint=check_name(endpoint, "endpoint"),
        since=since,
        until=min(until or now, now),
        created=now,
        created_by=who.name,
    )
    if since is not None and since >= backtest.until:
        raise Invalid("no time is left", field="since", found=str(since), expected=f"before {backtest.until}")
    with plane.database.begin() as connection:
        version = get_version(connection, ref)
        route = find_route(connection, endpoint)
        if route is None:
            raise NotFound("there is no such endpoint", field="endpoint", found=endpoint)
        spoken = get_version(connection, route.champion).signature
        reasons = _lacks(spoken, version.signature)
        if reasons:
            raise Refused(
                f"{ref} cannot answer what callers of '{endpoint}' send: {'; '.join(reasons[:5])}",
                field="version",
                found=str(ref),
                expected=f"columns of {route.champion}",
                details=reasons,
            )
        add_backtest(connection, backtest)
        audit(
            connection,
            time=now,
            who=who.name,
            action="backtest.start",
            subject=f"backtest:{backtest.name}",
            after=msgspec.to_builtins(backtest),
        )
    return backtest


def _lacks(spoken: Signature, other: Signature) -> list[str]:
    """Why rows in terms of `spoken` cannot be put to `other`; what it answers may be something else."""
    return [reason for reason in misfits(spoken, other) if reason.startswith("column ")]


def continue_backtest(plane: ControlPlane, lake: Lake, who: Principal, name: str) -> Backtest:
    """Ask the version the next few hundred requests, and keep what it says; where nothing is left, it is finished.

    What was begun and not ended, by a crash, is asked again and kept once.

    Raises
    ------
    NotFound
        When there is no such back-test.
    Conflict
        When somebody else takes it further at the same time.
    """
    require(who, Right.QUERY)
    with plane.database.read() as connection:
        before = get_backtest(connection, name)
    if before.finished is not None:
        return before
    requests, more = lake.request_ids(
        before.endpoint,
        since=before.since,
        until=before.until,
        after=before.after,
        limit=_PAGE_REQUESTS,
    )
    recorded = [one for one in lake.recorded(before.endpoint, requests) if one.role != "shadow"]
    after = _kept(plane, lake, before, recorded)
    if requests:
        after = msgspec.structs.replace(after, after=requests[-1])
    if not more:
        after = msgspec.structs.replace(after, finished=plane.clock.now())
    with plane.database.begin() as connection:
        advance_backtest(connection, before, after)
    return after


def _kept(
    plane: ControlPlane,
    lake: Lake,
    before: Backtest,
    recorded: Sequence[Recorded],
) -> Backtest:
    """The back-test with these requests counted, whose answers are on disk."""
    rows = sum(len(one.rows) for one in recorded)
    failed = 0
    if recorded:
        with plane.database.read() as connection:
            version = get_version(connection, before.version)
        answers = _answers(plane, version, recorded)
        failed = sum(
            len(one.rows) for one, given in zip(recorded, answers, strict=True) if isinstance(given, str)
        )
        lake.append_backtest(before.name, recorded, version.signature, answers, before.decisions + rows)
    return msgspec.structs.replace(
        before,
        decisions=before.decisions + rows,
        failed=before.failed + failed,
    )


def _answers(plane: ControlPlane, version: Version, recorded: Sequence[Recorded]) -> list[Outputs]:
    signatures: dict[VersionRef, Signature] = {}
    batches: list[Batch] = []
    answers: list[Outputs | None] = []
    for one in recorded:
        ref = VersionRef(one.model, one.version)
        if ref not in signatures:
            with plane.database.read() as connection:
                signatures[ref] = get_version(connection, ref).signature
        reasons = _lacks(signatures[ref], version.signature)
        if one.erased:
            reasons = ["somebody whose data it is was erased", *reasons]
        answers.append("; ".join(reasons) or None)
        if not reasons:
            batches.append(project(one.batch, signatures[ref], version.signature))
    _, outputs = score_recorded(plane, {version.ref: batches})[version.ref]
    given = iter(outputs)
    return [next(given) if answer is None else answer for answer in answers]
