"""SQL over what was recorded."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import IO, Annotated, Any, Final

import msgspec
from litestar import Request, Response
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import Parameter

from tsavo.console.declaring import PROBLEMS, act, look
from tsavo.console.moments import aware
from tsavo.console.parts import ConsoleParts
from tsavo.console.spooling import sent, spooled
from tsavo.governance import Right
from tsavo.lake import FORMATS, Allowance, Answer, format_named, json_bytes, python_columns, write_answer

__all__ = ["DATA_ROUTES", "SqlAnswer", "SqlGiven", "answered"]

_JSON: Final = "application/json"


class SqlGiven(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One SELECT, what it may take, and as what it is answered.

    Attributes
    ----------
    limit, seconds, memory_mib
        Most rows, seconds, and memory.
    as_of
        What was known at this moment: later decisions and outcomes are left out.
    format
        ``csv``, ``parquet``, ``xlsx``, ``json`` (an array of rows), ``jsonl`` or ``arrow``, as a file; without it the
        request's ``Accept`` decides.
    raw
        Leave texts of a CSV file as they are that a spreadsheet program would run as formulas.
    """

    query: str
    limit: int = 10_000
    seconds: float = 30.0
    memory_mib: int = 2048
    as_of: datetime | None = None
    format: str | None = None
    raw: bool = False

    @property
    def allowance(self) -> Allowance:
        """What the query may take."""
        return Allowance(self.limit, self.seconds, self.memory_mib)


class Column(msgspec.Struct, frozen=True):
    """A column of an answer, with its Arrow type."""

    name: str
    type: str


class SqlAnswer(msgspec.Struct, frozen=True):
    """Rows of values in the order of `columns`; `truncated` when there were more."""

    columns: list[Column]
    rows: list[list[Any]]
    truncated: bool


_ANSWERED: Final = {
    200: ResponseSpec(SqlAnswer, description="Rows, or the file that was asked for.", generate_examples=False)
}


@act("/api/sql", Right.QUERY, summary="Run one SELECT", responses=PROBLEMS | _ANSWERED)
async def sql(request: Request[Any, Any, Any], parts: ConsoleParts, data: SqlGiven) -> Response[Any]:
    """Rows as JSON, or as the kind of file that ``format`` or ``Accept`` names; stopped when the client goes away."""
    return await answered(request, parts, data)


@look(
    "/api/query", Right.QUERY, summary="Run one SELECT that is in the address", responses=PROBLEMS | _ANSWERED
)
async def sql_in_address(
    request: Request[Any, Any, Any],
    parts: ConsoleParts,
    asked: Annotated[str, Parameter(query="query")],
    limit: int = 200,
    seconds: float = 30.0,
    memory_mib: int = 2048,
    as_of: datetime | None = None,
    format: str | None = None,
    raw: bool = False,
) -> Response[Any]:
    """The same, for a query that can be linked to; the SQL page's twin."""
    given = SqlGiven(asked, limit, seconds, memory_mib, as_of, format, raw)
    return await answered(request, parts, given)


async def answered(
    request: Request[Any, Any, Any], parts: ConsoleParts, given: SqlGiven, name: str = "answer"
) -> Response[Any]:
    """A query's answer, as a file called `name` where one was asked for."""
    kind = _kind(given.format, request.headers.get("accept", ""))
    write = _write_rows if kind is None else partial(write_answer, format=kind, raw=given.raw)
    spool = await spooled(request, parts, given.query, given.allowance, aware(given.as_of), write)
    if kind is None:
        return sent(spool, _JSON)
    return sent(spool, FORMATS[kind].media_type, f"{name}.{kind}")


def _kind(format: str | None, accept: str) -> str | None:
    """The kind of file that is asked for; ``None`` for this API's own JSON."""
    if format:
        return format_named(format).name
    offered = {one.media_type: one.name for one in FORMATS.values() if one.media_type != _JSON}
    wanted = (part.partition(";")[0].strip().lower() for part in accept.split(","))
    return next((offered[part] for part in wanted if part in offered), None)


def _write_rows(answer: Answer, sink: IO[bytes]) -> None:
    columns = [Column(field.name, str(field.type)) for field in answer.schema]
    sink.write(b'{"columns":' + msgspec.json.encode(columns) + b',"rows":[')
    between = b""
    for batch in answer:
        rows = zip(*python_columns(batch), strict=True)
        sink.write(between + b",".join(json_bytes(row) for row in rows))
        between = b","
    sink.write(b'],"truncated":' + (b"true" if answer.truncated else b"false") + b"}")


DATA_ROUTES = [sql, sql_in_address]
