"""Replaying: recorded requests are asked of their versions again, and compared to the last bit.

A request is replayed in the batch in which it was asked, for a model may answer one row otherwise among a hundred.
Every model is read in a fresh worker process; a version that cannot be asked any more is a finding, not an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tsavo.actions.asking_again import score_recorded
from tsavo.actions.control_plane import ControlPlane
from tsavo.governance import Principal, Right, require
from tsavo.lake import Lake, Recorded
from tsavo.registry import get_route
from tsavo.runtimes.agreement import compare, plain, told_apart
from tsavo.runtimes.fingerprint import Fingerprint, differences, read_fingerprint, take_fingerprint
from tsavo.runtimes.scoring_again import Outputs
from tsavo.vocabulary import (
    Invalid,
    NotFound,
    Replay,
    ReplayPage,
    ReplayVerdict,
    Signature,
    Version,
    VersionRef,
    check_name,
    parse_decision_id,
)

__all__ = ["replay_decision", "replay_next", "replay_requests"]

_SHOWN: Final = 5
# What a caller waits for in one question.
_PAGE_REQUESTS: Final = 500
_MOST_REQUESTS: Final = 1_000
HIDDEN: Final = "(personal)"
"""Stands where a personal value would: replaying shows none."""
_NO_MODEL: Final = frozenset({"constant", "rules"})


def replay_decision(plane: ControlPlane, lake: Lake, who: Principal, decision_id: str) -> Replay:
    """Replay the rows among which this decision was made.

    Raises
    ------
    Invalid, NotFound
        When it is no decision id, or there is no such decision.
    """
    require(who, Right.QUERY)
    request, row = parse_decision_id(decision_id)
    found = lake.decision(decision_id)
    recorded = [
        one
        for one in lake.recorded(found["endpoint"], [request])
        if one.role == found["role"] and row in one.rows
    ]
    return _replays(plane, recorded)[0]


def replay_next(
    plane: ControlPlane,
    lake: Lake,
    who: Principal,
    endpoint: str,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    version: VersionRef | None = None,
    after: str = "",
) -> ReplayPage:
    """Replay the next requests to an endpoint, in the order of their time; shadows' answers too.

    Parameters
    ----------
    since, until
        Decided in [`since`, `until`).
    version
        Only what this version answered.
    after
        The `last` of the page before.

    Raises
    ------
    NotFound
        When there never was such an endpoint.
    """
    require(who, Right.QUERY)
    check_name(endpoint, "endpoint")
    wanted = None if version is None else (version.model, version.number)
    requests, more = lake.request_ids(
        endpoint, since=since, until=until, version=wanted, after=after, limit=_PAGE_REQUESTS
    )
    if not requests and not lake.request_ids(endpoint, limit=1)[0]:
        with plane.database.read() as connection:
            get_route(connection, endpoint)
    recorded = lake.recorded(endpoint, requests)
    if version is not None:
        recorded = [one for one in recorded if (one.model, one.version) == wanted]
    return _page(_replays(plane, recorded), requests[-1] if more else None)


def replay_requests(
    plane: ControlPlane, lake: Lake, who: Principal, endpoint: str, requests: Sequence[str]
) -> ReplayPage:
    """Replay these requests to an endpoint, at most 1,000 of them.

    Raises
    ------
    Invalid
        When there are more.
    NotFound
        When one was not recorded at this endpoint.
    """
    require(who, Right.QUERY)
    check_name(endpoint, "endpoint")
    if len(requests) > _MOST_REQUESTS:
        raise Invalid(
            "too many requests at once",
            field="requests",
            found=len(requests),
            expected=f"at most {_MOST_REQUESTS}",
        )
    recorded = lake.recorded(endpoint, requests)
    missing = sorted(set(requests) - {one.request for one in recorded})
    if missing:
        raise NotFound(
            f"'{endpoint}' has not recorded this request", field="requests", found=missing[0], next_step=None
        )
    return _page(_replays(plane, recorded), None)


def _page(replays: Sequence[Replay], last: str | None) -> ReplayPage:
    counts: dict[ReplayVerdict, int] = {}
    for one in replays:
        counts[one.verdict] = counts.get(one.verdict, 0) + len(one.rows)
    return ReplayPage(counts, tuple(one for one in replays if one.verdict != "same"), last)


def _replays(plane: ControlPlane, recorded: Sequence[Recorded]) -> list[Replay]:
    """One for each, in the same order."""
    now = _fingerprint()
    replays: list[Replay | None] = [_without_asking(plane, one) for one in recorded]
    groups: dict[VersionRef, list[int]] = {}
    for at, one in enumerate(recorded):
        if replays[at] is None:
            groups.setdefault(VersionRef(one.model, one.version), []).append(at)
    batches = {ref: [recorded[at].batch for at in places] for ref, places in groups.items()}
    answers = score_recorded(plane, batches)
    for ref, places in groups.items():
        version, outputs = answers[ref]
        for at, given in zip(places, outputs, strict=True):
            replays[at] = _compared(plane, recorded[at], version, given, now)
    return [one for one in replays if one is not None]


@lru_cache(maxsize=1)
def _fingerprint() -> Fingerprint:
    return take_fingerprint()


def _without_asking(plane: ControlPlane, one: Recorded) -> Replay | None:
    """What is known without asking the version; ``None`` when it is to be asked."""
    if one.role == "fallback" and any(_NO_MODEL.intersection(flags) for flags in one.flags):
        kind = "a rule table" if any("rules" in flags for flags in one.flags) else "a constant"
        return _told(one, "not-a-model", f"{kind} of the route had answered, and no model")
    if one.erased:
        rows = len(one.erased)
        what = (
            "whose data it is was erased"
            if len(one.rows) == 1
            else (f"whose data {rows} of the {len(one.rows)} rows are that were asked together was erased")
        )
        return _told(one, "erased", f"{what}, and nobody can read it any more")
    if not one.whole:
        return _told(one, "incomplete", "some of the rows that were asked together are not kept any more")
    return None


def _told(one: Recorded, verdict: ReplayVerdict, summary: str, **more: Any) -> Replay:
    return Replay(
        request=one.request,
        rows=one.rows,
        time=one.time,
        endpoint=one.endpoint,
        version=VersionRef(one.model, one.version),
        role=one.role,
        verdict=verdict,
        summary=summary,
        runtime_then=one.runtime,
        **more,
    )


def _compared(
    plane: ControlPlane, one: Recorded, version: Version | None, given: Outputs, now: Fingerprint
) -> Replay:
    then = read_fingerprint(one.runtime, plane.runtimes) if one.runtime else None
    told: dict[str, Any] = {
        "runtime_now": now.digest,
        "apart": None if then is None else differences(then, now),
    }
    if isinstance(given, str) or version is None:
        return _told(one, "breaks", str(given), **told)
    signature = version.signature
    exact = np.logical_and.reduce(
        [_same_bits(was, is_now) for was, is_now in zip(one.outputs, given, strict=True)]
    )
    rows = len(exact)
    differing = int((~exact).sum())
    if not differing:
        return _told(one, "same", _summary_same(rows, told["apart"]), **told)
    names = [output.name for output in signature.outputs]
    was, is_now = dict(zip(names, one.outputs, strict=True)), dict(zip(names, given, strict=True))
    comparison = compare(signature, was, is_now)
    changed = int(comparison.bad.sum())
    worst = {name: value if np.isfinite(value) else None for name, value in comparison.worst.items()}
    said = told_apart(worst)
    verdict: ReplayVerdict = "changed" if changed else "within-tolerance"
    how = (
        f"{changed} of {rows} rows give other answers"
        if changed
        else (f"{differing} of {rows} rows differ within the tolerance")
    )
    told |= {"differing": differing, "changed": changed, "worst": worst}
    shown = np.flatnonzero(comparison.bad if changed else ~exact)[:_SHOWN].tolist()
    told["first"] = tuple(_row(one, signature, was, is_now, at) for at in shown)
    reason = _why(told["apart"])
    return _told(one, verdict, how + (f": {said}" if said else "") + reason, **told)


def _same_bits(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """[rows] whether all of a row is equal to the last bit; every NaN is like another."""
    if one.dtype.kind == "f":
        bits = np.dtype(f"u{one.dtype.itemsize}")
        same = (one.view(bits) == other.view(bits)) | (np.isnan(one) & np.isnan(other))
    else:
        same = np.asarray(one == other, dtype=np.bool_)
    return np.asarray(same.reshape(len(same), -1).all(axis=1))


def _summary_same(rows: int, apart: dict[str, tuple[Any, Any]] | None) -> str:
    said = "the same answer" if rows == 1 else f"the same {rows} answers"
    said += ", bit by bit"
    if apart:
        said += f"; {_listed(apart)} differ from then, which does not matter here"
    return said


def _why(apart: dict[str, tuple[Any, Any]] | None) -> str:
    if apart is None:
        return "; what scored then is not known"
    return f"; {_listed(apart)} differ from then" if apart else "; nothing that is known differs from then"


def _listed(apart: dict[str, tuple[Any, Any]]) -> str:
    return ", ".join(f"{name} ({was} then, {now} now)" for name, (was, now) in apart.items())


def _row(
    one: Recorded,
    signature: Signature,
    was: dict[str, npt.NDArray[Any]],
    now: dict[str, npt.NDArray[Any]],
    at: int,
) -> dict[str, Any]:
    batch = one.batch
    columns = batch.columns if batch.matrix is None else batch.matrix.T
    inputs = {
        field.name: HIDDEN if place in one.hidden else plain(column[at])
        for place, (field, column) in enumerate(zip(signature.inputs, columns, strict=True))
    }
    return {
        "row": one.rows[at],
        "inputs": inputs,
        "recorded": {name: plain(values[at]) for name, values in was.items()},
        "now": {name: plain(values[at]) for name, values in now.items()},
    }
