"""What pages and the API show: the same structs for both."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec

from tsavo.actions import find_drill_report
from tsavo.alerts import count_open, list_alerts
from tsavo.console.parts import ConsoleParts
from tsavo.console.settling import wait_for_gateways
from tsavo.console.workers import WorkerView, worker_of
from tsavo.endpoints.journal_health import JournalHealth, journal_health, journal_warnings
from tsavo.lake import Activity, Labels
from tsavo.ledger import ledger_warnings
from tsavo.registry import (
    count_members,
    families_of,
    get_model,
    get_route,
    get_version,
    list_models,
    list_routes,
    list_verifications,
    list_versions,
    newest_versions,
    routes_by_model,
)
from tsavo.vocabulary import (
    Alert,
    DrillReport,
    Finding,
    Model,
    Page,
    Route,
    TsavoError,
    Verification,
    Version,
    VersionRef,
)

__all__ = [
    "EndpointView",
    "ModelRow",
    "ModelView",
    "OverviewRow",
    "StatusView",
    "VersionView",
    "endpoint_view",
    "model_rows",
    "model_view",
    "overview",
    "status_view",
    "version_view",
    "warnings_of",
]

_ACTIVE = timedelta(hours=24)
_ROUTES_OF_A_MODEL = 3


class OverviewRow(msgspec.Struct, frozen=True):
    """One endpoint in the overview; activity is that of the last 24 hours, shadows left out."""

    route: Route
    open_alerts: int
    decisions: int
    last_decision: datetime | None
    p95_us: float | None
    findings: list[Finding]


class EndpointView(msgspec.Struct, frozen=True):
    """One endpoint: its route, champion, findings, open alerts, and where to send requests.

    Attributes
    ----------
    worker
        How the Python worker of the champion is doing; ``None`` for a champion that is compiled.
    members
        How many members a family has; ``None`` for other endpoints.
    drill
        What the last fire drill of the present chain found.
    labels
        How many outcomes are known, and how late they come; ``None`` when that cannot be looked at now.
    """

    route: Route
    champion: Version
    findings: list[Finding]
    alerts: list[Alert]
    url: str
    worker: WorkerView | None = None
    members: int | None = None
    drill: DrillReport | None = None
    labels: Labels | None = None


class ModelRow(msgspec.Struct, frozen=True):
    """One model in a list: how many versions it has, its newest, and where it is the champion."""

    model: Model
    versions: int
    newest: Version | None
    endpoints: Page[Route]


class ModelView(msgspec.Struct, frozen=True):
    """One model: a page of its versions, the endpoints that it is the champion of, and in which families it answers.

    Attributes
    ----------
    families
        The family's name -> for how many of its segments.
    """

    model: Model
    versions: Page[Version]
    endpoints: list[Route]
    families: dict[str, int]


class VersionView(Version, frozen=True, kw_only=True):
    """One version, and a page of its verifications, newest first."""

    verifications: Page[Verification]


class StatusView(msgspec.Struct, frozen=True):
    """What runs here, and how much there is."""

    version: str
    home: str
    started: datetime
    gateway: str
    console: str
    endpoints: int
    plugged: int
    models: int
    open_alerts: int
    journals: list[dict[str, Any]]
    recording: list[JournalHealth]
    warnings: list[str]


def overview(
    parts: ConsoleParts, *, search: str, model: str | None, plugged: bool | None, offset: int, limit: int
) -> Page[OverviewRow]:
    """A page of endpoints with how they are."""
    with parts.plane.database.read() as connection:
        page = list_routes(
            connection, search=search, model=model, plugged=plugged, offset=offset, limit=limit
        )
        names = [route.endpoint for route in page.items]
        alerts = count_open(connection, names) if names else {}
    now = parts.plane.clock.now()
    active = parts.lake.activity(names, now - _ACTIVE) if names else {}
    rows = tuple(_overview_row(parts, route, alerts, active[route.endpoint]) for route in page.items)
    return Page(items=rows, total=page.total, offset=page.offset, limit=page.limit)


def _overview_row(
    parts: ConsoleParts, route: Route, alerts: dict[str, int], activity: Activity
) -> OverviewRow:
    return OverviewRow(
        route=route,
        open_alerts=alerts.get(route.endpoint, 0),
        decisions=activity.decisions,
        last_decision=activity.last,
        p95_us=activity.p95_us,
        findings=parts.findings(route.endpoint),
    )


def endpoint_view(parts: ConsoleParts, endpoint: str) -> EndpointView:
    """One endpoint; raise `NotFound` when there is none."""
    with parts.plane.database.read() as connection:
        route = get_route(connection, endpoint)
        champion = get_version(connection, route.champion)
        alerts = list_alerts(connection, endpoint=endpoint, state="open", limit=50)
        members = None if route.segments is None else count_members(connection, endpoint)
    worker = worker_of(parts.gateway_url, endpoint) if champion.runtime == "python" else None
    return EndpointView(
        route,
        champion,
        parts.findings(endpoint),
        list(alerts.items),
        infer_url(parts, endpoint),
        worker,
        members,
        find_drill_report(parts.plane, parts.home.drills, route),
        _labels(parts, endpoint),
    )


def _labels(parts: ConsoleParts, endpoint: str) -> Labels | None:
    try:
        return parts.lake.labels(endpoint)
    except TsavoError:
        # The journals may be too long to be looked through; an endpoint is shown all the same.
        return None


def infer_url(parts: ConsoleParts, endpoint: str) -> str:
    """Where requests to `endpoint` are sent."""
    return f"{parts.gateway_url}/v2/models/{endpoint}/infer"


def model_rows(parts: ConsoleParts, *, search: str, offset: int, limit: int) -> Page[ModelRow]:
    """A page of models with their newest versions."""
    with parts.plane.database.read() as connection:
        page = list_models(connection, search=search, offset=offset, limit=limit)
        names = [model.name for model in page.items]
        newest = newest_versions(connection, names)
        routes = routes_by_model(connection, names, limit=_ROUTES_OF_A_MODEL)
    rows = []
    for model in page.items:
        version, total = newest.get(model.name, (None, 0))
        rows.append(ModelRow(model, total, version, routes[model.name]))
    return Page(items=tuple(rows), total=page.total, offset=page.offset, limit=page.limit)


def model_view(parts: ConsoleParts, name: str, *, offset: int, limit: int) -> ModelView:
    """One model; raise `NotFound` when there is none."""
    with parts.plane.database.read() as connection:
        return ModelView(
            get_model(connection, name),
            list_versions(connection, name, offset=offset, limit=limit),
            list(list_routes(connection, model=name, limit=100).items),
            families_of(connection, name),
        )


def version_view(
    parts: ConsoleParts, model: str, number: int, *, offset: int = 0, limit: int = 10
) -> VersionView:
    """One version; raise `NotFound` when there is none."""
    ref = VersionRef(model, number)
    with parts.plane.database.read() as connection:
        version = get_version(connection, ref)
        found = list_verifications(connection, ref, offset=offset, limit=limit)
    return VersionView(**msgspec.structs.asdict(version), verifications=found)


def warnings_of(parts: ConsoleParts) -> list[str]:
    """What is wrong with recording and its log, a sentence each; empty when nothing is."""
    now = parts.plane.clock.now()
    recording = journal_warnings(parts.home.statistics, parts.home.journal, now)
    silent = [
        f"{one}; when it goes on, it may answer by an earlier route for a moment."
        for one in wait_for_gateways(parts, seconds=0.0)
        if one.why == "silent"
    ]
    return recording + silent + ledger_warnings(parts.home.run, now.timestamp())


def status_view(parts: ConsoleParts) -> StatusView:
    """What runs here, and how much there is."""
    from importlib.metadata import version

    with parts.plane.database.read() as connection:
        counts = {
            "endpoints": list_routes(connection, limit=1).total,
            "plugged": list_routes(connection, plugged=True, limit=1).total,
            "models": list_models(connection, limit=1).total,
            "open_alerts": list_alerts(connection, state="open", limit=1).total,
        }
    return StatusView(
        version=version("tsavo"),
        home=str(parts.home.root),
        started=parts.started,
        gateway=parts.gateway_url,
        console=parts.console_url,
        journals=parts.lake.backlog(),
        recording=journal_health(parts.home.statistics, parts.plane.clock.now()),
        warnings=warnings_of(parts),
        **counts,
    )
