"""Decisions with what became of them, now or as it was known at a moment.

*Known at a moment* means recorded at or before it: an outcome that was observed earlier but told us later was not known
then, and a correction that came later does not count yet. Decisions made after the moment are left out.
"""

# ruff: noqa: S608 -- SQL is put together from quoted names, numbers, and our own text only

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from tsavo.lake.columns import quoted
from tsavo.lake.endpoint_rows import OUTCOME_COLUMNS, Rows, outcome_sources
from tsavo.lake.relations import flat, latest_outcomes, outcome_value, union
from tsavo.lake.sources import Source, Sources
from tsavo.lake.tables import DataFile
from tsavo.vocabulary import Invalid

__all__ = ["KNOWN_COLUMNS", "known_then", "outcome_rows_then", "outcome_view", "then"]

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
# What `<endpoint>_outcomes` has beside the columns of the endpoint's own view.
KNOWN_COLUMNS: Final = ("known", "recorded", "corrections", "lag_seconds")


def then(rows: str, column: str, as_of: datetime | None) -> str:
    """`rows` whose `column` is not after a moment; all of them without one.

    Raises `Invalid` for a moment without a time zone.

    >>> then("SELECT * FROM t", "time", datetime(1970, 1, 1, 0, 0, 1, tzinfo=UTC))
    'SELECT * FROM (SELECT * FROM t) WHERE time <= make_timestamptz(1000000)'
    """
    if as_of is None:
        return rows
    if as_of.tzinfo is None:
        raise Invalid("not a moment", field="as_of", found=str(as_of), expected="a time with its time zone")
    micros = (as_of - _EPOCH) // _MICROSECOND
    return f"SELECT * FROM ({rows}) WHERE {column} <= make_timestamptz({micros:d})"


def outcome_rows_then(session: Sources, rows: Rows, as_of: datetime | None) -> tuple[str, str] | None:
    """A query for all outcomes recorded until a moment, and SQL for their value; ``None`` when there are none."""
    sources = outcome_sources(session, rows.outcomes, rows.tail_outcomes)
    if not sources:
        return None
    files: Sequence[DataFile] = () if rows.outcomes is None else rows.outcomes.files
    kinds = [kind for kind in rows.tail_outcomes.column("kind").unique().to_pylist() if kind is not None]
    return then(union(sources, OUTCOME_COLUMNS), "recorded", as_of), outcome_value(files, kinds)


def known_then(session: Sources, rows: Rows, as_of: datetime | None) -> str | None:
    """A query for the outcome of each decision as it was known at a moment; ``None`` when there are none."""
    found = outcome_rows_then(session, rows, as_of)
    return None if found is None else latest_outcomes(*found)


def outcome_view(session: Sources, sources: Sequence[Source], rows: Rows, as_of: datetime | None) -> str:
    """The view ``<endpoint>_outcomes``: one row a decision whose outcome is known, shadows left out.

    Beside the columns of the endpoint's own view it has ``known`` (when its first outcome was recorded), ``recorded``
    (when the one that counts was), ``corrections`` (how often it was changed after the first) and ``lag_seconds``
    (from the decision to ``known``).
    """
    found = outcome_rows_then(session, rows, as_of)
    decided = then(
        f"SELECT * FROM ({flat(sources, None)}) WHERE role <> 'shadow'",
        "time",
        as_of,
    )
    if found is None:
        known = (
            "SELECT '' AS decision_id, NULL AS outcome, CAST(NULL AS TIMESTAMPTZ) AS observed,"
            " CAST(NULL AS TIMESTAMPTZ) AS known, CAST(NULL AS TIMESTAMPTZ) AS recorded, 0 AS corrections WHERE false"
        )
    else:
        known = _histories(*found)
    columns = ", ".join(
        [
            "made.* EXCLUDE (outcome, observed)",
            "known.outcome",
            "known.observed",
            *(f"known.{quoted(name)}" for name in ("known", "recorded", "corrections")),
            "epoch(known.known) - epoch(made.time) AS lag_seconds",
        ]
    )
    return (
        f"SELECT {columns} FROM ({decided}) AS made JOIN ({known}) AS known USING (decision_id)"
        " WHERE known.outcome IS NOT NULL"
    )


def _histories(rows: str, value: str) -> str:
    """One row a decision: its present outcome, since when it is known, how often it was changed."""
    order = 'struct_pack(recorded := recorded, journal := journal, seq := seq, at := "row")'
    changed = (
        f"SELECT *, {value} AS value, kind IS NOT NULL AND outcome IS DISTINCT FROM"
        f" lag(outcome) OVER (PARTITION BY decision_id ORDER BY {order}) AS changed FROM ({rows})"
    )
    return (
        "SELECT decision_id, latest.outcome AS outcome, latest.observed AS observed, known,"
        " latest.recorded AS recorded, greatest(changes - 1, 0) AS corrections"
        f" FROM (SELECT decision_id, arg_max(struct_pack(outcome := value, observed := observed,"
        f" recorded := recorded), {order}) AS latest, min(recorded) FILTER (WHERE kind IS NOT NULL) AS known,"
        f" count(*) FILTER (WHERE changed) AS changes FROM ({changed}) GROUP BY decision_id)"
    )
