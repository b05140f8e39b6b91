"""Questions of people: one decision, the latest of an endpoint, how much traffic there was."""

# ruff: noqa: S608 -- SQL is put together from quoted names, numbers, and our own text only

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from tsavo.lake.endpoint_rows import Rows, decision_sources, known_outcomes
from tsavo.lake.relations import nested, text, union
from tsavo.lake.session import Session, Source
from tsavo.lake.tables import DataFile, Snapshot, dataset
from tsavo.vocabulary import Invalid

__all__ = ["Activity", "activity_of", "find_decision", "latest_decisions", "may_hold", "moment", "traffic_of"]

# Latency is a request's: its first row stands for it.
_FIRST_ROW: Final = "ends_with(decision_id, ':0')"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class Activity(NamedTuple):
    """How busy an endpoint was: decisions answered, the last one's time, 95th percentile of latency."""

    decisions: int
    last: datetime | None
    p95_us: float | None


def find_decision(session: Session, rows: Rows, decision_id: str) -> dict[str, Any] | None:
    """The decision as a dict with its shadows; ``None`` when this endpoint has not made it."""
    sources = _of_one(session, rows, decision_id)
    if not sources:
        return None
    found = session.table(
        f"SELECT * FROM ({nested(sources, explanation=True)}) WHERE decision_id = {text(decision_id)}"
    ).to_pylist()
    if not found:
        return None
    outcome = _outcome(session, rows, decision_id)
    found = [{**row, **outcome} for row in found]
    answered = [row for row in found if row["role"] != "shadow"]
    shadows = [row for row in found if row["role"] == "shadow"]
    first, *others = answered + shadows
    return {**first, "shadows": others}


def _of_one(session: Session, rows: Rows, decision_id: str) -> list[Source]:
    """What there is of one decision: row groups are skipped by the bounds of their ids, which sort by time."""
    sources = []
    if rows.decisions is not None:
        files = [file for file in rows.decisions.files if _may_hold(file, decision_id)]
        data = dataset(files, rows.decisions.schema)
        sources.append(session.source(data.to_table(filter=pc.field("decision_id") == decision_id)))
    if rows.tail is not None:
        sources.append(session.source(rows.tail))
    return sources


def may_hold(snapshot: Snapshot | None, decision_id: str) -> bool:
    """Whether a table may hold a decision, by the bounds of its files."""
    return snapshot is not None and any(_may_hold(file, decision_id) for file in snapshot.files)


def _may_hold(file: DataFile, decision_id: str) -> bool:
    low, high = file.low.get("decision_id"), file.high.get("decision_id")
    return low is None or high is None or low <= decision_id <= high


def _outcome(session: Session, rows: Rows, decision_id: str) -> dict[str, Any]:
    known = known_outcomes(session, rows)
    if known is not None:
        found = session.table(
            f"SELECT outcome, observed FROM ({known}) WHERE decision_id = {text(decision_id)}"
        ).to_pylist()
        if found:
            return dict(found[0])
    return {"outcome": None, "observed": None}


def latest_decisions(
    session: Session, rows: Rows, limit: int, before: str | None
) -> tuple[list[dict[str, Any]], str | None]:
    """The newest `limit` answered decisions, newest first, and the token of the next page (``None``: the last page).

    `before` is such a token: ``<microseconds since 1970>/<decision id>``; `Invalid` when it is not.
    """
    cut = _read_token(before) if before is not None else None
    wanted = _newest(rows, limit, cut)
    sources = decision_sources(session, rows, lambda file: file.path in wanted)
    if not sources:
        return [], None
    known = known_outcomes(session, rows)
    condition = "role <> 'shadow'"
    if cut is not None:
        condition += f" AND (epoch_us(time), decision_id) < ({cut[0]:d}, {text(cut[1])})"
    newest = f"ORDER BY time DESC, decision_id DESC LIMIT {limit + 1:d}"
    page = f"SELECT * FROM ({nested(sources)}) WHERE {condition} {newest}"
    query = f"SELECT page.*, NULL AS outcome, NULL AS observed FROM ({page}) AS page"
    if known is not None:
        query = (
            f"SELECT page.*, known.outcome, known.observed FROM ({page}) AS page"
            f" LEFT JOIN ({known}) AS known USING (decision_id)"
        )
    found = session.table(f"{query} ORDER BY time DESC, decision_id DESC").to_pylist()
    if len(found) <= limit:
        return found, None
    last = found[limit - 1]
    return found[:limit], f"{(last['time'] - _EPOCH) // _MICROSECOND}/{last['decision_id']}"


