"""Outcomes under a business key: to the decisions that they belong to, or aside until those come."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from tsavo.actions.control_plane import ControlPlane
from tsavo.lake import Lake, Sought
from tsavo.registry import drop_waiting, endpoints_waiting, next_waiting
from tsavo.vocabulary import Invalid, OutcomeRecord, WaitingOutcome, encode_record

__all__ = ["decisions_of", "join_waiting", "nanoseconds", "outcome_records"]

_PIECE: Final = 5_000


def decisions_of(
    lake: Lake, endpoint: str, key: str, outcomes: Sequence[WaitingOutcome]
) -> list[list[str]] | None:
    """The decisions of outcomes that all have the same `key`, in step; ``None`` when nothing was ever decided.

    Raises
    ------
    Invalid
        The key is no feature of any decision, or a value is not of its type.
    """
    since = [
        None if one.within_seconds is None else one.time - timedelta(seconds=one.within_seconds)
        for one in outcomes
    ]
    sought = Sought(
        [one.value for one in outcomes],
        [one.time for one in outcomes],
        since,
        [one.every for one in outcomes],
    )
    return lake.find_keyed(endpoint, key, sought)


def outcome_records(
    endpoint: str, outcomes: Iterable[tuple[WaitingOutcome, Sequence[str]]]
) -> list[OutcomeRecord]:
    """Records of outcomes whose decisions are known, by the moment at which they came.

    An outcome that waited keeps that moment: a correction that came later, by decision id, stays the later one.
    """
    groups: dict[datetime, OutcomeRecord] = {}
    for one, ids in outcomes:
        record = groups.get(one.recorded)
        if record is None:
            record = groups[one.recorded] = OutcomeRecord(nanoseconds(one.recorded), endpoint, [], [], [])
        for decision in ids:
            record.decisions.append(decision)
            record.values.append(one.outcome)
            record.observed.append(None if one.observed is None else nanoseconds(one.observed))
    return [record for record in groups.values() if record.decisions]


def nanoseconds(moment: datetime) -> int:
    """Nanoseconds since 1970 UTC; a moment without a zone is in UTC."""
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return int(aware.timestamp()) * 1_000_000_000 + aware.microsecond * 1000


def join_waiting(plane: ControlPlane, lake: Lake, append: Callable[[bytes], None]) -> int:
    """Give outcomes that wait to the decisions that have come since; return how many outcomes found theirs.

    Parameters
    ----------
    append
        Keeps a journal record durably. What was kept and is not forgotten here, after a crash, is kept again: the same
        outcome of the same decision twice is one.
    """
    with plane.database.read() as connection:
        endpoints = endpoints_waiting(connection)
    return sum(_join(plane, lake, append, endpoint) for endpoint in sorted(endpoints))


def _join(plane: ControlPlane, lake: Lake, append: Callable[[bytes], None], endpoint: str) -> int:
    joined, after, more = 0, "", True
    while more:
        with plane.database.read() as connection:
            piece, after = next_waiting(connection, endpoint, after, _PIECE)
        more = bool(after)
        found = []
        for key in sorted({one.key for one in piece}):
            found += _found(lake, endpoint, key, [one for one in piece if one.key == key])
        for record in outcome_records(endpoint, found):
            append(encode_record(record))
        if found:
            with plane.database.begin() as connection:
                drop_waiting(connection, [one for one, _ in found])
        joined += len(found)
    return joined


def _found(
    lake: Lake, endpoint: str, key: str, outcomes: Sequence[WaitingOutcome]
) -> list[tuple[WaitingOutcome, list[str]]]:
    """Outcomes and their decisions. One that fits no feature goes on waiting, where people see it."""
    try:
        decisions = decisions_of(lake, endpoint, key, outcomes)
    except Invalid as error:
        if error.field == "key" or len(outcomes) == 1:
            return []
        # A value that is not of the feature's type must not keep the others waiting: halve until it stands alone.
        middle = len(outcomes) // 2
        return _found(lake, endpoint, key, outcomes[:middle]) + _found(lake, endpoint, key, outcomes[middle:])
    return [(one, ids) for one, ids in zip(outcomes, decisions or (), strict=False) if ids]
