"""Endpoints: what they do now, and everything that changes it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec

from tsavo.actions import (
    constant_fallback,
    deploy,
    drill_report,
    limit,
    promote,
    pull_plug,
    release_plug,
    retain,
    roll_back,
    rules_fallback,
    shadow,
    share,
    start_drill,
)
from tsavo.console.declaring import act, look
from tsavo.console.parts import ConsoleParts
from tsavo.console.views import EndpointView, endpoint_view
from tsavo.governance import Principal, Right
from tsavo.registry import get_route, get_version, list_routes, route_history
from tsavo.vocabulary import (
    DrillReport,
    Fallback,
    Finding,
    Invalid,
    Page,
    Retention,
    Route,
    VersionFallback,
    VersionRef,
    check_name,
)

__all__ = ["ENDPOINT_ROUTES"]


class FallbackGiven(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One step of a fallback chain: a version, a constant answer, or a rule table with its `otherwise`."""

    version: str | None = None
    constant: Any = msgspec.UNSET
    rules: Any = msgspec.UNSET
    otherwise: Any = msgspec.UNSET


class DeployGiven(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What to deploy: as the champion, as a shadow, or for a share of the requests (0 takes it out again)."""

    version: str
    shadow: bool = False
    share: float | None = None
    by: str | None = None
    fallback: list[FallbackGiven] | None = None
    why: str = ""


class PlugGiven(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why the plug is pulled, and what answers meanwhile (``null``: the endpoint's own chain)."""

    why: str = ""
    fallback: list[FallbackGiven] | None = None


class LimitsGiven(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What an endpoint may take of a gateway; what is not given stays, ``null`` takes a limit away."""

    milliseconds: int | msgspec.UnsetType | None = msgspec.UNSET
    concurrent: int | msgspec.UnsetType | None = msgspec.UNSET
    warm: bool | msgspec.UnsetType = msgspec.UNSET
    guard: bool | msgspec.UnsetType = msgspec.UNSET
    why: str = ""


class RetentionGiven(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long rows are kept; what is not given stays, ``null`` is as the settings say, 0 keeps them for ever."""

    keep_days: int | msgspec.UnsetType | None = msgspec.UNSET
    at_least_days: int | msgspec.UnsetType | None = msgspec.UNSET
    why: str = ""


class DrillGiven(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many live requests a fire drill tries, and how long it waits for them."""

    requests: int = 200
    seconds: int = 60
    why: str = ""


class WhyGiven(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why something is changed."""

    why: str = ""


class PromoteGiven(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which challenger is promoted (``null``: the one there is), and why."""

    version: str | None = None
    why: str = ""


class DecisionsPage(msgspec.Struct, frozen=True):
    """Decisions, newest first, and the token of the next page."""

    items: list[dict[str, Any]]
    before: str | None


@look("/api/endpoints", summary="Endpoints' present routes")
def list_endpoints(
    parts: ConsoleParts,
    search: str = "",
    model: str | None = None,
    plugged: bool | None = None,
    offset: int = 0,
    limit: int = 50,
) -> Page[Route]:
    """Present routes, in order of the endpoints' names."""
    with parts.plane.database.read() as connection:
        return list_routes(
            connection, search=search, model=model, plugged=plugged, offset=offset, limit=limit
        )


@look("/api/endpoints/{endpoint:str}", summary="One endpoint")
def show_endpoint(parts: ConsoleParts, endpoint: str) -> EndpointView:
    """Its route, champion, findings and open alerts."""
    return endpoint_view(parts, endpoint)


@look("/api/endpoints/{endpoint:str}/history", summary="All routes that an endpoint ever had")
def history(parts: ConsoleParts, endpoint: str, offset: int = 0, limit: int = 50) -> Page[Route]:
    """Routes, newest first."""
    with parts.plane.database.read() as connection:
        get_route(connection, endpoint)
        return route_history(connection, endpoint, offset=offset, limit=limit)


@look("/api/endpoints/{endpoint:str}/findings", summary="What the monitors say now")
def findings(parts: ConsoleParts, endpoint: str) -> list[Finding]:
    """Findings in plain words and figures; empty before the monitors have seen anything."""
    with parts.plane.database.read() as connection:
        get_route(connection, endpoint)
    return parts.findings(endpoint)


@look("/api/endpoints/{endpoint:str}/decisions", summary="The latest decisions", right=Right.QUERY)
def decisions(
    parts: ConsoleParts, endpoint: str, limit: int = 50, before: str | None = None
) -> DecisionsPage:
    """Decisions, newest first; `before` is the token that the last page gave."""
    _check_limit(limit)
    items, token = parts.lake.recent(check_name(endpoint, "endpoint"), limit, before)
    return DecisionsPage(items, token)


@look("/api/endpoints/{endpoint:str}/traffic", summary="Decisions and latency over time")
def traffic(
    parts: ConsoleParts, endpoint: str, since: datetime | None = None, bucket: int = 60
) -> list[dict[str, Any]]:
    """Decisions, requests and latency by time bucket (in seconds) and role."""
    if not 1 <= bucket <= 86_400:
        raise Invalid("not a bucket", field="bucket", found=bucket, expected="1 to 86400 seconds")
    start = since or parts.plane.clock.now() - timedelta(hours=6)
    rows: list[dict[str, Any]] = parts.lake.traffic(endpoint, start, timedelta(seconds=bucket)).to_pylist()
    return rows


@look("/api/endpoints/{endpoint:str}/points", summary="The monitors' figures over time")
def points(
    parts: ConsoleParts,
    endpoint: str,
    monitor: str | None = None,
    subject: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    limit: int = 2000,
) -> list[dict[str, Any]]:
    """The newest `limit` points, in the order of their time."""
    if not 1 <= limit <= 100_000:
        raise Invalid("not a number of points", field="limit", found=limit, expected="1 to 100000")
    table = parts.lake.points(endpoint, monitor, since, until, limit, subject=subject)
    rows: list[dict[str, Any]] = table.to_pylist()
    return rows


@act("/api/endpoints/{endpoint:str}/deploy", Right.DEPLOY, summary="Deploy a version")
def deploy_version(parts: ConsoleParts, who: Principal, endpoint: str, data: DeployGiven) -> Route:
    """Make a version the champion of an endpoint, its shadow, or the one who answers a share of its requests."""
    version = VersionRef.parse(data.version)
    if data.by is not None and data.share is None:
        raise Invalid("only shares are divided", field="by", found=data.by, expected="a share with it")
    if data.shadow or data.share is not None:
        if data.shadow and data.share is not None:
            raise Invalid("a shadow has no share", field="share", found=data.share, expected="one of both")
        if data.fallback is not None:
            raise Invalid(
                "a challenger has no fallback of its own", field="fallback", expected="the champion's chain"
            )
        if data.share is None:
            return shadow(parts.plane, who, endpoint, version, why=data.why)
        return share(parts.plane, who, endpoint, version, data.share, by=data.by, why=data.why)
    chain = _chain(parts, version, data.fallback)
    return deploy(parts.plane, who, endpoint, version, fallback=chain, why=data.why)


@act("/api/endpoints/{endpoint:str}/promote", Right.DEPLOY, summary="Promote the challenger")
def promote_challenger(parts: ConsoleParts, who: Principal, endpoint: str, data: PromoteGiven) -> Route:
    """Make a challenger the champion: a shadow, or one that has a share of the requests."""
    version = None if data.version is None else VersionRef.parse(data.version)
    return promote(parts.plane, who, endpoint, version, why=data.why)


@act("/api/endpoints/{endpoint:str}/rollback", Right.DEPLOY, summary="Roll back")
def rollback(parts: ConsoleParts, who: Principal, endpoint: str, data: WhyGiven) -> Route:
    """Go back to the champion before the present one."""
    return roll_back(parts.plane, who, endpoint, why=data.why)


@act("/api/endpoints/{endpoint:str}/plug", Right.PLUG, summary="Pull the plug")
def plug(parts: ConsoleParts, who: Principal, endpoint: str, data: PlugGiven) -> Route:
    """The fallback answers from now on."""
    chain = None
    if data.fallback is not None:
        with parts.plane.database.read() as connection:
            champion = get_route(connection, endpoint).champion
        chain = _chain(parts, champion, data.fallback)
    return pull_plug(parts.plane, who, endpoint, fallback=chain, why=data.why)


@act("/api/endpoints/{endpoint:str}/unplug", Right.PLUG, summary="Put the plug back")
def unplug(parts: ConsoleParts, who: Principal, endpoint: str, data: WhyGiven) -> Route:
    """The champion answers again."""
    return release_plug(parts.plane, who, endpoint, why=data.why)


@act("/api/endpoints/{endpoint:str}/limits", Right.DEPLOY, summary="Limits of an endpoint")
def limits(parts: ConsoleParts, who: Principal, endpoint: str, data: LimitsGiven) -> Route:
    """Change what it may take of a gateway: time, requests at once, a place in memory."""
    return limit(
        parts.plane,
        who,
        endpoint,
        milliseconds=data.milliseconds,
        concurrent=data.concurrent,
        warm=data.warm,
        guard=data.guard,
        why=data.why,
    )


@look("/api/endpoints/{endpoint:str}/kept", summary="How long rows are kept")
def show_retention(parts: ConsoleParts, endpoint: str) -> dict[str, Retention]:
    """What the endpoint says, what the settings say, and what holds."""
    with parts.plane.database.read() as connection:
        own = get_route(connection, endpoint).retention
    effective = own.within(parts.retention)
    return {"endpoint": own, "settings": parts.retention, "effective": effective}


@act("/api/endpoints/{endpoint:str}/retention", Right.DEPLOY, summary="Change how long rows are kept")
def change_retention(parts: ConsoleParts, who: Principal, endpoint: str, data: RetentionGiven) -> Route:
    """Rows that are older than the limit leave the lake the next time the keeper tidies it."""
    return retain(
        parts.plane,
        who,
        endpoint,
        keep_days=data.keep_days,
        at_least_days=data.at_least_days,
        everywhere=parts.retention,
        why=data.why,
    )


@act("/api/endpoints/{endpoint:str}/drills", Right.PLUG, summary="Begin a fire drill")
def begin_drill(parts: ConsoleParts, who: Principal, endpoint: str, data: DrillGiven) -> Route:
    """Try every step of the fallback chain on copies of the next live requests; no answer changes."""
    return start_drill(parts.plane, who, endpoint, requests=data.requests, seconds=data.seconds, why=data.why)


@look("/api/endpoints/{endpoint:str}/drill", summary="What the last fire drill found")
def show_drill(parts: ConsoleParts, endpoint: str) -> DrillReport:
    """Each step of the chain: answered, failed and why, latency, how far from what was really answered."""
    return drill_report(parts.plane, parts.home.drills, endpoint)


def _chain(
    parts: ConsoleParts, champion: VersionRef, given: list[FallbackGiven] | None
) -> list[Fallback] | None:
    if given is None:
        return None
    with parts.plane.database.read() as connection:
        signature = get_version(connection, champion).signature
    chain: list[Fallback] = []
    for step in given:
        ruled = step.rules is not msgspec.UNSET or step.otherwise is not msgspec.UNSET
        if (step.version is not None) + (step.constant is not msgspec.UNSET) + ruled != 1:
            raise Invalid(
                "a fallback step is a version, a constant or a rule table",
                field="fallback",
                found=msgspec.to_builtins(step),
                expected='{"version": "model@1"}, {"constant": value} or {"rules": [...], "otherwise": value}',
            )
        if step.version is not None:
            chain.append(VersionFallback(VersionRef.parse(step.version)))
        elif ruled:
            if step.otherwise is msgspec.UNSET:
                raise Invalid(
                    "a rule table says what the other rows get",
                    field="fallback.otherwise",
                    expected="an answer for rows that meet no rule",
                )
            chain.append(rules_fallback(signature, step.rules, step.otherwise))
        else:
            chain.append(constant_fallback(signature, step.constant))
    return chain


def _check_limit(limit: int) -> None:
    if not 1 <= limit <= 1000:
        raise Invalid("not a page size", field="limit", found=limit, expected="1 to 1000")


ENDPOINT_ROUTES = [
    list_endpoints,
    show_endpoint,
    history,
    findings,
    decisions,
    traffic,
    points,
    deploy_version,
    promote_challenger,
    rollback,
    plug,
    unplug,
    limits,
    show_retention,
    change_retention,
    begin_drill,
    show_drill,
]
