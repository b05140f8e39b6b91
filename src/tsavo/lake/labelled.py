"""Decisions whose outcome has become known since a reader last looked, each once.

A decision row is delivered when both it and an outcome for it have been shipped, whichever came first. The position has
two parts, ``d/<journal>`` for decisions read and ``o/<journal>`` for outcomes read. Between two positions,
what is delivered is: new decisions that have an outcome, new or old; and old decisions that got
their *first* outcome. A later correction changes what SQL shows, but delivers nothing again; corrections that
arrived before the delivery are in it. Withdrawn outcomes (null) count as none.
"""

# ruff: noqa: S608 -- SQL is put together from quoted names, numbers, and our own text only

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from tsavo.lake.columns import quoted
from tsavo.lake.endpoint_rows import OUTCOME_COLUMNS
from tsavo.lake.folders import DECISION_BOUNDS, OUTCOME_BOUNDS
from tsavo.lake.increments import Piece, Position, Ranges, next_piece, within
from tsavo.lake.relations import latest_outcomes, nested, outcome_value
from tsavo.lake.session import Session
from tsavo.lake.tables import DataFile, Snapshot, dataset

__all__ = ["next_labelled", "overlapping"]

_DECISIONS: Final = "d/"
_OUTCOMES: Final = "o/"
_NOTHING: Final = "SELECT * FROM ({rows}) WHERE false"


def next_labelled(
    session: Session,
    decisions: Snapshot,
    outcomes: Snapshot,
    ranges: Ranges,
    after: Mapping[str, int],
    limit: int,
) -> tuple[pa.Table | None, Position]:
    """One step: what the next `limit` decisions and `limit` outcomes deliver, and where it ends.

    The table is ``None`` when nothing is new, and empty when what is new delivers nothing.
    """
    seen = _part(after, _DECISIONS)
    known = _part(after, _OUTCOMES)
    fresh = next_piece(session, decisions, ranges, seen, limit, "time")
    arrived = next_piece(session, outcomes, ranges, known, limit, "recorded")
    if fresh is None and arrived is None:
        return None, dict(after)
    known_then = known if arrived is None else arrived.position
    values = outcome_value(outcomes.files, ())
    parts = []
    if fresh is not None:
        source = session.source(dataset(fresh.files, decisions.schema, DECISION_BOUNDS))
        rows = f"SELECT * FROM ({nested([source])}) WHERE {fresh.condition()}"
        ids = session.table(
            f"SELECT DISTINCT decision_id FROM {quoted(source.name)} WHERE {fresh.condition()}"
        )
        parts.append(_joined(session, rows, _outcomes_of(session, outcomes, ids, known_then), values))
    if arrived is not None:
        ids = _first_arrivals(session, outcomes, arrived, known)
        source = session.source(dataset(overlapping(decisions.files, ids), decisions.schema, DECISION_BOUNDS))
        named = session.source(ids)
        rows = (
            f"SELECT * FROM ({nested([source])}) WHERE {within({}, seen)}"
            f" AND decision_id IN (SELECT decision_id FROM {quoted(named.name)})"
        )
        parts.append(_joined(session, rows, _outcomes_of(session, outcomes, ids, known_then), values))
    seen_then = seen if fresh is None else fresh.position
    position = {f"{_DECISIONS}{name}": seq for name, seq in seen_then.items()}
    position |= {f"{_OUTCOMES}{name}": seq for name, seq in known_then.items()}
    return session.table(" UNION ALL ".join(f"({part})" for part in parts)), position


def _part(position: Mapping[str, int], prefix: str) -> Position:
    return {name.removeprefix(prefix): seq for name, seq in position.items() if name.startswith(prefix)}


def _first_arrivals(session: Session, outcomes: Snapshot, arrived: Piece, known: Position) -> pa.Table:
    """Ids of decisions that got an outcome in `arrived` and had none up to `known`."""
    source = session.source(dataset(arrived.files, outcomes.schema))
    ids = session.table(
        f"SELECT DISTINCT decision_id FROM {quoted(source.name)} WHERE {arrived.condition()} AND kind IS NOT NULL"
    )
    named = session.source(ids)
    before = session.source(dataset(overlapping(outcomes.files, ids), outcomes.schema, OUTCOME_BOUNDS))
    return session.table(
        f"SELECT decision_id FROM {quoted(named.name)} WHERE decision_id NOT IN"
        f" (SELECT decision_id FROM {quoted(before.name)} WHERE {within({}, known)} AND kind IS NOT NULL)"
    )


def _outcomes_of(session: Session, outcomes: Snapshot, ids: pa.Table, upto: Position) -> str:
    named = session.source(ids)
    source = session.source(dataset(overlapping(outcomes.files, ids), outcomes.schema, OUTCOME_BOUNDS))
    return (
        f"SELECT {OUTCOME_COLUMNS} FROM {quoted(source.name)} WHERE {within({}, upto)}"
        f" AND decision_id IN (SELECT decision_id FROM {quoted(named.name)})"
    )


def _joined(session: Session, rows: str, outcomes: str, values: str) -> str:
    return (
        f"SELECT rows.*, known.outcome, known.observed FROM ({rows}) AS rows"
        f" JOIN ({latest_outcomes(outcomes, values)}) AS known USING (decision_id)"
        " WHERE known.outcome IS NOT NULL ORDER BY rows.time, rows.decision_id"
    )


def overlapping(files: Sequence[DataFile], ids: pa.Table) -> list[DataFile]:
    """The files that may hold one of `ids`, by their bounds: ids sort by time, so these are few."""
    wanted: list[str] = sorted(pc.unique(ids.column("decision_id")).to_pylist())
    found = []
    for file in files:
        low, high = file.low.get("decision_id"), file.high.get("decision_id")
        if low is None or high is None:
            found.append(file)
            continue
        place = bisect_left(wanted, low)
        if place < len(wanted) and wanted[place] <= high:
            found.append(file)
    return found
