"""The views that SQL users see, made for the names that their query mentions.

``decisions`` (system columns of all endpoints), ``outcomes``, ``monitors``, one flat view per endpoint under its own
name, and beside it ``<endpoint>_outcomes``: the decisions whose outcome is known; and ``backtest:<name>``.

With ten thousand endpoints most views would be made for nothing, so names are looked for in the query's text. That can
only find too many: DuckDB's own list of a query's tables (`get_table_names`) refuses queries whose columns it cannot
resolve before the tables are there.
"""

# ruff: noqa: S608 -- SQL is put together from quoted names, numbers, and our own text only

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from datetime import datetime
from typing import Final

from tsavo.lake.backtests import BACKTEST, backtest_view, backtested_endpoint
from tsavo.lake.columns import quoted
from tsavo.lake.endpoint_rows import OUTCOME_COLUMNS, decision_sources, read_rows
from tsavo.lake.folders import DECISION_BOUNDS, OUTCOME_BOUNDS, POINT_BOUNDS, Folders
from tsavo.lake.layout import lay_out_outcomes
from tsavo.lake.outcome_views import known_then, outcome_view, then
from tsavo.lake.points import POINT_SCHEMA
from tsavo.lake.relations import RECORDED, SYSTEM, flat, union
from tsavo.lake.rows import OUTCOME_SCHEMA, SYSTEM_SCHEMA, Decided, Resolved, system_rows
from tsavo.lake.sources import Sources
from tsavo.lake.tables import DataFile
from tsavo.lake.tail import SignatureOf, Tail

__all__ = ["VIEWS", "define_views", "mentioned", "view_names"]

VIEWS: Final = ("decisions", "outcomes", "monitors")
_BESIDE: Final = "_outcomes"

# Quoted identifiers, strings (query_table('name') takes one), and bare words.
_WORDS: Final = re.compile(r'"((?:[^"]|"")+)"|\'((?:[^\']|\'\')+)\'|([A-Za-z0-9_]+)')


def mentioned(query: str) -> set[str]:
    """Every word of `query` that could be a table's name, in lower case.

    >>> sorted(mentioned('select a from "credit-risk.eu" join Sales'))
    ['a', 'credit-risk.eu', 'from', 'join', 'sales', 'select']
    """
    return {(word[0] or word[1] or word[2]).lower() for word in _WORDS.findall(query)}


def define_views(
    session: Sources,
    query: str,
    folders: Folders,
    tail: Tail,
    signature_of: SignatureOf,
    as_of: datetime | None = None,
) -> None:
    """Make the views that `query` mentions.

    Parameters
    ----------
    tail
        It was read before this is called.
    as_of
        Leave out what was decided, recorded or measured after this moment.
    """
    words = mentioned(query)
    endpoints = folders.endpoints() | tail.endpoints()
    # Without FROM "x" there may still be DESCRIBE or SHOW ALL TABLES: those show what the query names, too.
    if "decisions" in words:
        _define_decisions(session, folders, tail, endpoints, as_of)
    if "outcomes" in words:
        _define_outcomes(session, folders, tail, endpoints, as_of)
    if "monitors" in words:
        _define_monitors(session, folders, as_of)
    _define_backtests(session, words, folders, tail, signature_of)
    beside = _beside(endpoints)
    asked = {word: word for word in endpoints & words - set(VIEWS)}
    for view, endpoint in sorted((asked | {view: beside[view] for view in beside.keys() & words}).items()):
        rows = read_rows(folders, endpoint, tail, signature_of)
        sources = decision_sources(session, rows)
        if not sources:
            continue
        if view == endpoint:
            known = known_then(session, rows, as_of)
            session.define(quoted(view), then(flat(sources, known), "time", as_of))
        else:
            session.define(quoted(view), outcome_view(session, sources, rows, as_of))


def _define_backtests(
    session: Sources, words: Collection[str], folders: Folders, tail: Tail, signature_of: SignatureOf
) -> None:
    names = {word.removeprefix(BACKTEST) for word in words if word.startswith(BACKTEST)}
    for name in sorted(names & folders.backtests()):
        table = folders.backtest(name)
        snapshot = table.snapshot()
        if snapshot is None or not snapshot.files:
            continue
        sources = session.scan(snapshot.files, snapshot.schema, ("decision_id",))
        rows = read_rows(folders, backtested_endpoint(snapshot), tail, signature_of)
        session.define(quoted(BACKTEST + name), backtest_view(sources, known_then(session, rows, None)))


def view_names(folders: Folders, tail: Tail) -> set[str]:
    """Every view that a query could name."""
    endpoints = folders.endpoints() | tail.endpoints()
    backtests = {BACKTEST + name for name in folders.backtests()}
    return {*VIEWS, *endpoints, *_beside(endpoints), *backtests}


def _beside(endpoints: Collection[str]) -> dict[str, str]:
    """The views of known outcomes, and whose they are; an endpoint's own name wins over them."""
    views = {f"{name}{_BESIDE}": name for name in endpoints}
    return {view: name for view, name in views.items() if view not in endpoints and view not in VIEWS}


def _define_decisions(
    session: Sources, folders: Folders, tail: Tail, endpoints: Iterable[str], as_of: datetime | None
) -> None:
    files: list[DataFile] = []
    upto: dict[tuple[str, str], int] = {}
    for endpoint in endpoints:
        snapshot = folders.decisions(endpoint).snapshot(tail.journals)
        if snapshot is not None:
            files.extend(snapshot.files)
            upto |= {(endpoint, journal): snapshot.upto(journal) for journal in tail.journals}
    late: list[Decided] = [
        entry for entry in tail.decided if entry.seq > upto.get((entry.record.endpoint, entry.journal), 0)
    ]
    sources = session.scan(files, SYSTEM_SCHEMA, DECISION_BOUNDS)
    if late:
        sources.append(session.source(system_rows(late)))
    session.define("decisions", then(union(sources, ", ".join((*SYSTEM, *RECORDED))), "time", as_of))


def _define_outcomes(
    session: Sources, folders: Folders, tail: Tail, endpoints: Iterable[str], as_of: datetime | None
) -> None:
    files: list[DataFile] = []
    upto: dict[tuple[str, str], int] = {}
    for endpoint in endpoints:
        snapshot = folders.outcomes(endpoint).snapshot(tail.journals)
        if snapshot is not None:
            files.extend(snapshot.files)
            upto |= {(endpoint, journal): snapshot.upto(journal) for journal in tail.journals}
    late: list[Resolved] = [
        entry for entry in tail.resolved if entry.seq > upto.get((entry.record.endpoint, entry.journal), 0)
    ]
    sources = session.scan(files, OUTCOME_SCHEMA, OUTCOME_BOUNDS)
    if late:
        sources.append(session.source(lay_out_outcomes(late)[0]))
    rows = then(union(sources, OUTCOME_COLUMNS), "recorded", as_of)
    session.define(
        "outcomes", f"SELECT decision_id, endpoint, outcome, number, kind, observed, recorded FROM ({rows})"
    )


def _define_monitors(session: Sources, folders: Folders, as_of: datetime | None) -> None:
    snapshot = folders.points.snapshot()
    if snapshot is None:
        sources = [session.source(POINT_SCHEMA.empty_table())]
    else:
        sources = session.scan(snapshot.files, snapshot.schema, POINT_BOUNDS, folders.points.partition_by)
    names = ", ".join(quoted(name) for name in POINT_SCHEMA.names if name != "day")
    session.define("monitors", then(union(sources, names), "time", as_of))
