"""Keeping queries under a name, and scheduling files that are written from them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from tsavo.actions.control_plane import ControlPlane
from tsavo.governance import Principal, Right, audit, require
from tsavo.lake import check_statement, format_named
from tsavo.registry import (
    delete_export,
    find_export,
    find_query,
    get_query,
    hide_query,
    query_number,
    save_export,
    save_query,
)
from tsavo.storage import Connection
from tsavo.vocabulary import Export, ExportFormat, Invalid, NotFound, SavedQuery, TooLarge, check_name

__all__ = ["exported_query", "keep_query", "remove_export", "remove_query", "schedule_export"]

_MOST_CHARACTERS: Final = 100_000
_MOST_DESCRIPTION: Final = 2_000
_LEAST_SECONDS, _MOST_SECONDS = 60, 366 * 86_400
_DEEPEST: Final = 5
_SAVED: Final = "@"


def keep_query(
    plane: ControlPlane, who: Principal, name: str, query: str, *, description: str = "", why: str = ""
) -> SavedQuery:
    """Save a query; the same text and description again make no new version.

    Raises
    ------
    Invalid, TooLarge
        The name is none, the text is not one reading statement, or it is longer than a query is.
    """
    require(who, Right.QUERY)
    check_name(name, "name")
    _check_length("query", query, _MOST_CHARACTERS)
    _check_length("description", description, _MOST_DESCRIPTION)
    check_statement(query)
    with plane.database.begin() as connection:
        before = find_query(connection, name)
        if before is not None and (before.query, before.description) == (query, description):
            return before
        number = query_number(connection, name) + 1
        saved = SavedQuery(name, number, query, description, who.name, plane.clock.now(), why)
        save_query(connection, saved)
        _audit(connection, saved.time, who, "query.save", f"query:{name}", why, before, saved)
    return saved


def remove_query(plane: ControlPlane, who: Principal, name: str, *, why: str = "") -> None:
    """Take a saved query out of the list; raise `NotFound` when it is not there."""
    require(who, Right.QUERY)
    with plane.database.begin() as connection:
        before = get_query(connection, name)
        hide_query(connection, name)
        _audit(connection, plane.clock.now(), who, "query.remove", f"query:{name}", why, before, None)


def schedule_export(
    plane: ControlPlane,
    who: Principal,
    name: str,
    query: str,
    *,
    folder: str,
    every_seconds: int,
    format: ExportFormat,
    raw: bool = False,
    why: str = "",
) -> Export:
    """Let a file be written from a query at an interval, at once for the first time.

    Parameters
    ----------
    query
        One SELECT, or ``@name`` for a saved query.
    folder
        Names joined by ``/``, within the folder of exports.

    Raises
    ------
    Invalid, NotFound
        A part of it is not what it should be, or there is no such saved query.
    """
    require(who, Right.DEPLOY)
    check_name(name, "name")
    format_named(format)
    _check_folder(folder)
    _check_length("query", query, _MOST_CHARACTERS)
    if not _LEAST_SECONDS <= every_seconds <= _MOST_SECONDS:
        raise Invalid(
            "not an interval",
            field="every_seconds",
            found=every_seconds,
            expected=f"{_LEAST_SECONDS} to {_MOST_SECONDS:,} seconds",
        )
    with plane.database.begin() as connection:
        check_statement(exported_query(connection, query))
        before = find_export(connection, name)
        now = plane.clock.now()
        export = Export(name, query, folder, format, every_seconds, raw, who.name, now, now)
        save_export(connection, export)
        _audit(connection, now, who, "export.schedule", f"export:{name}", why, before, export)
    return export


def remove_export(plane: ControlPlane, who: Principal, name: str, *, why: str = "") -> None:
    """Stop writing an export; raise `NotFound` when there is none. Files that were written stay."""
    require(who, Right.DEPLOY)
    with plane.database.begin() as connection:
        before = find_export(connection, name)
        if before is None:
            raise NotFound(
                "there is no such export", field="name", found=name, next_step="see 'tsavo export'"
            )
        delete_export(connection, name)
        _audit(connection, plane.clock.now(), who, "export.remove", f"export:{name}", why, before, None)


def exported_query(connection: Connection, query: str) -> str:
    """The SELECT of an export: its own, or the newest of the saved query that it names."""
    if query.startswith(_SAVED):
        return get_query(connection, query.removeprefix(_SAVED)).query
    return query


def next_run(export: Export, now: datetime) -> datetime:
    """The next moment of an export's rhythm after `now`; moments that were missed are not made up for."""
    step = timedelta(seconds=export.every_seconds)
    missed = max(0, (now - export.next) // step)
    return export.next + (missed + 1) * step


def _check_folder(folder: str) -> None:
    parts = folder.split("/")
    if len(parts) > _DEEPEST:
        raise Invalid("too deep a folder", field="folder", found=folder, expected=f"at most {_DEEPEST} names")
    for part in parts:
        try:
            check_name(part, "folder")
        except Invalid as error:
            raise Invalid(
                "not a folder of exports",
                field="folder",
                found=folder,
                expected="names joined by '/', such as sales/daily: it lies within the server's folder of exports",
                next_step="to write elsewhere, set storage.exports in tsavo.toml",
            ) from error


def _check_length(field: str, text: str, most: int) -> None:
    if len(text) > most:
        raise TooLarge(
            "too long", field=field, found=f"{len(text):,} characters", expected=f"at most {most:,}"
        )


def _audit(
    connection: Connection,
    now: datetime,
    who: Principal,
    action: str,
    subject: str,
    why: str,
    before: Any,
    after: Any,
) -> None:
    audit(
        connection,
        time=now,
        who=who.name,
        action=action,
        subject=subject,
        why=why,
        before=None if before is None else msgspec.to_builtins(before),
        after=None if after is None else msgspec.to_builtins(after),
    )
