"""What really happened, from a caller's table to the columns that the console takes.

The console keeps one call's outcomes or none of them, but a long table is several calls. So ids, values and times are
looked at over the whole table first.
"""

from __future__ import annotations

import math
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from tsavo.client.tables import as_table
from tsavo.vocabulary import Invalid, parse_decision_id

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Outcomes", "outcomes_of"]


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
    for name in (decision, outcome):
        if name not in table.column_names:
            raise Invalid(
                "a column is missing",
                field=name,
                found=table.column_names[:20],
                expected=f"the column '{name}'",
            )
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
