"""Outcomes as callers send them, checked row by row before anything is kept."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from tsavo.console.parts import ConsoleParts
from tsavo.vocabulary import (
    Invalid,
    OutcomeRecord,
    Signature,
    TooLarge,
    check_name,
    encode_record,
    parse_decision_id,
)

__all__ = ["OutcomesGiven", "record_outcomes"]

_MOST: Final = 100_000


class OutcomesGiven(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Decision ids, what really happened to each, and perhaps when that was observed (ISO 8601).

    ``null`` as a value withdraws an outcome that was sent before.
    """

    decisions: list[str]
    values: list[str | int | float | bool | None]
    observed: list[datetime | None] | None = None


def record_outcomes(parts: ConsoleParts, endpoint: str, signature: Signature, given: OutcomesGiven) -> int:
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
    if count > _MOST:
        raise TooLarge(
            "too many outcomes at once",
            field="decisions",
            found=count,
            expected=f"at most {_MOST}",
            next_step="send parts",
        )
    for name, column in (("values", given.values), ("observed", given.observed)):
        if column is not None and len(column) != count:
            raise Invalid(
                "not as many as decisions",
                field=name,
                found=f"{len(column)} items",
                expected=f"{count} items",
            )
    values = [_checked(signature, row, value) for row, value in enumerate(given.values)]
    for row, decision in enumerate(given.decisions):
        try:
            parse_decision_id(decision)
        except Invalid as error:
            error.field = f"decisions[{row}]"
            raise
    if count:
        observed = [] if given.observed is None else [_nanoseconds(moment) for moment in given.observed]
        record = OutcomeRecord(parts.plane.clock.nanoseconds(), endpoint, given.decisions, values, observed)
        parts.outcomes.append_blocking(encode_record(record))
    return count


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


def _nanoseconds(moment: datetime | None) -> int | None:
    if moment is None:
        return None
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return int(aware.timestamp()) * 1_000_000_000 + aware.microsecond * 1000
