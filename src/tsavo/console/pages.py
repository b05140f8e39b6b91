"""What all pages have in common: the alert count, where they are, and their twin."""

from __future__ import annotations

from typing import Any

from litestar import Request
from litestar.response import Template

from tsavo.alerts import list_alerts
from tsavo.console.parts import ConsoleParts
from tsavo.console.views import warnings_of

__all__ = ["page_of"]


def page_of(name: str, request: Request[Any, Any, Any], parts: ConsoleParts, **context: Any) -> Template:
    """The page `name` for a request; `context` is what it shows, and may name another JSON twin."""
    query = f"?{request.url.query}" if request.url.query else ""
    with parts.plane.database.read() as connection:
        alerts = list_alerts(connection, state="open", limit=1).total
    shared = {
        "now": parts.plane.clock.now(),
        "path": request.url.path,
        "here": f"{request.url.path}{query}",
        "twin": f"/api{request.url.path.rstrip('/')}{query}",
        "params": dict(request.query_params),
        "open_alerts": alerts,
        "warnings": warnings_of(parts),
    }
    return Template(name, context={**shared, **context})
