"""What really happened, from a caller's table to the columns that the console takes.

The console keeps one call's outcomes or none of them, but a long table is several calls. So ids, values and times are
looked at over the whole table first.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import msgspec

from tsavo.client.scoring import counted_from
from tsavo.client.tables import as_table
from tsavo.client.transport import Transport
from tsavo.vocabulary import BadInput, Invalid, OutcomesRecorded, TsavoError, parse_decision_id

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "KeyedOutcomes",
    "Outcomes",
    "keyed_outcomes_of",
    "outcomes_of",
    "send",
    "without_empty",
]


_A_CALL: Final = 50_000
_CELL: Final = re.compile(r"(\w+)\[([0-9]+)\]")


class Outcomes(msgspec.Struct, frozen=True):
    """Decision ids, what happened to each, and when that was observed (ISO 8601), in step."""

    decisions: list[str]
    values: list[Any]
    observed: list[str | None] | None = None

    def piece(self, start: int, rows: int) -> dict[str, Any]:
        """The body of one call."""
        body: dict[str, Any] = {
            "decisions": self.decisions[start : start + rows],
            "values": self.values[start : start + rows],
        }
        if self.observed is not None:
            body["observed"] = self.observed[start : start + rows]
        return body


class KeyedOutcomes(msgspec.Struct, frozen=True):
    """Business keys, what happened to each, and when (ISO 8601), in step."""

    key: str
    decisions: list[Any]
    values: list[Any]
    observed: list[str | None] | None = None
    within_seconds: float | None = None
    every: bool = False

    def piece(self, start: int, rows: int) -> dict[str, Any]:
        """The body of one call."""
        end = start + rows
        return {
            "key": self.key,
            "keys": self.decisions[start:end],
            "values": self.values[start:end],
            "times": None if self.observed is None else self.observed[start:end],
            "within_seconds": self.within_seconds,
            "every": self.every,
        }


def without_empty(data: Any, outcome: str) -> Any:
    """The rows of a table that have an outcome; the others say nothing yet."""
    import pyarrow.compute as pc

    table = as_table(data)
    _check_columns(table, outcome)
    column = table.column(outcome)
    # nan_is_null: a table of pandas has NaN where there is nothing.
    return table.filter(pc.invert(pc.is_null(column, nan_is_null=_is_float(column))))


def keyed_outcomes_of(
    data: Any, *, key: str, outcome: str, time: str, within: timedelta | None, every: bool
) -> KeyedOutcomes:
    """The outcomes in a table with a column of business keys.

    Raises
    ------
    Invalid
        Naming the first row at fault, as ``keys[<row>]``, ``values[<row>]`` or ``observed[<row>]``.
    """
    table = as_table(data)
    _check_columns(table, key, outcome)
    keys = _plain_keys(table.column(key))
    observed = _times(table.column(time)) if time in table.column_names else None
    seconds = None if within is None else within.total_seconds()
    return KeyedOutcomes(key, keys, _values(table.column(outcome)), observed, seconds, every)


def _plain_keys(column: pa.ChunkedArray) -> list[Any]:
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    keys: list[Any] = column.to_pylist()
    for row, key in enumerate(keys):
        if not isinstance(key, str | bool | int | float) or (
            isinstance(key, float) and not math.isfinite(key)
        ):
            raise Invalid(
                "not a key", field=f"keys[{row}]", found=key, expected="text, a number, true or false"
            )
    return keys


def _is_float(column: pa.ChunkedArray) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_floating(column.type))


def _check_columns(table: pa.Table, *names: str) -> None:
    for name in names:
        if name not in table.column_names:
            raise Invalid(
                "a column is missing",
                field=name,
                found=table.column_names[:20],
                expected=f"the column '{name}'",
            )


def send(
    console: Transport, path: str, given: Outcomes | KeyedOutcomes, columns: Mapping[str, str]
) -> OutcomesRecorded:
    """Send outcomes in as many calls as they need, all of them looked at before the first is kept.

    Parameters
    ----------
    columns
        What the caller calls the columns ``decisions``, ``keys``, ``values``, ``observed`` and ``times``.

    Raises
    ------
    TsavoError
        Nothing was kept; or, when the server fails between two calls, the reason says which rows were.
    """
    rows = len(given.decisions)
    starts = range(0, rows, _A_CALL)
    if len(starts) > 1:
        for start in starts:
            with _told(start, columns):
                console.post(path, {**given.piece(start, _A_CALL), "only_check": True})
    done = OutcomesRecorded(0)
    for start in starts:
        try:
            with _told(start, columns):
                told = console.post(path, given.piece(start, _A_CALL), OutcomesRecorded)
        except TsavoError as error:
            if start:
                kept = f"rows 1 to {start:,} were recorded, row {start + 1:,} and later ones were not"
                error.reason = f"{error.reason} ({kept})"
            raise
        done = done.plus(told, start)
    return done


@contextmanager
def _told(start: int, columns: Mapping[str, str]) -> Iterator[None]:
    """A refusal in the caller's words: the row of the whole table, and the column as it is called there."""
    try:
        yield
    except BadInput as error:
        error.field = counted_from(start, error.field)
        found = _CELL.fullmatch(error.field or "")
        if found is not None and found[1] in columns:
            error.reason = f"row {int(found[2]) + 1:,}, column '{columns[found[1]]}': {error.reason}"
        raise


