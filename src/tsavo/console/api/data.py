"""SQL over what was recorded, and single decisions."""

from __future__ import annotations

import io
from typing import Annotated, Any, Final

import msgspec
import pyarrow as pa
from litestar import Request, Response
from litestar.params import Parameter

from tsavo.console.crowding import QUERIES
from tsavo.console.declaring import act, look
from tsavo.console.parts import ConsoleParts
from tsavo.governance import Right
from tsavo.registry import get_version
from tsavo.vocabulary import Invalid, Version, VersionRef

__all__ = ["DATA_ROUTES", "DecisionView", "decision_view"]

_ARROW: Final = "application/vnd.apache.arrow.stream"
_MOST_ROWS: Final = 5_000_000


class SqlGiven(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One SELECT, and the most rows that are wanted."""

    query: str
    limit: int = 10_000


class Column(msgspec.Struct, frozen=True):
    """A column of an answer, with its Arrow type."""

    name: str
    type: str


class SqlAnswer(msgspec.Struct, frozen=True):
    """Rows of values in the order of `columns`; `truncated` when there were more."""

    columns: list[Column]
    rows: list[list[Any]]
    truncated: bool


class DecisionView(msgspec.Struct, frozen=True):
    """One decision with what the shadows said to the same row, and the version that made it."""

    decision: dict[str, Any]
    version: Version


@act("/api/sql", Right.QUERY, summary="Run one SELECT")
def sql(request: Request[Any, Any, Any], parts: ConsoleParts, data: SqlGiven) -> Response[Any]:
    """Rows as JSON, or as an Arrow IPC stream for ``Accept: application/vnd.apache.arrow.stream``."""
    return _answer(request, parts, data)


# Not GET /api/sql: two methods of one path lose their threads in Litestar 2.25.
@look("/api/query", Right.QUERY, summary="Run one SELECT that is in the address")
def sql_in_address(
    request: Request[Any, Any, Any],
    parts: ConsoleParts,
    asked: Annotated[str, Parameter(query="query")],
    limit: int = 200,
) -> Response[Any]:
    """The same, for a query that can be linked to; the SQL page's twin."""
    return _answer(request, parts, SqlGiven(asked, limit))


def _answer(request: Request[Any, Any, Any], parts: ConsoleParts, given: SqlGiven) -> Response[Any]:
    if not 1 <= given.limit <= _MOST_ROWS:
        raise Invalid("not a number of rows", field="limit", found=given.limit, expected=f"1 to {_MOST_ROWS}")
    with QUERIES.turn():
        table = parts.lake.sql(given.query, rows=given.limit)
    if _ARROW in request.headers.get("accept", ""):
        sink = io.BytesIO()
        with pa.ipc.new_stream(sink, table.schema) as writer:
            writer.write_table(table)
        return Response(sink.getvalue(), media_type=_ARROW)
    truncated = (table.schema.metadata or {}).get(b"truncated") == b"true"
    columns = [Column(field.name, str(field.type)) for field in table.schema]
    rows = [list(row) for row in zip(*(column.to_pylist() for column in table.columns), strict=True)]
    body = msgspec.json.encode(SqlAnswer(columns, rows, truncated), enc_hook=str)
    return Response(body, media_type="application/json")


@look("/api/decisions/{decision:str}", summary="One decision", right=Right.QUERY)
def show_decision(parts: ConsoleParts, decision: str) -> DecisionView:
    """What came in, what went out, which version, what became of it."""
    return decision_view(parts, decision)


def decision_view(parts: ConsoleParts, decision_id: str) -> DecisionView:
    """One decision; raise `NotFound` when there is none."""
    decision = parts.lake.decision(decision_id)
    with parts.plane.database.read() as connection:
        version = get_version(connection, VersionRef(decision["model"], decision["version"]))
    return DecisionView(decision, version)


DATA_ROUTES = [sql, sql_in_address, show_decision]
