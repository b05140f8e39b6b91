"""How the installation is, and who changed what."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from litestar import Request

from tsavo.console.declaring import look
from tsavo.console.moments import aware
from tsavo.console.parts import ConsoleParts
from tsavo.console.views import OverviewRow, StatusView, overview, status_view
from tsavo.governance import list_audit
from tsavo.vocabulary import AuditEntry, Page

__all__ = ["STATUS_ROUTES"]


@look("/api/status", summary="What runs here, and how much there is")
def status(parts: ConsoleParts) -> StatusView:
    """What runs here, and how much there is."""
    return status_view(parts)


@look("/api/overview", summary="Endpoints, and how they are")
def overview_page(
    parts: ConsoleParts,
    search: str = "",
    model: str | None = None,
    plugged: bool | None = None,
    offset: int = 0,
    limit: int = 25,
) -> Page[OverviewRow]:
    """Endpoints, and how they are; activity is that of the last 24 hours."""
    return overview(parts, search=search, model=model, plugged=plugged, offset=offset, limit=limit)


@look("/api/audit", summary="Who changed what, when and why")
def audit_page(
    parts: ConsoleParts,
    subject: str | None = None,
    by: str | None = None,
    action: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    offset: int = 0,
    limit: int = 50,
) -> Page[AuditEntry]:
    """Entries of the audit trail, newest first; `subject` is such as ``endpoint:credit``, `by` is who acted."""
    with parts.plane.database.read() as connection:
        return list_audit(
            connection,
            subject=subject,
            who=by,
            action=action,
            since=aware(since),
            until=aware(until),
            offset=offset,
            limit=limit,
        )


@look("/api/openapi.json", include_in_schema=False)
def openapi(request: Request[Any, Any, Any]) -> dict[str, Any]:
    """The description of this API (OpenAPI 3.1)."""
    return request.app.openapi_schema.to_schema()


STATUS_ROUTES = [status, overview_page, audit_page, openapi]
