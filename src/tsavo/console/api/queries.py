"""Saved queries and scheduled exports."""

from __future__ import annotations

import asyncio
from datetime import datetime
from typing import Any

import msgspec
from litestar import Request, Response

from tsavo.actions import keep_query, remove_export, remove_query, schedule_export
from tsavo.console.api.data import SqlGiven, answered
from tsavo.console.declaring import act, look
from tsavo.console.parts import ConsoleParts
from tsavo.governance import Principal, Right
from tsavo.registry import find_export, get_query, list_exports, list_queries, query_history
from tsavo.vocabulary import Export, ExportFormat, NotFound, Page, SavedQuery

__all__ = ["QUERY_ROUTES"]


class QueryGiven(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One SELECT, what it is for, and why it is saved."""

    query: str
    description: str = ""
    why: str = ""


class ExportGiven(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is written, where to within the folder of exports, as what, and how often."""

    query: str
    folder: str
    every_seconds: int
    format: ExportFormat = "parquet"
    raw: bool = False
    why: str = ""


class RemovalGiven(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why something is removed."""

    why: str = ""


class Removed(msgspec.Struct, frozen=True):
    """What was removed."""

    removed: str


@look("/api/queries", Right.QUERY, summary="Saved queries")
def saved_queries(
    parts: ConsoleParts, search: str = "", offset: int = 0, limit: int = 50
) -> Page[SavedQuery]:
    """The newest version of each, by name."""
    with parts.plane.database.read() as connection:
        return list_queries(connection, search=search, offset=offset, limit=limit)


@look("/api/queries/{name:str}", Right.QUERY, summary="One saved query")
def saved_query(parts: ConsoleParts, name: str, number: int | None = None) -> SavedQuery:
    """Its newest version, or the one with a number."""
    with parts.plane.database.read() as connection:
        return get_query(connection, name, number)


@look("/api/queries/{name:str}/history", Right.QUERY, summary="All versions of a saved query")
def saved_query_history(parts: ConsoleParts, name: str, offset: int = 0, limit: int = 50) -> Page[SavedQuery]:
    """Newest first; also of a query that is not listed any more."""
    with parts.plane.database.read() as connection:
        return query_history(connection, name, offset=offset, limit=limit)


@look("/api/queries/{name:str}/run", Right.QUERY, summary="Run a saved query")
async def run_saved_query(
    request: Request[Any, Any, Any],
    parts: ConsoleParts,
    name: str,
    number: int | None = None,
    limit: int = 10_000,
    seconds: float = 30.0,
    memory_mib: int = 2048,
    as_of: datetime | None = None,
    format: str | None = None,
    raw: bool = False,
) -> Response[Any]:
    """Its answer, as ``POST /api/sql`` gives it: an address that a spreadsheet program can read again and again."""
    saved = await asyncio.to_thread(saved_one, parts, name, number)
    given = SqlGiven(saved.query, limit, seconds, memory_mib, as_of, format, raw)
    return await answered(request, parts, given, saved.name)


def saved_one(parts: ConsoleParts, name: str, number: int | None) -> SavedQuery:
    """A saved query; raise `NotFound` when there is none."""
    with parts.plane.database.read() as connection:
        return get_query(connection, name, number)


@act("/api/queries/{name:str}/save", Right.QUERY, summary="Save a query")
def save_query(parts: ConsoleParts, who: Principal, name: str, data: QueryGiven) -> SavedQuery:
    """The next version of it; the same text and description again make none."""
    return keep_query(parts.plane, who, name, data.query, description=data.description, why=data.why)


@act("/api/queries/{name:str}/remove", Right.QUERY, summary="Take a saved query out of the list")
def remove_saved_query(parts: ConsoleParts, who: Principal, name: str, data: RemovalGiven) -> Removed:
    """Its versions are kept, and its name goes on counting."""
    remove_query(parts.plane, who, name, why=data.why)
    return Removed(name)


@look("/api/exports", Right.QUERY, summary="Scheduled exports")
def list_scheduled_exports(parts: ConsoleParts, offset: int = 0, limit: int = 50) -> Page[Export]:
    """By name, with what came of the last run."""
    with parts.plane.database.read() as connection:
        return list_exports(connection, offset=offset, limit=limit)


@look("/api/exports/{name:str}", Right.QUERY, summary="One scheduled export")
def show_export(parts: ConsoleParts, name: str) -> Export:
    """With what came of its last run."""
    with parts.plane.database.read() as connection:
        found = find_export(connection, name)
    if found is None:
        raise NotFound("there is no such export", field="name", found=name)
    return found


@act("/api/exports/{name:str}/schedule", Right.DEPLOY, summary="Schedule an export")
def schedule_an_export(parts: ConsoleParts, who: Principal, name: str, data: ExportGiven) -> Export:
    """The keeper writes it at once, and then at the interval; another of the same name is replaced."""
    return schedule_export(
        parts.plane,
        who,
        name,
        data.query,
        folder=data.folder,
        every_seconds=data.every_seconds,
        format=data.format,
        raw=data.raw,
        why=data.why,
    )


@act("/api/exports/{name:str}/remove", Right.DEPLOY, summary="Stop an export")
def remove_an_export(parts: ConsoleParts, who: Principal, name: str, data: RemovalGiven) -> Removed:
    """Files that were written stay."""
    remove_export(parts.plane, who, name, why=data.why)
    return Removed(name)


QUERY_ROUTES = [
    saved_queries,
    saved_query,
    saved_query_history,
    run_saved_query,
    save_query,
    remove_saved_query,
    list_scheduled_exports,
    show_export,
    schedule_an_export,
    remove_an_export,
]
