"""The console's pages: the same views as the API, as HTML; forms for what a person changes.

Every page's state is in its URL, and each names its JSON twin. Forms are plain HTML and work without JavaScript.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Final, Literal

import msgspec
from litestar import Request, Response
from litestar.enums import RequestEncodingType
from litestar.params import Body, Parameter
from litestar.response import Redirect, Template

from tsavo.actions import promote, pull_plug, release_plug, roll_back
from tsavo.alerts import acknowledge, list_alerts, resolve
from tsavo.console.api.data import decision_view
from tsavo.console.charts import endpoint_charts
from tsavo.console.declaring import act, checked, look
from tsavo.console.parts import ConsoleParts
from tsavo.console.views import endpoint_view, model_view, overview, status_view
from tsavo.governance import Principal, Right, list_audit
from tsavo.registry import get_route, get_version, list_models, route_history
from tsavo.vocabulary import AlertState, Invalid, VersionRef, check_name

__all__ = ["WEB_ROUTES"]

_SQL_ROWS: Final = 200
# What the address says -> what the database is asked for.
_STATES: Final[dict[str, AlertState | None]] = {
    "open": "open",
    "acknowledged": "acknowledged",
    "resolved": "resolved",
    "all": None,
    "": None,
}
_TRAFFIC: Final = timedelta(hours=24)
_Form = Annotated[dict[str, str], Body(media_type=RequestEncodingType.URL_ENCODED)]


def _page(name: str, request: Request[Any, Any, Any], parts: ConsoleParts, **context: Any) -> Template:
    query = f"?{request.url.query}" if request.url.query else ""
    twin = context.pop("twin", f"/api{request.url.path.rstrip('/')}{query}")
    shared = {
        "now": parts.plane.clock.now(),
        "path": request.url.path,
        "here": f"{request.url.path}{query}",
        "twin": twin,
        "params": dict(request.query_params),
    }
    return Template(name, context={**shared, **context})


@look("/", include_in_schema=False)
def home_page(
    request: Request[Any, Any, Any],
    parts: ConsoleParts,
    search: str = "",
    plugged: bool | None = None,
    offset: int = 0,
) -> Template:
    """All endpoints at a glance."""
    page = overview(parts, search=search, plugged=plugged, offset=offset, limit=25)
    twin = f"/api/overview?{request.url.query}" if request.url.query else "/api/overview"
    return _page(
        "overview.html",
        request,
        parts,
        page=page,
        status=status_view(parts),
        search=search,
        plugged=plugged,
        twin=twin,
    )


@look("/endpoints/{endpoint:str}", include_in_schema=False)
def endpoint_page(request: Request[Any, Any, Any], parts: ConsoleParts, endpoint: str) -> Template:
    """One endpoint: how it is, and what can be done about it."""
    view = endpoint_view(parts, endpoint)
    with parts.plane.database.read() as connection:
        history = route_history(connection, endpoint, limit=8)
    recent, _ = parts.lake.recent(endpoint, 8)
    now = parts.plane.clock.now()
    activity = parts.lake.activity([endpoint], now - _TRAFFIC)[endpoint]
    return _page(
        "endpoint.html",
        request,
        parts,
        view=view,
        history=history,
        recent=recent,
        activity=activity,
        charts=endpoint_charts(parts.lake, endpoint, now),
        example=_example(view.url, view.champion),
    )


@look("/endpoints/{endpoint:str}/decisions", Right.QUERY, include_in_schema=False)
def decisions_page(
    request: Request[Any, Any, Any], parts: ConsoleParts, endpoint: str, before: str | None = None
) -> Template:
    """Decisions of one endpoint, newest first."""
    with parts.plane.database.read() as connection:
        get_route(connection, endpoint)
    items, token = parts.lake.recent(check_name(endpoint, "endpoint"), 50, before)
    return _page("decisions.html", request, parts, endpoint=endpoint, items=items, token=token)


@look("/decisions/{decision:str}", Right.QUERY, include_in_schema=False)
def decision_page(request: Request[Any, Any, Any], parts: ConsoleParts, decision: str) -> Template:
    """One decision."""
    return _page("decision.html", request, parts, view=decision_view(parts, decision))


@look("/models", include_in_schema=False)
def models_page(
    request: Request[Any, Any, Any], parts: ConsoleParts, search: str = "", offset: int = 0
) -> Template:
    """All models."""
    with parts.plane.database.read() as connection:
        page = list_models(connection, search=search, offset=offset, limit=50)
    return _page("models.html", request, parts, page=page, search=search)


@look("/models/{model:str}", include_in_schema=False)
def model_page(request: Request[Any, Any, Any], parts: ConsoleParts, model: str, offset: int = 0) -> Template:
    """One model and its versions."""
    return _page("model.html", request, parts, view=model_view(parts, model, offset=offset, limit=20))


@look("/models/{model:str}/versions/{number:int}", include_in_schema=False)
def version_page(request: Request[Any, Any, Any], parts: ConsoleParts, model: str, number: int) -> Template:
    """One version: signature, checks, lineage."""
    with parts.plane.database.read() as connection:
        version = get_version(connection, VersionRef(model, number))
    return _page("version.html", request, parts, version=version)


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
    pairs = [
        f"{key}={value}"
        for key, value in (("state", wanted), ("endpoint", endpoint), ("offset", offset))
        if value
    ]
    twin = "/api/alerts" + (f"?{'&'.join(pairs)}" if pairs else "")
    return _page("alerts.html", request, parts, page=page, state=shown or "all", endpoint=endpoint, twin=twin)


@look("/audit", include_in_schema=False)
def audit_page(
    request: Request[Any, Any, Any], parts: ConsoleParts, subject: str | None = None, offset: int = 0
) -> Template:
    """The audit trail."""
    with parts.plane.database.read() as connection:
        page = list_audit(connection, subject=subject or None, offset=offset, limit=50)
    return _page("audit.html", request, parts, page=page, subject=subject or "")


@look("/sql", Right.QUERY, include_in_schema=False)
def sql_page(
    request: Request[Any, Any, Any],
    parts: ConsoleParts,
    asked: Annotated[str, Parameter(query="query")] = "",
) -> Template:
    """SQL over what was recorded; the query is in the URL."""
    table, error = None, None
    if asked.strip():
        try:
            table = parts.lake.sql(asked, rows=_SQL_ROWS)
        except Invalid as refused:
            error = refused
    context = {
        "query": asked,
        "error": error,
        "columns": [] if table is None else table.column_names,
        "rows": [] if table is None else [list(row.values()) for row in table.to_pylist()],
        "truncated": table is not None and (table.schema.metadata or {}).get(b"truncated") == b"true",
        "limit": _SQL_ROWS,
    }
    twin = f"/api/query?{request.url.query}" if asked.strip() and error is None else ""
    return _page("sql.html", request, parts, twin=twin, **context)


@act("/endpoints/{endpoint:str}/plug", Right.PLUG, include_in_schema=False)
def plug_form(parts: ConsoleParts, who: Principal, endpoint: str, data: _Form) -> Response[Any]:
    """Pull the plug."""
    pull_plug(parts.plane, who, endpoint, why=data.get("why", "")[:500])
    return _back(f"/endpoints/{endpoint}")


@act("/endpoints/{endpoint:str}/unplug", Right.PLUG, include_in_schema=False)
def unplug_form(parts: ConsoleParts, who: Principal, endpoint: str, data: _Form) -> Response[Any]:
    """Put the plug back."""
    release_plug(parts.plane, who, endpoint, why=data.get("why", "")[:500])
    return _back(f"/endpoints/{endpoint}")


@act("/endpoints/{endpoint:str}/promote", Right.DEPLOY, include_in_schema=False)
def promote_form(parts: ConsoleParts, who: Principal, endpoint: str, data: _Form) -> Response[Any]:
    """Promote the challenger."""
    promote(parts.plane, who, endpoint, why=data.get("why", "")[:500])
    return _back(f"/endpoints/{endpoint}")


@act("/endpoints/{endpoint:str}/rollback", Right.DEPLOY, include_in_schema=False)
def rollback_form(parts: ConsoleParts, who: Principal, endpoint: str, data: _Form) -> Response[Any]:
    """Roll back."""
    roll_back(parts.plane, who, endpoint, why=data.get("why", "")[:500])
    return _back(f"/endpoints/{endpoint}")


@act("/alerts/{alert:int}", Right.ALERTS, include_in_schema=False)
def alert_form(parts: ConsoleParts, who: Principal, alert: int, data: _Form) -> Response[Any]:
    """Acknowledge or resolve an alert."""
    move = {"acknowledge": acknowledge, "resolve": resolve}.get(data.get("do", ""))
    if move is None:
        raise Invalid(
            "not something to do", field="do", found=data.get("do"), expected="acknowledge or resolve"
        )
    now = parts.plane.clock.now()
    with parts.plane.database.begin() as connection:
        move(connection, alert, by=who.name, now=now, note=data.get("note", "")[:2000])
    return _back(_local(data.get("back", "/alerts")))


def _back(path: str) -> Redirect:
    return Redirect(path, status_code=303)


def _local(path: str) -> str:
    """Only a path of ours is gone back to."""
    return path if path.startswith("/") and not path.startswith(("//", "/\\")) else "/alerts"


def _example(url: str, champion: Any) -> str:
    """A request that can be pasted into a terminal, with values seen in the reference."""
    tensors = []
    for field in champion.signature.inputs[:50]:
        if field.dtype == "string":
            value: Any = field.categories[0] if field.categories else "text"
            kind = "BYTES"
        elif field.dtype == "bool":
            value, kind = True, "BOOL"
        elif field.dtype.startswith("int"):
            value, kind = int(field.low or 0), field.dtype.upper()
        else:
            value, kind = float(field.low or 0.0), f"FP{field.dtype[-2:]}"
        tensors.append({"name": field.name, "shape": [1], "datatype": kind, "data": [value]})
    body = msgspec.json.encode({"inputs": tensors}).decode().replace("'", "'\\''")
    return f"curl -s {url} \\\n  -d '{body}'"


WEB_ROUTES = checked(
    [
        home_page,
        endpoint_page,
        decisions_page,
        decision_page,
        models_page,
        model_page,
        version_page,
        alerts_page,
        audit_page,
        sql_page,
        plug_form,
        unplug_form,
        promote_form,
        rollback_form,
        alert_form,
    ]
)
