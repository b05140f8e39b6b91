"""Pages about single decisions, and about what other versions would have decided."""

from __future__ import annotations

from typing import Any

from litestar import Request
from litestar.response import Template

from tsavo.actions import replay_decision
from tsavo.console.api.backtests import backtests_of
from tsavo.console.api.decisions import receipt_of
from tsavo.console.crowding import QUERIES
from tsavo.console.declaring import look
from tsavo.console.pages import page_of
from tsavo.console.parts import ConsoleParts
from tsavo.governance import Principal, Right

__all__ = ["DECISION_PAGES"]


@look("/decisions/{decision:str}", Right.QUERY, include_in_schema=False)
def decision_page(
    request: Request[Any, Any, Any], parts: ConsoleParts, who: Principal, decision: str, replay: bool = False
) -> Template:
    """The receipt of a decision; with ``?replay=true`` it is replayed."""
    view = receipt_of(parts, decision)
    again = None
    if replay:
        with QUERIES.turn():
            again = replay_decision(parts.plane, parts.lake, who, decision)
    twin = f"/api/decisions/{decision}"
    return page_of("decision.html", request, parts, view=view, again=again, revealed=None, twin=twin)


@look("/backtests", include_in_schema=False)
def backtests_page(
    request: Request[Any, Any, Any], parts: ConsoleParts, endpoint: str | None = None, offset: int = 0
) -> Template:
    """Back-tests, newest first."""
    page = backtests_of(parts, endpoint or None, offset, 25)
    query = f"?{request.url.query}" if request.url.query else ""
    twin = f"/api/backtests/all{query}"
    return page_of("backtests.html", request, parts, page=page, endpoint=endpoint or "", twin=twin)


DECISION_PAGES = [decision_page, backtests_page]
