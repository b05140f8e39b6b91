"""The console's pages: the same views as the API, as HTML.

Every page's state is in its URL, and each names its JSON twin. Pages only show; `forms` changes.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlencode

from litestar import Request, Response
from litestar.params import Parameter
from litestar.response import Template

from tsavo.alerts import list_alerts
from tsavo.console.changes import changes
from tsavo.console.charts import endpoint_charts
from tsavo.console.decision_pages import DECISION_PAGES
from tsavo.console.declaring import checked, look
from tsavo.console.drawings import trend_bars
from tsavo.console.examples import curl_example
from tsavo.console.families import asked_signature, everybody_example, family_members, family_view
from tsavo.console.forms import FORM_ROUTES
from tsavo.console.ledger_pages import LEDGER_PAGES
from tsavo.console.pages import page_of
from tsavo.console.parts import ConsoleParts
from tsavo.console.privacy_pages import PRIVACY_PAGES
from tsavo.console.series import WINDOWS, read_series
from tsavo.console.sql_pages import SQL_PAGES
from tsavo.console.views import endpoint_view, model_rows, model_view, overview, status_view, version_view
from tsavo.governance import Right, list_audit
from tsavo.registry import get_route, list_members, route_history
from tsavo.vocabulary import AlertState

__all__ = ["WEB_ROUTES"]

# What the address says -> what the database is asked for.
_STATES: Final[dict[str, AlertState | None]] = {
    "open": "open",
    "acknowledged": "acknowledged",
    "resolved": "resolved",
    "all": None,
    "": None,
}
_TRAFFIC: Final = timedelta(hours=24)
_HOUR: Final = timedelta(hours=1)
_TREND: Final = (72, 22)


@look("/", include_in_schema=False)
def home_page(
    request: Request[Any, Any, Any],
    parts: ConsoleParts,
    search: str = "",
    model: str | None = None,
    plugged: bool | None = None,
    offset: int = 0,
) -> Template:
    """All endpoints at a glance."""
    page = overview(parts, search=search, model=model or None, plugged=plugged, offset=offset, limit=25)
    context = {
        "page": page,
        "status": status_view(parts),
        "search": search,
        "model": model or "",
        "plugged": plugged,
        "twin": f"/api/overview?{request.url.query}" if request.url.query else "/api/overview",
    }
    return page_of("overview.html", request, parts, **context)


@look("/endpoints/{endpoint:str}", include_in_schema=False)
def endpoint_page(
    request: Request[Any, Any, Any], parts: ConsoleParts, endpoint: str, window: str | None = None
) -> Template:
    """One endpoint: how it is, and what can be done about it."""
    view = endpoint_view(parts, endpoint)
    with parts.plane.database.read() as connection:
        history = route_history(connection, endpoint, limit=8)
        family = view.route.segments is not None
        members = list_members(connection, endpoint, limit=8) if family else None
    recent, _ = parts.lake.recent(endpoint, 8)
    now = parts.plane.clock.now()
    activity = parts.lake.activity([endpoint], now - _TRAFFIC)[endpoint]
    series = read_series(parts.lake, endpoint, window or None, last=activity.last, now=now)
    context = {
        "view": view,
        "history": history,
        "members": members,
        "recent": recent,
        "activity": activity,
        "charts": endpoint_charts(series, view.findings),
        "window": series.window,
        "windows": list(WINDOWS),
        "chosen": window or "",
        "example": curl_example(view.url, asked_signature(view.route, view.champion.signature, members)),
        "twin": f"/api/endpoints/{endpoint}",
    }
    return page_of("endpoint.html", request, parts, **context)


@look("/families/{endpoint:str}/members", include_in_schema=False)
def members_page(
    request: Request[Any, Any, Any], parts: ConsoleParts, endpoint: str, search: str = "", offset: int = 0
) -> Template:
    """A family's members, by segment."""
    view = family_view(parts, endpoint)
    page = family_members(parts, endpoint, search=search, offset=offset, limit=50)
    example = everybody_example(parts, view)
    return page_of("members.html", request, parts, view=view, page=page, search=search, example=example)


