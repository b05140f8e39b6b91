"""Which decisions outcomes belong to: by decision id, or by a business key and a time.

The rule for a business key: of the decisions of which the feature of that name has the value, made at or before the
outcome's time and no longer before it than allowed, the latest; or every one of them when that is asked for. Shadows'
answers are no decisions of their own, and are left out.
"""

# ruff: noqa: S608 -- SQL is put together from quoted names, numbers, and our own text only

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any, Final, NamedTuple

import msgspec
import pyarrow as pa

from tsavo.lake.columns import logical_columns, quoted
from tsavo.lake.endpoint_rows import OUTCOME_COLUMNS, Rows, decision_sources, outcome_sources
from tsavo.lake.labelled import overlapping
from tsavo.lake.relations import nested, union
from tsavo.lake.session import Session, Source
from tsavo.lake.tables import DataFile
from tsavo.vocabulary import Invalid

__all__ = ["Before", "Labels", "Sought", "find_keyed", "known_before", "labels_of", "without_decision"]

_TIME: Final = pa.timestamp("us", tz="UTC")
# Columns of every decision that may be a business key, too.
_SYSTEM_KEYS: Final = ("caller", "segment", "pseudonym")
_ARROW: Final = {
    "BIGINT": pa.int64(),
    "DOUBLE": pa.float64(),
    "BOOLEAN": pa.bool_(),
    "VARCHAR": pa.string(),
}
_SAID: Final = {
    "BIGINT": "a whole number",
    "DOUBLE": "a number",
    "BOOLEAN": "true or false",
    "VARCHAR": "text or a whole number",
}
_LATEST: Final = 'struct_pack(recorded := recorded, journal := journal, seq := seq, at := "row")'


class Sought(NamedTuple):
    """Business keys and the time that each decision was made at or before.

    Attributes
    ----------
    since
        And not before this; ``None``: at any time before.
    every
        Whether every such decision is meant, or the latest only.
    """

    values: Sequence[Any]
    times: Sequence[datetime]
    since: Sequence[datetime | None]
    every: Sequence[bool]


class Before(msgspec.Struct, frozen=True):
    """What was known of a decision before an outcome came: its last outcome as text, ``None`` when there was none.

    `decided` is whether there is such a decision.
    """

    decided: bool
    outcome: str | None


class Labels(msgspec.Struct, frozen=True):
    """How an endpoint's decisions are labelled.

    Attributes
    ----------
    known
        Decisions whose outcome is known.
    withdrawn
        Decisions whose outcome was taken back.
    corrected
        Decisions whose outcome was changed after the first.
    median_seconds, p95_seconds
        The lag: from the decision to the recording of its first outcome. The id of a decision tells when it was made.
    last
        When an outcome was last recorded.
    """

    known: int
    withdrawn: int
    corrected: int
    median_seconds: float | None
    p95_seconds: float | None
    last: datetime | None


def find_keyed(session: Session, rows: Rows, key: str, sought: Sought) -> list[list[str]] | None:
    """For each value sought, the ids of its decisions, oldest first; ``None`` when nothing was ever decided here.

    Raises
    ------
    Invalid
        No decision has a feature of this name, or a value is not of the feature's type; it names ``keys[<row>]``.
    """
    count = len(sought.values)
    if not count:
        return []
    latest = max(sought.times)
    bounded = [moment for moment in sought.since if moment is not None]
    earliest = min(bounded) if len(bounded) == count else None
    sources = decision_sources(session, rows, lambda file: _meets(file, earliest, latest))
    everything = sources or decision_sources(session, rows)
    if not everything:
        return None
    expression, kind = _key_column(everything, key)
    asked = pa.table(
        {
            "place": pa.array(range(count), pa.int64()),
            "value": pa.array(
                [_typed(place, value, kind) for place, value in enumerate(sought.values)], _ARROW[kind]
            ),
            "upto": pa.array(list(sought.times), _TIME),
            "since": pa.array(list(sought.since), _TIME),
            "every": pa.array(list(sought.every), pa.bool_()),
        }
    )
    if not sources:
        return [[] for _ in sought.values]
    named = session.source(asked)
    decided = (
        f"SELECT decision_id, time, {expression} AS value FROM ({nested(sources)}) WHERE role <> 'shadow'"
    )
    matched = (
        "SELECT asked.place, asked.every, made.decision_id, made.time, row_number() OVER"
        " (PARTITION BY asked.place ORDER BY made.time DESC, made.decision_id DESC) AS turn"
        f" FROM {quoted(named.name)} AS asked JOIN ({decided}) AS made ON made.value = asked.value"
        " AND made.time <= asked.upto AND (asked.since IS NULL OR made.time >= asked.since)"
    )
    found = session.table(
        f"SELECT place, decision_id FROM ({matched}) WHERE every OR turn = 1 ORDER BY place, turn DESC"
    )
    ids: list[list[str]] = [[] for _ in sought.values]
    for place, decision in zip(found["place"].to_pylist(), found["decision_id"].to_pylist(), strict=True):
        ids[place].append(decision)
    return ids


