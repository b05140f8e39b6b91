"""Outcomes as callers send them, checked row by row before anything is kept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from tsavo.actions import PSEUDONYM, decisions_of, keys_of_plane, nanoseconds, outcome_records
from tsavo.console.parts import ConsoleParts
from tsavo.governance import Principal
from tsavo.registry import count_waiting, find_route, keep_waiting
from tsavo.vocabulary import (
    Invalid,
    OutcomeRecord,
    OutcomesRecorded,
    Refused,
    Signature,
    TooLarge,
    TsavoError,
    WaitingOutcome,
    check_name,
    encode_record,
    parse_decision_id,
    subject_text,
)

__all__ = ["KeyedOutcomesGiven", "OutcomesGiven", "record_keyed", "record_outcomes"]

_MOST: Final = 100_000
_MOST_WAITING: Final = 1_000_000
_SAMPLE: Final = 10
_SYSTEM_KEYS: Final = ("caller", "segment", "pseudonym")
_SUBJECT: Final = "subject"

Value = str | int | float | bool | None


class OutcomesGiven(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Decision ids, what really happened to each, and perhaps when that was observed (ISO 8601).

    ``null`` as a value withdraws an outcome that was sent before. With `only_check` nothing is kept.
    """

    decisions: list[str]
    values: list[Value]
    observed: list[datetime | None] | None = None
    only_check: bool = False