def _read_token(before: str) -> tuple[int, str]:
    moment, slash, decision = before.partition("/")
    if not slash or not moment.isascii() or not moment.isdigit() or len(moment) > 18:
        raise Invalid(
            "not a page", field="before", found=before, expected="the token that came with the page before"
        )
    return int(moment), decision


def _newest(rows: Rows, limit: int, cut: tuple[int, str] | None) -> set[str]:
    """Files that may hold the newest rows: newest first until they hold enough, and all that overlap those."""
    if rows.decisions is None:
        return set()
    files = rows.decisions.files
    if cut is not None:
        files = tuple(file for file in files if _micros(file.low.get("time"), -math.inf) <= cut[0])
    files = tuple(sorted(files, key=lambda file: _micros(file.high.get("time"), math.inf), reverse=True))
    chosen: set[str] = set()
    enough, oldest = 0, math.inf
    for file in files:
        if enough > limit and _micros(file.high.get("time"), math.inf) < oldest:
            break
        chosen.add(file.path)
        oldest = min(oldest, _micros(file.low.get("time"), -math.inf))
        # Rows at or after the cut, and shadows, may not count: only files wholly before the cut are sure to.
        if cut is None or _micros(file.high.get("time"), math.inf) < cut[0]:
            enough += file.rows
    return chosen


def _micros(moment: datetime | None, unknown: float) -> float:
    return unknown if moment is None else (moment - _EPOCH) // _MICROSECOND


def traffic_of(session: Session, rows: Rows, since: datetime, bucket: timedelta) -> pa.Table:
    """Decisions and latency by time bucket and role.

    Columns: ``time`` (the bucket's start), ``role``, ``decisions`` (rows), ``requests``, ``p50_us`` and ``p95_us``
    (latency of requests).
    """
    if bucket < timedelta(seconds=1):
        raise Invalid("too fine", field="bucket", found=str(bucket), expected="at least a second")
    sources = decision_sources(session, rows, lambda file: _ends_after(file, since))
    columns = "decision_id, time, role, latency_us"
    data = (
        union(sources, columns)
        if sources
        else (
            "SELECT '' AS decision_id, CAST(NULL AS TIMESTAMPTZ) AS time, '' AS role, 0 AS latency_us WHERE false"
        )
    )
    seconds = bucket / timedelta(seconds=1)
    return session.table(
        f"SELECT to_timestamp(floor(epoch(time) / {seconds!r}) * {seconds!r}) AS time, role,"
        f" count(*) AS decisions, count(*) FILTER (WHERE {_FIRST_ROW}) AS requests,"
        f" quantile_cont(latency_us, 0.5) FILTER (WHERE {_FIRST_ROW}) AS p50_us,"
        f" quantile_cont(latency_us, 0.95) FILTER (WHERE {_FIRST_ROW}) AS p95_us"
        f" FROM ({data}) WHERE time >= {moment(since)} GROUP BY ALL ORDER BY ALL"
    )


def activity_of(session: Session, rows: Rows, since: datetime) -> Activity:
    """How busy an endpoint was since a moment."""
    sources = decision_sources(session, rows, lambda file: _ends_after(file, since))
    last = _last(rows)
    if not sources:
        return Activity(0, last, None)
    found = session.table(
        "SELECT count(*) AS decisions, max(time) AS last,"
        f" quantile_cont(latency_us, 0.95) FILTER (WHERE {_FIRST_ROW}) AS p95_us"
        f" FROM ({union(sources, 'decision_id, time, role, latency_us')})"
        f" WHERE role <> 'shadow' AND time >= {moment(since)}"
    ).to_pylist()[0]
    return Activity(found["decisions"], found["last"] or last, found["p95_us"])


def _last(rows: Rows) -> datetime | None:
    times: Iterable[datetime] = (
        []
        if rows.decisions is None
        else [file.high["time"] for file in rows.decisions.files if "time" in file.high]
    )
    return max(times, default=None)


def _ends_after(file: DataFile, since: datetime) -> bool:
    return "time" not in file.high or file.high["time"] >= since


def moment(time: datetime) -> str:
    """A moment as SQL; raise `Invalid` when it has no time zone."""
    if time.tzinfo is None:
        raise Invalid("not a moment", field="since", found=str(time), expected="a datetime with a time zone")
    return f"make_timestamptz({(time - _EPOCH) // _MICROSECOND:d})"
