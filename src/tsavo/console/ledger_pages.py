"""The page of the log by which tampering is found: its signed head, and what the last verification said."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

from litestar import Request, Response
from litestar.response import Redirect, Template

from tsavo.console.api.ledger import verify_now
from tsavo.console.declaring import act, look
from tsavo.console.pages import page_of
from tsavo.console.parts import ConsoleParts
from tsavo.governance import Principal, Right, ledger_view
from tsavo.ledger import LedgerStanding, read_standing
from tsavo.vocabulary import LedgerView, NotFound

__all__ = ["LEDGER_PAGES"]

_SEE_OTHER: Final = 303


@look("/ledger", include_in_schema=False)
def ledger_page(request: Request[Any, Any, Any], parts: ConsoleParts) -> Template:
    """The log's head, its key, and the last verification."""
    view: LedgerView | None
    try:
        view = ledger_view(parts.home)
    except NotFound:
        view = None
    told = read_standing(parts.home.run) or LedgerStanding()
    moments = {"signed": _moment(told.signed), "anchored": _moment(told.anchored)}
    return page_of("ledger.html", request, parts, view=view, told=told, **moments)


def _moment(seconds: float) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds else None


@act("/ledger/verify", Right.QUERY, include_in_schema=False)
def verify_form(parts: ConsoleParts, who: Principal) -> Response[Any]:
    """Verify now, and show what was found."""
    verify_now(parts)
    return Redirect("/ledger", status_code=_SEE_OTHER)


LEDGER_PAGES = [ledger_page, verify_form]