def _meets(file: DataFile, earliest: datetime | None, latest: datetime) -> bool:
    low, high = file.low.get("time"), file.high.get("time")
    return (low is None or low <= latest) and (earliest is None or high is None or high >= earliest)


def _key_column(sources: Sequence[Source], key: str) -> tuple[str, str]:
    """SQL for the key over nested rows, and its type."""
    if key in _SYSTEM_KEYS:
        return key, "VARCHAR"
    features = {
        one.name: one
        for one in logical_columns([source.schema.field("features").type for source in sources])
        if one.sql_type in _ARROW
    }
    if key not in features:
        near = get_close_matches(key, [*features, *_SYSTEM_KEYS], n=3)
        raise Invalid(
            "no decision has a feature of this name",
            field="key",
            found=key,
            expected=f"one of {', '.join([*list(features)[:20], *_SYSTEM_KEYS])}",
            next_step=f"did you mean {' or '.join(near)}?" if near else None,
        )
    return f"features.{quoted(key)}", features[key].sql_type


def _typed(place: int, value: Any, kind: str) -> Any:
    """A key in the feature's type. Text that is a number is one: a column may be text for another cell's sake."""
    try:
        return _CASTS[kind](value)
    except (ValueError, OverflowError):
        raise Invalid(
            "not a key of this feature", field=f"keys[{place}]", found=value, expected=_SAID[kind]
        ) from None


def _whole(value: Any) -> int:
    number = int(value) if isinstance(value, str) else value
    if isinstance(number, bool) or not isinstance(number, int | float) or number != int(number):
        raise ValueError(value)
    if not -(2**63) <= number < 2**63:
        raise ValueError(value)
    return int(number)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(value)
    return float(value)


def _truth(value: Any) -> bool:
    if value in ("true", "false"):
        return bool(value == "true")
    if not isinstance(value, bool) and value not in (0, 1):
        raise ValueError(value)
    return bool(value)


