"""The views that SQL users see, made for the names that their query mentions.

``decisions`` (system columns of all endpoints), ``outcomes``, ``monitors``, and one flat view per endpoint under
its own name. With ten thousand endpoints most views would be made for nothing, so names are looked for in the
query's text. That can only find too many: DuckDB's own list of a query's tables (`get_table_names`) refuses
queries whose columns it cannot resolve before the tables are there.
"""

# ruff: noqa: S608 -- SQL is put together from quoted names, numbers, and our own text only

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from tsavo.lake.columns import quoted
from tsavo.lake.endpoint_rows import OUTCOME_COLUMNS, decision_sources, known_outcomes, read_rows
from tsavo.lake.folders import DECISION_BOUNDS, OUTCOME_BOUNDS, POINT_BOUNDS, Folders
from tsavo.lake.layout import lay_out_outcomes
from tsavo.lake.points import POINT_SCHEMA
from tsavo.lake.relations import SYSTEM, flat, union
from tsavo.lake.rows import OUTCOME_SCHEMA, SYSTEM_SCHEMA, Decided, Resolved, system_rows
from tsavo.lake.session import Session
from tsavo.lake.tables import DataFile, dataset
from tsavo.lake.tail import SignatureOf, Tail

__all__ = ["VIEWS", "define_views", "mentioned"]

VIEWS: Final = ("decisions", "outcomes", "monitors")

# Quoted identifiers, strings (query_table('name') takes one), and bare words.
_WORDS: Final = re.compile(r'"((?:[^"]|"")+)"|\'((?:[^\']|\'\')+)\'|([A-Za-z0-9_]+)')


def mentioned(query: str) -> set[str]:
    """Every word of `query` that could be a table's name, in lower case.

    >>> sorted(mentioned('select a from "credit-risk.eu" join Sales'))
    ['a', 'credit-risk.eu', 'from', 'join', 'sales', 'select']
    """
    return {(word[0] or word[1] or word[2]).lower() for word in _WORDS.findall(query)}


def define_views(
    session: Session, query: str, folders: Folders, tail: Tail, signature_of: SignatureOf
) -> None:
    """Make the views that `query` mentions. `tail` was read before this is called."""
    words = mentioned(query)
    endpoints = folders.endpoints() | tail.endpoints()
    # Without FROM "x" there may still be DESCRIBE or SHOW ALL TABLES: those show what the query names, too.
    if "decisions" in words:
        _define_decisions(session, folders, tail, endpoints)
    if "outcomes" in words:
        _define_outcomes(session, folders, tail, endpoints)
    if "monitors" in words:
        _define_monitors(session, folders)
    for endpoint in sorted(endpoints & words - set(VIEWS)):
        rows = read_rows(folders, endpoint, tail, signature_of)
        sources = decision_sources(session, rows)
        if sources:
            session.define(quoted(endpoint), flat(sources, known_outcomes(session, rows)))


def _define_decisions(session: Session, folders: Folders, tail: Tail, endpoints: Iterable[str]) -> None:
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
    sources = [session.source(dataset(files, SYSTEM_SCHEMA, DECISION_BOUNDS))]
    if late:
        sources.append(session.source(system_rows(late)))
    session.define("decisions", union(sources, ", ".join(SYSTEM)))


def _define_outcomes(session: Session, folders: Folders, tail: Tail, endpoints: Iterable[str]) -> None:
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
    sources = [session.source(dataset(files, OUTCOME_SCHEMA, OUTCOME_BOUNDS))]
    if late:
        sources.append(session.source(lay_out_outcomes(late)[0]))
    rows = union(sources, OUTCOME_COLUMNS)
    session.define(
        "outcomes", f"SELECT decision_id, endpoint, outcome, number, kind, observed, recorded FROM ({rows})"
    )


def _define_monitors(session: Session, folders: Folders) -> None:
    snapshot = folders.points.snapshot()
    data = POINT_SCHEMA.empty_table() if snapshot is None else folders.points.data(snapshot, POINT_BOUNDS)
    source = session.source(data)
    names = ", ".join(quoted(name) for name in POINT_SCHEMA.names if name != "day")
    session.define("monitors", f"SELECT {names} FROM {quoted(source.name)}")
