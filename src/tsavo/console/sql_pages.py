"""The pages that ask in SQL: an editor with its answer, saved queries, and scheduled exports.

The editor's whole state is in its address, so that a question can be sent to somebody else.
"""

from __future__ import annotations

import threading
from datetime import UTC, datetime
from typing import Annotated, Any, Final, NamedTuple
from urllib.parse import urlencode

import pyarrow as pa
from litestar import Request, Response
from litestar.enums import RequestEncodingType
from litestar.params import Body, Parameter
from litestar.response import Redirect, Template

from tsavo.actions import keep_query, remove_query
from tsavo.console.crowding import QUERIES
from tsavo.console.declaring import act, look
from tsavo.console.pages import page_of
from tsavo.console.parts import ConsoleParts
from tsavo.console.spooling import while_wanted
from tsavo.governance import Principal, Right
from tsavo.lake import FORMATS, Allowance, python_columns
from tsavo.registry import get_query, list_exports, list_queries, list_routes, query_history
from tsavo.vocabulary import Invalid, SavedQuery, TooLarge, Unavailable

__all__ = ["SQL_PAGES"]

_ROWS: Final = 200
_MOST_ROWS: Final = 2000
_MOST_PASSED_OVER: Final = 1_000_000
_EXPORT: Final = {"limit": 10_000_000, "seconds": 300}
_Form = Annotated[dict[str, str], Body(media_type=RequestEncodingType.URL_ENCODED)]


class _Asked(NamedTuple):
    """What the editor's address says."""

    query: str
    limit: int = _ROWS
    offset: int = 0
    as_of: str = ""
    name: str = ""
    description: str = ""

    def checked(self) -> _Asked:
        if not 1 <= self.limit <= _MOST_ROWS:
            raise Invalid(
                "not a number of rows", field="limit", found=self.limit, expected=f"1 to {_MOST_ROWS}"
            )
        if not 0 <= self.offset <= _MOST_PASSED_OVER:
            raise Invalid(
                "not a page", field="offset", found=self.offset, expected=f"0 to {_MOST_PASSED_OVER:,}"
            )
        return self

    @property
    def moment(self) -> datetime | None:
        if not self.as_of.strip():
            return None
        try:
            moment = datetime.fromisoformat(self.as_of.strip())
        except ValueError as error:
            raise Invalid(
                "not a moment", field="as_of", found=self.as_of, expected="a time such as 2026-01-01T00:00Z"
            ) from error
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)

    def api(self, path: str, **more: Any) -> str:
        """An address of the API that answers the same."""
        asked = {"query": self.query, "as_of": self.moment.isoformat() if self.moment else "", **more}
        return f"{path}?{urlencode({key: value for key, value in asked.items() if value})}"


@look("/sql", Right.QUERY, include_in_schema=False)
async def sql_page(
    request: Request[Any, Any, Any],
    parts: ConsoleParts,
    asked: Annotated[str, Parameter(query="query")] = "",
    limit: int = _ROWS,
    offset: int = 0,
    as_of: str = "",
    name: str = "",
    description: str = "",
) -> Template:
    """SQL over what was recorded; the query is in the URL."""
    given = _Asked(asked, limit, offset, as_of, name, description).checked()
    return await while_wanted(request, lambda stop: _editor(request, parts, given, None, stop))


@look("/queries/{saved:str}", Right.QUERY, include_in_schema=False)
async def saved_query_page(
    request: Request[Any, Any, Any],
    parts: ConsoleParts,
    saved: str,
    number: int | None = None,
    limit: int = _ROWS,
    offset: int = 0,
    as_of: str = "",
) -> Template:
    """A saved query in the editor, with its answer and its versions."""

    def work(stop: threading.Event) -> Template:
        with parts.plane.database.read() as connection:
            found = get_query(connection, saved, number)
        asked = _Asked(found.query, limit, offset, as_of, found.name, found.description)
        return _editor(request, parts, asked.checked(), found, stop)

    return await while_wanted(request, work)


def _editor(
    request: Request[Any, Any, Any],
    parts: ConsoleParts,
    asked: _Asked,
    saved: SavedQuery | None,
    stop: threading.Event,
) -> Template:
    table, more, error = None, False, None
    rows: list[tuple[Any, ...]] = []
    try:
        if asked.query.strip():
            table, more = _answer(parts, asked, stop)
            rows = list(zip(*python_columns(table), strict=True))
    except (Invalid, TooLarge, Unavailable) as refused:
        error = refused
    with parts.plane.database.read() as connection:
        endpoints = [route.endpoint for route in list_routes(connection, limit=12).items]
        history = None if saved is None else query_history(connection, saved.name, limit=10)
    answered = table is not None and error is None
    twin = asked.api("/api/query", limit=asked.offset + asked.limit) if answered else ""
    if saved is not None:
        twin = f"/api/queries/{saved.name}?{urlencode({'number': saved.number})}"
    context = {
        "asked": asked,
        "saved": saved,
        "history": history,
        "error": error,
        "endpoints": endpoints,
        "columns": [] if table is None else table.schema,
        "rows": rows,
        "answered": answered,
        "more": more,
        "files": [(kind, asked.api("/api/query", format=kind, **_EXPORT)) for kind in FORMATS]
        if answered
        else [],
        "here_path": request.url.path,
        "twin": twin,
    }
    return page_of("sql.html", request, parts, **context)


def _answer(parts: ConsoleParts, asked: _Asked, stop: threading.Event) -> tuple[pa.Table, bool]:
    """A page of the answer, and whether there is another."""
    allowance = Allowance(asked.offset + asked.limit)
    with QUERIES.turn(), parts.lake.ask(asked.query, allowance, as_of=asked.moment, stop=stop) as answer:
        return answer.table(asked.offset), answer.truncated


@look("/queries", Right.QUERY, include_in_schema=False)
def queries_page(
    request: Request[Any, Any, Any], parts: ConsoleParts, search: str = "", offset: int = 0
) -> Template:
    """Saved queries, and what is exported from them."""
    with parts.plane.database.read() as connection:
        page = list_queries(connection, search=search, offset=offset, limit=25)
        exports = list_exports(connection, limit=100)
    return page_of("queries.html", request, parts, page=page, search=search, exports=exports)


@act("/queries/save", Right.QUERY, include_in_schema=False)
def save_query_form(parts: ConsoleParts, who: Principal, data: _Form) -> Response[Any]:
    """Save what is in the editor."""
    saved = keep_query(
        parts.plane,
        who,
        data.get("name", "").strip(),
        data.get("query", "").replace("\r\n", "\n"),
        description=data.get("description", ""),
    )
    return Redirect(f"/queries/{saved.name}", status_code=303)


@act("/queries/{saved:str}/remove", Right.QUERY, include_in_schema=False)
def remove_query_form(parts: ConsoleParts, who: Principal, saved: str, data: _Form) -> Response[Any]:
    """Take a saved query out of the list."""
    remove_query(parts.plane, who, saved, why=data.get("why", "")[:500])
    return Redirect("/queries", status_code=303)


SQL_PAGES = [sql_page, saved_query_page, queries_page, save_query_form, remove_query_form]