def outcomes_of(data: Any, *, decision: str, outcome: str, time: str) -> Outcomes:
    """The outcomes in a table, or in a pandas Series whose index holds the decision ids.

    Parameters
    ----------
    decision, outcome, time
        What the columns are called; there need not be one of times.

    Raises
    ------
    Invalid
        Naming the first row at fault, as ``decisions[<row>]``, ``values[<row>]`` or ``observed[<row>]``.
    """
    if hasattr(data, "index") and hasattr(data, "to_frame") and not hasattr(data, "columns"):
        data = {decision: data.index.tolist(), outcome: data.tolist()}
    table = as_table(data)
    _check_columns(table, decision, outcome)
    decisions = table.column(decision).to_pylist()
    for row, text in enumerate(decisions):
        _check_id(row, text)
    observed = _times(table.column(time)) if time in table.column_names else None
    return Outcomes(decisions, _values(table.column(outcome)), observed)


def _check_id(row: int, text: Any) -> None:
    try:
        parse_decision_id(text if isinstance(text, str) else str(text))
    except Invalid as error:
        error.field = f"decisions[{row}]"
        raise


def _values(column: pa.ChunkedArray) -> list[Any]:
    import pyarrow as pa

    values = (column.cast(pa.float64()) if pa.types.is_decimal(column.type) else column).to_pylist()
    for row, value in enumerate(values):
        # JSON has no infinity, and null withdraws an outcome.
        if isinstance(value, float) and math.isinf(value):
            raise Invalid("not a number", field=f"values[{row}]", found=value, expected="a finite number")
        if value is not None and not isinstance(value, str | bool | int | float):
            raise Invalid(
                "not an outcome",
                field=f"values[{row}]",
                found=value,
                expected="a number, text, true or false",
            )
    return [None if isinstance(value, float) and math.isnan(value) else value for value in values]


def _times(column: pa.ChunkedArray) -> list[str | None]:
    """Times in ISO 8601; those without a zone are taken to be UTC."""
    import pyarrow as pa

    if pa.types.is_timestamp(column.type):
        # Python's moments, and the console's, have microseconds.
        column = column.cast(pa.timestamp("us", column.type.tz), safe=False)
    return [_time(row, value) for row, value in enumerate(column.to_pylist())]


def _time(row: int, value: Any) -> str | None:
    moment = value
    if isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            moment = value
    elif isinstance(value, date) and not isinstance(value, datetime):
        moment = datetime(value.year, value.month, value.day, tzinfo=UTC)
    if moment is None:
        return None
    if not isinstance(moment, datetime):
        raise Invalid(
            "not a time",
            field=f"observed[{row}]",
            found=value,
            expected="a time, or its text as in 2026-03-01T12:00:00Z",
        )
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).isoformat()
