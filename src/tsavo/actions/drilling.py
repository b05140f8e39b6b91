"""Fire drills: begin one, and add up what the gateway workers found."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec

from tsavo.actions.control_plane import ControlPlane
from tsavo.actions.route_changes import change_route, existing
from tsavo.governance import Principal, Right, require
from tsavo.registry import get_route
from tsavo.storage import Connection, IdSource
from tsavo.vocabulary import (
    Conflict,
    Drill,
    DrillReport,
    Invalid,
    NotFound,
    Route,
    StepReport,
    StepTried,
    WorkerDrill,
    check_name,
)

__all__ = ["drill_report", "find_drill_report", "start_drill"]

_MOST_REQUESTS: Final = 10_000
_MOST_SECONDS: Final = 3_600
# Workers write about once a second, and look for new routes several times a second.
_GRACE: Final = timedelta(seconds=2)
_MOST_REASONS: Final = 5


def start_drill(
    plane: ControlPlane,
    who: Principal,
    endpoint: str,
    *,
    requests: int = 200,
    seconds: int = 60,
    why: str = "",
) -> Route:
    """Try every step of the endpoint's fallback chain on copies of its next live requests.

    No answer changes, and nothing is recorded as a decision. A drill that is under way ends.

    Parameters
    ----------
    requests
        1 to 10,000: so many, and then no more (in each gateway worker).
    seconds
        1 to 3,600: it ends after so long, however many requests came.

    Raises
    ------
    Conflict
        When the endpoint has no fallback.
    Invalid
        When there are to be too many requests, or it is to last too long.
    """
    require(who, Right.PLUG)
    for name, value, most in (
        ("requests", requests, _MOST_REQUESTS),
        ("seconds", seconds, _MOST_SECONDS),
    ):
        if not 1 <= value <= most:
            raise Invalid("not a drill", field=name, found=value, expected=f"1 to {most:,}")

    def change(_connection: Connection, old: Route | None) -> Route:
        route = existing(old, endpoint)
        if not route.fallback:
            raise Conflict(
                f"'{endpoint}' has no fallback: nothing would take over, and callers would be refused",
                field="endpoint",
                found=endpoint,
                expected="an endpoint with a fallback chain",
                next_step=f"give it one: 'tsavo deploy {route.champion} --endpoint {endpoint} --fallback MODEL@N'",
            )
        now = plane.clock.now()
        drill = Drill(IdSource(plane.clock).new(), requests, now + timedelta(seconds=seconds), who.name, now)
        return msgspec.structs.replace(route, drill=drill)

    return change_route(plane, who, endpoint, "endpoint.drill", why, change)


def drill_report(plane: ControlPlane, folder: Path, endpoint: str) -> DrillReport:
    """What the endpoint's last drill found, or has found so far.

    Parameters
    ----------
    folder
        Where the gateway workers write: ``<folder>/<endpoint>/<worker>.json``.

    Raises
    ------
    NotFound
        When there is no such endpoint, or its chain was never drilled.
    """
    with plane.database.read() as connection:
        route = get_route(connection, check_name(endpoint, "endpoint"))
    report = find_drill_report(plane, folder, route)
    if report is None:
        raise NotFound(
            "there was no drill of this endpoint's chain as it is now",
            field="endpoint",
            found=endpoint,
            next_step=f"'tsavo drill {endpoint}'",
        )
    return report


def find_drill_report(plane: ControlPlane, folder: Path, route: Route) -> DrillReport | None:
    """As `drill_report`, for a route that was read already; ``None`` where there was no drill."""
    if route.drill is None:
        return None
    return _add_up(route, route.drill, _workers(folder / route.endpoint, route.drill), plane.clock.now())


def _workers(folder: Path, drill: Drill) -> list[WorkerDrill]:
    found = []
    for path in sorted(folder.glob("*.json")) if folder.is_dir() else []:
        try:
            worker = msgspec.json.decode(path.read_bytes(), type=WorkerDrill)
        except (OSError, msgspec.MsgspecError):
            # Of another layout, or gone meanwhile: it says nothing about this drill.
            continue
        if worker.drill == drill.id:
            found.append(worker)
    return found


def _add_up(route: Route, drill: Drill, workers: Sequence[WorkerDrill], now: datetime) -> DrillReport:
    requests = sum(worker.requests for worker in workers)
    over = requests >= drill.requests or now > drill.until + _GRACE
    tried: dict[int, list[StepTried]] = {}
    for worker in workers:
        for step in worker.steps:
            tried.setdefault(step.step, []).append(step)
    steps = tuple(_step(tried[number]) for number in sorted(tried))
    chain = [step for step in steps if step.step]
    holds = not any(step.failed for step in chain) if requests else None
    return DrillReport(
        endpoint=route.endpoint,
        drill=drill,
        state="over" if over else "running",
        requests=requests,
        rows=sum(worker.rows for worker in workers),
        skipped=sum(worker.skipped for worker in workers),
        steps=steps,
        holds=holds,
        verdict=_verdict(route.endpoint, requests, over, chain),
    )


def _step(tried: Sequence[StepTried]) -> StepReport:
    latencies = sorted(latency for one in tried for latency in one.latencies_us)
    reasons: Counter[str] = Counter()
    for one in tried:
        reasons.update(one.reasons)
    compared = sum(one.compared for one in tried)
    labels = sum(one.labels for one in tried)
    return StepReport(
        step=tried[0].step,
        what=tried[0].what,
        requests=sum(one.requests for one in tried),
        rows=sum(one.rows for one in tried),
        answered=sum(one.answered for one in tried),
        failed=sum(one.failed for one in tried),
        reasons=tuple(reason for reason, _ in reasons.most_common(_MOST_REASONS)),
        p50_us=_quantile(latencies, 0.5),
        p99_us=_quantile(latencies, 0.99),
        mean_difference=sum(one.differences for one in tried) / compared if compared else None,
        largest_difference=max(one.largest for one in tried) if compared else None,
        lacking=sum(one.lacking for one in tried),
        equal_labels=sum(one.equal for one in tried) / labels if labels else None,
        given_up=any(one.given_up for one in tried),
    )


def _quantile(ordered: Sequence[int], level: float) -> float | None:
    """The smallest value that at least a share `level` of all is not above (nearest rank)."""
    return float(ordered[math.ceil(level * len(ordered)) - 1]) if ordered else None


def _verdict(endpoint: str, requests: int, over: bool, chain: Sequence[StepReport]) -> str:
    if not requests:
        if not over:
            return "no live request came yet"
        return (
            "no live request came, so nothing was tried. Next: start it again while callers ask, "
            f"or score a file meanwhile with 'tsavo score {endpoint} FILE'"
        )
    failing = [step for step in chain if step.failed]
    if not failing:
        steps = "its step" if len(chain) == 1 else f"each of its {len(chain)} steps"
        return f"the chain holds: {steps} answered all {requests:,} requests"
    said = "; ".join(_failing(step) for step in failing)
    sound = next((step for step in chain if not step.failed), None)
    if sound is None:
        return f"{said}. No step answered every request: callers could be refused"
    return f"{said}. Step {sound.step} ({sound.what}) answered every request"


def _failing(step: StepReport) -> str:
    why = f": {step.reasons[0]}" if step.reasons else ""
    return (
        f"step {step.step} ({step.what}) cannot answer{why} ({step.failed:,} of {step.requests:,} requests)"
    )