@look("/endpoints/{endpoint:str}/trend", include_in_schema=False)
def trend_picture(parts: ConsoleParts, endpoint: str) -> Response[Any]:
    """A small picture of the last 24 hours' decisions, hour by hour; an SVG image."""
    with parts.plane.database.read() as connection:
        get_route(connection, endpoint)
    now = parts.plane.clock.now()
    first = now.replace(minute=0, second=0, microsecond=0) - 23 * _HOUR
    counts = [0] * 24
    for row in parts.lake.traffic(endpoint, first, _HOUR).to_pylist():
        if row["role"] != "shadow":
            counts[min(23, (row["time"] - first) // _HOUR)] += row["decisions"]
    width, height = _TREND
    bars = "".join(
        f'<rect x="{bar.left}" y="{height - bar.height}" width="{bar.width}" height="{bar.height}"/>'
        for bar in trend_bars(counts, width, height)
    )
    # Between the light and the dark page's accent: a picture cannot follow the page's colours.
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" fill="#cc6f38">{bars}'
        f'<rect y="{height - 1}" width="{width}" height="1" opacity=".35"/></svg>'
    )
    return Response(svg, media_type="image/svg+xml", headers={"Cache-Control": "private, max-age=60"})


@look("/endpoints/{endpoint:str}/decisions", Right.QUERY, include_in_schema=False)
def decisions_page(
    request: Request[Any, Any, Any], parts: ConsoleParts, endpoint: str, before: str | None = None
) -> Template:
    """Decisions of one endpoint, newest first."""
    with parts.plane.database.read() as connection:
        get_route(connection, endpoint)
    items, token = parts.lake.recent(endpoint, 50, before or None)
    return page_of("decisions.html", request, parts, endpoint=endpoint, items=items, token=token)


@look("/models", include_in_schema=False)
def models_page(
    request: Request[Any, Any, Any], parts: ConsoleParts, search: str = "", offset: int = 0
) -> Template:
    """All models."""
    page = model_rows(parts, search=search, offset=offset, limit=25)
    return page_of("models.html", request, parts, page=page, search=search)


@look("/models/{model:str}", include_in_schema=False)
def model_page(request: Request[Any, Any, Any], parts: ConsoleParts, model: str, offset: int = 0) -> Template:
    """One model and its versions."""
    return page_of("model.html", request, parts, view=model_view(parts, model, offset=offset, limit=20))


@look("/models/{model:str}/versions/{number:int}", include_in_schema=False)
def version_page(
    request: Request[Any, Any, Any], parts: ConsoleParts, model: str, number: int, offset: int = 0
) -> Template:
    """One version: signature, how it runs, lineage, checks, verifications."""
    view = version_view(parts, model, number, offset=offset)
    return page_of("version.html", request, parts, view=view)


@look("/alerts", include_in_schema=False)
def alerts_page(
    request: Request[Any, Any, Any],
    parts: ConsoleParts,
    shown: Annotated[
        Literal["open", "acknowledged", "resolved", "all", ""], Parameter(query="state")
    ] = "open",
    endpoint: str | None = None,
    offset: int = 0,
) -> Template:
    """Alerts by state."""
    wanted = _STATES[shown]
    with parts.plane.database.read() as connection:
        page = list_alerts(connection, endpoint=endpoint or None, state=wanted, offset=offset, limit=25)
    asked = {"state": wanted, "endpoint": endpoint, "offset": offset}
    query = urlencode({key: value for key, value in asked.items() if value})
    twin = f"/api/alerts?{query}" if query else "/api/alerts"
    return page_of(
        "alerts.html", request, parts, page=page, state=shown or "all", endpoint=endpoint, twin=twin
    )


@look("/audit", include_in_schema=False)
def audit_page(
    request: Request[Any, Any, Any],
    parts: ConsoleParts,
    subject: str | None = None,
    by: str | None = None,
    action: str | None = None,
    offset: int = 0,
) -> Template:
    """The audit trail."""
    with parts.plane.database.read() as connection:
        page = list_audit(
            connection,
            subject=subject or None,
            who=by or None,
            action=action or None,
            offset=offset,
            limit=50,
        )
    rows = [(entry, changes(entry.before, entry.after)) for entry in page.items]
    return page_of("audit.html", request, parts, page=page, rows=rows, asked=(subject, by, action))


WEB_ROUTES = checked(
    [
        home_page,
        endpoint_page,
        members_page,
        trend_picture,
        decisions_page,
        models_page,
        model_page,
        version_page,
        alerts_page,
        audit_page,
        *LEDGER_PAGES,
        *PRIVACY_PAGES,
        *SQL_PAGES,
        *DECISION_PAGES,
        *FORM_ROUTES,
    ]
)
