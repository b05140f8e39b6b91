"""An endpoint's rows, shipped or not, handed to whoever reads them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import pyarrow as pa

from tsavo.lake.folders import DECISION_BOUNDS, OUTCOME_BOUNDS, Folders
from tsavo.lake.layout import lay_out_decisions, lay_out_outcomes, structs_of
from tsavo.lake.relations import latest_outcomes, outcome_value, union
from tsavo.lake.rows import OUTCOME_SCHEMA
from tsavo.lake.sources import Source, Sources
from tsavo.lake.tables import DataFile, Snapshot
from tsavo.lake.tail import SignatureOf, Tail

__all__ = ["OUTCOME_COLUMNS", "Rows", "decision_sources", "known_outcomes", "outcome_sources", "read_rows"]

OUTCOME_COLUMNS: Final = ", ".join(f'"{name}"' for name in OUTCOME_SCHEMA.names)


class Rows(NamedTuple):
    """What there is of one endpoint: snapshots of its tables, and rows that are in neither."""

    decisions: Snapshot | None
    outcomes: Snapshot | None
    tail: pa.Table | None
    tail_outcomes: pa.Table


def read_rows(folders: Folders, endpoint: str, tail: Tail, signature_of: SignatureOf) -> Rows:
    """Open the tables of `endpoint` after `tail` was read, so that each row is found in one of them exactly once."""
    decisions = folders.decisions(endpoint).snapshot(tail.journals)
    outcomes = folders.outcomes(endpoint).snapshot(tail.journals)
    known = structs_of(None if decisions is None else decisions.schema)
    rows, _ = lay_out_decisions(tail.decided_after(endpoint, decisions), signature_of, known)
    late, _ = lay_out_outcomes(tail.resolved_after(endpoint, outcomes))
    return Rows(decisions, outcomes, rows, late)


def decision_sources(
    session: Sources, rows: Rows, wanted: Callable[[DataFile], bool] | None = None
) -> list[Source]:
    """The decisions as sources of one relation; files that are not `wanted` are left out. Empty: no table, no rows."""
    sources: list[Source] = []
    if rows.decisions is not None:
        files = [file for file in rows.decisions.files if wanted is None or wanted(file)]
        sources += session.scan(files, rows.decisions.schema, DECISION_BOUNDS)
    if rows.tail is not None:
        sources.append(session.source(rows.tail))
    return sources


def outcome_sources(session: Sources, snapshot: Snapshot | None, tail: pa.Table) -> list[Source]:
    """The outcomes as sources of one relation; empty when there are none."""
    sources: list[Source] = []
    if snapshot is not None:
        sources += session.scan(snapshot.files, snapshot.schema, OUTCOME_BOUNDS)
    if tail.num_rows:
        sources.append(session.source(tail))
    return sources


def known_outcomes(session: Sources, rows: Rows) -> str | None:
    """A query for the last known outcome of each decision; ``None`` when there are none."""
    sources = outcome_sources(session, rows.outcomes, rows.tail_outcomes)
    if not sources:
        return None
    files: Sequence[DataFile] = () if rows.outcomes is None else rows.outcomes.files
    kinds = [kind for kind in rows.tail_outcomes.column("kind").unique().to_pylist() if kind is not None]
    return latest_outcomes(union(sources, OUTCOME_COLUMNS), outcome_value(files, kinds))