def _text(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise ValueError(value)
    return str(value)


_CASTS: Final = {"BIGINT": _whole, "DOUBLE": _number, "BOOLEAN": _truth, "VARCHAR": _text}


def known_before(session: Session, rows: Rows, ids: Sequence[str]) -> dict[str, Before]:
    """What is known of each decision now."""
    asked = pa.table({"decision_id": pa.array(sorted(set(ids)), pa.string())})
    if not asked.num_rows:
        return {}
    wanted = quoted(session.source(asked).name)
    decided = set(_ids_among(session, rows, asked, wanted))
    outcomes = _outcomes_among(session, rows, asked, wanted)
    return {one: Before(one in decided, outcomes.get(one)) for one in asked.column("decision_id").to_pylist()}


def _ids_among(session: Session, rows: Rows, asked: pa.Table, wanted: str) -> list[str]:
    files = () if rows.decisions is None else rows.decisions.files
    near = {file.path for file in overlapping(files, asked)}
    sources = decision_sources(session, rows, lambda file: file.path in near)
    if not sources:
        return []
    found = session.table(
        f"SELECT DISTINCT decision_id FROM ({union(sources, 'decision_id')})"
        f" WHERE decision_id IN (SELECT decision_id FROM {wanted})"
    )
    ids: list[str] = found["decision_id"].to_pylist()
    return ids


def _outcomes_among(session: Session, rows: Rows, asked: pa.Table, wanted: str) -> dict[str, str | None]:
    sources = outcome_sources(session, rows.outcomes, rows.tail_outcomes)
    if not sources:
        return {}
    found = session.table(
        f"SELECT decision_id, arg_max(struct_pack(outcome := outcome), {_LATEST}).outcome AS outcome"
        f" FROM ({union(sources, OUTCOME_COLUMNS)}) WHERE decision_id IN (SELECT decision_id FROM {wanted})"
        " GROUP BY decision_id"
    )
    return dict(zip(found["decision_id"].to_pylist(), found["outcome"].to_pylist(), strict=True))


def without_decision(
    session: Session, rows: Rows, offset: int, limit: int
) -> tuple[list[dict[str, Any]], int]:
    """Outcomes whose decision is not there, the oldest first, and how many there are in all."""
    sources = outcome_sources(session, rows.outcomes, rows.tail_outcomes)
    if not sources:
        return [], 0
    made = decision_sources(session, rows)
    known = union(made, "decision_id") if made else "SELECT '' AS decision_id WHERE false"
    latest = (
        f"SELECT decision_id, arg_max(struct_pack(outcome := outcome, observed := observed, recorded := recorded),"
        f" {_LATEST}) AS last FROM ({union(sources, OUTCOME_COLUMNS)}) GROUP BY decision_id"
    )
    alone = (
        "SELECT decision_id, last.outcome AS outcome, last.observed AS observed, last.recorded AS recorded"
        f" FROM ({latest}) ANTI JOIN ({known}) USING (decision_id)"
    )
    total = session.table(f"SELECT count(*) AS n FROM ({alone})")["n"][0].as_py()
    page = session.table(
        f"SELECT * FROM ({alone}) ORDER BY recorded, decision_id LIMIT {limit:d} OFFSET {offset:d}"
    )
    return page.to_pylist(), int(total)


def labels_of(session: Session, rows: Rows) -> Labels:
    """How many outcomes there are, and how late they come."""
    sources = outcome_sources(session, rows.outcomes, rows.tail_outcomes)
    if not sources:
        return Labels(0, 0, 0, None, None, None)
    # A UUIDv7 begins with 48 bits of milliseconds since 1970: no decision need be read.
    made = "CAST('0x' || replace(substr(decision_id, 1, 13), '-', '') AS BIGINT) / 1000"
    histories = (
        f"SELECT decision_id, arg_max(struct_pack(kind := kind), {_LATEST}).kind AS kind,"
        " min(recorded) FILTER (WHERE kind IS NOT NULL) AS first, max(recorded) AS last,"
        " count(DISTINCT outcome) AS outcomes"
        f" FROM ({union(sources, OUTCOME_COLUMNS)}) GROUP BY decision_id"
    )
    lag = f"epoch(first) - {made}"
    found = session.table(
        "SELECT count(*) FILTER (WHERE kind IS NOT NULL) AS known,"
        " count(*) FILTER (WHERE kind IS NULL AND first IS NOT NULL) AS withdrawn,"
        " count(*) FILTER (WHERE outcomes > 1) AS corrected,"
        f" quantile_cont({lag}, 0.5) FILTER (WHERE first IS NOT NULL) AS median,"
        f" quantile_cont({lag}, 0.95) FILTER (WHERE first IS NOT NULL) AS p95,"
        f" max(last) AS last FROM ({histories})"
    ).to_pylist()[0]
    last = found["last"]
    return Labels(
        found["known"],
        found["withdrawn"],
        found["corrected"],
        found["median"],
        found["p95"],
        None if last is None else last.astimezone(UTC),
    )