class KeyedOutcomesGiven(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Business keys, what really happened to each, and when: the decision was made at or before that.

    Attributes
    ----------
    key
        The feature whose values the keys are; or ``caller``, ``segment`` or ``pseudonym``. The column that says whose
        data a row is (``subject``, where callers say so beside the request) is looked up by the keys' pseudonyms.
    times
        When it happened; without them, or where one is ``null``, now.
    within_seconds
        A decision is no longer before its outcome than this; ``null``: however long.
    every
        All decisions of the key in that time get the outcome, and not only the latest.
    """

    key: str
    keys: list[str | int | float | bool]
    values: list[Value]
    times: list[datetime | None] | None = None
    within_seconds: float | None = None
    every: bool = False
    only_check: bool = False


def record_outcomes(
    parts: ConsoleParts, endpoint: str, signature: Signature, given: OutcomesGiven
) -> OutcomesRecorded:
    """Keep outcomes; they are on disk when this returns.

    Raises
    ------
    Invalid
        Naming the first row that is no outcome of this endpoint's; nothing is kept then.
    TooLarge
        For more than 100,000 at once.
    """
    check_name(endpoint, "endpoint")
    count = len(given.decisions)
    _check_lengths("decisions", count, values=given.values, observed=given.observed)
    values = [_checked(signature, row, value) for row, value in enumerate(given.values)]
    for row, decision in enumerate(given.decisions):
        try:
            parse_decision_id(decision)
        except Invalid as error:
            error.field = f"decisions[{row}]"
            raise
    report = _compared(parts, endpoint, given.decisions, values, count)
    if count and not given.only_check:
        observed = (
            []
            if given.observed is None
            else [None if moment is None else nanoseconds(moment) for moment in given.observed]
        )
        record = OutcomeRecord(parts.plane.clock.nanoseconds(), endpoint, given.decisions, values, observed)
        parts.outcomes.append_blocking(encode_record(record))
    return report


def record_keyed(
    parts: ConsoleParts, who: Principal, endpoint: str, signature: Signature, given: KeyedOutcomesGiven
) -> OutcomesRecorded:
    """Keep outcomes under a business key: with their decisions, or aside until those come.

    Raises
    ------
    Invalid
        Naming the first row at fault, or a key that is no feature; nothing is kept then.
    TooLarge
        For more than 100,000 at once, or when a million wait at this endpoint already.
    """
    check_name(endpoint, "endpoint")
    count = len(given.keys)
    _check_lengths("keys", count, values=given.values, times=given.times)
    if given.within_seconds is not None and not 0 < given.within_seconds < math.inf:
        raise Invalid(
            "not a span of time", field="within_seconds", found=given.within_seconds, expected="above 0"
        )
    sent, given = given, _by_pseudonym(parts, endpoint, given)
    now = parts.plane.clock.now()
    times = given.times or [None] * count
    outcomes = [
        WaitingOutcome(
            endpoint=endpoint,
            key=given.key,
            value=key,
            outcome=_checked(signature, row, value),
            time=_aware(time) if time is not None else now,
            within_seconds=given.within_seconds,
            every=given.every,
            observed=None if time is None else _aware(time),
            recorded=now,
            by=who.name,
        )
        for row, (key, value, time) in enumerate(zip(given.keys, given.values, times, strict=True))
    ]
    found = decisions_of(parts.lake, endpoint, given.key, outcomes) if count else []
    if found is None:
        _check_key(signature, given.key)
        found = [[] for _ in outcomes]
    if sent is not given:
        found = _in_plain_text(parts, endpoint, sent, outcomes, found)
    joined = [(one, ids) for one, ids in zip(outcomes, found, strict=True) if ids]
    waiting = [one for one, ids in zip(outcomes, found, strict=True) if not ids]
    ids = [decision for _, its in joined for decision in its]
    report = _compared(parts, endpoint, ids, [one.outcome for one, its in joined for _ in its], count)
    if not given.only_check:
        _keep(parts, endpoint, waiting, outcome_records(endpoint, joined))
    rows = [row for row, its in enumerate(found) if not its]
    sample = [{"row": row, "key": sent.keys[row]} for row in rows[:_SAMPLE]]
    return msgspec.structs.replace(report, decisions=len(set(ids)), unknown=len(rows), sample=sample)


def _by_pseudonym(parts: ConsoleParts, endpoint: str, given: KeyedOutcomesGiven) -> KeyedOutcomesGiven:
    """The same outcomes by pseudonym, where the key is sealed; raise `Refused` when it is sealed and names nobody."""
    with parts.plane.database.read() as connection:
        route = find_route(connection, endpoint)
    privacy = None if route is None else route.privacy
    if privacy is None:
        return given
    if given.key == (privacy.subject or _SUBJECT):
        ring = keys_of_plane(parts.plane)
        keys: list[str | int | float | bool] = [
            ring.pseudonym(subject_text(key, f"keys[{row}]")) for row, key in enumerate(given.keys)
        ]
        return msgspec.structs.replace(given, key=PSEUDONYM, keys=keys)
    if given.key in privacy.columns:
        raise Refused(
            "the column is personal, and sealed where it is recorded: nothing can be found by it",
            field="key",
            found=given.key,
            expected=f"{privacy.subject or _SUBJECT}, a decision id, or a column that is not personal",
        )
    return given


def _in_plain_text(
    parts: ConsoleParts,
    endpoint: str,
    sent: KeyedOutcomesGiven,
    outcomes: Sequence[WaitingOutcome],
    found: list[list[str]],
) -> list[list[str]]:
    """What was found by pseudonym; and for the rest, decisions from before the column was personal."""
    rows = [row for row, ids in enumerate(found) if not ids]
    asked = [msgspec.structs.replace(outcomes[row], key=sent.key, value=sent.keys[row]) for row in rows]
    try:
        earlier = decisions_of(parts.lake, endpoint, sent.key, asked) if asked else []
    except Invalid:
        earlier = None  # no decision ever had such a feature, or a key is not of its type
    for row, ids in zip(rows, earlier or (), strict=False):
        found[row] = ids
    return found


def _keep(
    parts: ConsoleParts, endpoint: str, waiting: Sequence[WaitingOutcome], records: Sequence[OutcomeRecord]
) -> None:
    # Those that wait go first: sent again after a failure, they take their own place, and no outcome is lost.
    if waiting:
        with parts.plane.database.begin() as connection:
            if count_waiting(connection, endpoint) + len(waiting) > _MOST_WAITING:
                raise TooLarge(
                    "too many outcomes wait for their decisions at this endpoint",
                    field="keys",
                    found=f"{len(waiting):,} more",
                    expected=f"at most {_MOST_WAITING:,}",
                    next_step="see 'tsavo outcomes ENDPOINT --waiting' for what waits: the key may be the wrong one",
                )
            keep_waiting(connection, waiting)
    for record in records:
        parts.outcomes.append_blocking(encode_record(record))


def _compared(
    parts: ConsoleParts, endpoint: str, ids: Sequence[str], values: Sequence[Value], count: int
) -> OutcomesRecorded:
    """What outcomes change; counts only what can be looked at now."""
    last = dict(zip(ids, values, strict=True))
    try:
        before = parts.lake.known_before(endpoint, list(last))
    except TsavoError:
        # The journals may be too long to be looked through. Outcomes are kept all the same.
        return OutcomesRecorded(count, repeated=len(ids) - len(last))
    known = {one: was.outcome for one, was in before.items() if was.outcome is not None}
    rows = [row for row, one in enumerate(ids) if not before[one].decided]
    return OutcomesRecorded(
        count,
        corrected=sum(was != _as_text(last[one]) for one, was in known.items()),
        unchanged=sum(was == _as_text(last[one]) for one, was in known.items()),
        repeated=len(ids) - len(last),
        unknown=len(rows),
        sample=[{"row": row, "decision_id": ids[row]} for row in rows[:_SAMPLE]],
    )


def _as_text(value: Value) -> str | None:
    """An outcome as the lake keeps it."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value)


def _check_lengths(name: str, count: int, **columns: Sequence[Any] | None) -> None:
    if count > _MOST:
        raise TooLarge(
            "too many outcomes at once",
            field=name,
            found=count,
            expected=f"at most {_MOST}",
            next_step="send parts",
        )
    for field, column in columns.items():
        if column is not None and len(column) != count:
            raise Invalid(
                f"not as many as {name}",
                field=field,
                found=f"{len(column)} items",
                expected=f"{count} items",
            )


def _check_key(signature: Signature, key: str) -> None:
    known = [field.name for field in signature.inputs]
    if key not in (*known, *_SYSTEM_KEYS):
        raise Invalid(
            "no feature of this endpoint's",
            field="key",
            found=key,
            expected=f"one of {', '.join([*known[:20], *_SYSTEM_KEYS])}",
        )


def _checked(signature: Signature, row: int, value: Any) -> Any:
    """The outcome in the type of the model's own answers."""
    if value is None:
        return None
    if signature.task in ("binary", "multiclass") and signature.classes is not None:
        for known in signature.classes:
            if value == known and isinstance(value, str) == isinstance(known, str):
                return known
        raise Invalid(
            "not a class of this model",
            field=f"values[{row}]",
            found=value,
            expected=f"one of {list(signature.classes)[:20]}, or null to withdraw an outcome",
        )
    if signature.task == "regression" and (
        not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value)
    ):
        raise Invalid(
            "not a number", field=f"values[{row}]", found=value, expected="a finite number, or null"
        )
    return value


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
