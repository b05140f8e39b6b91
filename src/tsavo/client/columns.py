"""Columns of a caller's table in the types that an endpoint takes, or the row that does not fit.

Every row that is sent becomes a recorded decision. So a table of many requests is looked at as a whole before the
first of them goes out: a wrong cell in row 4,500 must not leave 4,000 decisions behind that nobody asked for.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

import msgspec

from tsavo.vocabulary import Invalid, Unavailable

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["InputColumn", "fitted"]


class _Rules(msgspec.Struct, frozen=True):
    nullable: bool = True
    categories: list[str] | None = None
    unseen: str = "flag"


class InputColumn(msgspec.Struct, frozen=True):
    """An input as the endpoint's metadata describes it (Open Inference Protocol, "metadata tensor").

    Attributes
    ----------
    datatype
        ``FP64``, ``FP32``, ``INT64``, ``INT32``, ``BOOL`` or ``BYTES`` (text).
    parameters
        Whether a value may be missing, and which texts are known.
    """

    name: str
    datatype: str
    shape: list[int]
    parameters: _Rules = _Rules()


_EXACT: Final = 2**53
# Half a step above the largest float32 rounds to infinity; anything below rounds to that largest one.
_MOST_FLOAT32: Final = float.fromhex("0x1.fffffefffffffp+127")

_SAID: Final = {
    "FP64": "a number",
    "FP32": "a number",
    "INT64": "a whole number",
    "INT32": "a whole number of at most 32 bits",
    "BOOL": "true or false",
    "BYTES": "text",
}


def fitted(told: InputColumn, column: pa.ChunkedArray) -> list[Any]:
    """The values of `column` as JSON carries them to the input `told`: missing ones, NaN too, are ``None``.

    Whole numbers go to every numeric column, floats to whole-number columns when they are whole, booleans to numbers
    as 0 and 1 and back, whole numbers to text. Nothing else is turned into something else: text that looks like a
    number is not one, and a float has more than one text.

    Raises
    ------
    Invalid
        Naming ``inputs.<column>[<row>]``, counted from the table's first row.
    """
    fit = _FITS.get(told.datatype)
    if fit is None:
        raise Unavailable(
            "this endpoint takes a type that this client does not know",
            field=f"inputs.{told.name}",
            found=told.datatype,
            expected=f"one of {', '.join(_FITS)}",
            next_step="check that client and server have the same version",
        )
    fitting = [_fit(told, row, value, fit) for row, value in enumerate(_plain(told, column))]
    if not told.parameters.nullable and None in fitting:
        raise Invalid(
            f"a missing value in column '{told.name}', which this model does not take",
            field=f"inputs.{told.name}[{fitting.index(None)}]",
            expected=_SAID[told.datatype],
        )
    if told.parameters.categories is not None and told.parameters.unseen == "refuse":
        _check_known(told, fitting, set(told.parameters.categories))
    return fitting


def _plain(told: InputColumn, column: pa.ChunkedArray) -> list[Any]:
    """The column's values as Python's own; raise `Invalid` for types that no model takes."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.cast(kind.value_type)
        kind = column.type
    known = (
        pa.types.is_null(kind)
        or pa.types.is_boolean(kind)
        or pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_decimal(kind)
        or pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_string_view(kind)
    )
    if not known:
        raise Invalid(
            f"a wrong type in column '{told.name}'",
            field=f"inputs.{told.name}",
            found=str(kind),
            expected=_SAID[told.datatype],
            next_step="convert the column to what the model was fitted on",
        )
    values: list[Any] = (column.cast(pa.float64()) if pa.types.is_decimal(kind) else column).to_pylist()
    if told.datatype != "BYTES" and any(isinstance(value, str) for value in values):
        raise _first_word(told, values)
    return values


def _first_word(told: InputColumn, values: Iterable[Any]) -> Invalid:
    """Points at the cell that made a column of numbers text, else at the first one."""
    texts = [(row, value) for row, value in enumerate(values) if value is not None]
    row, value = next(((row, value) for row, value in texts if not _looks_like_a_number(value)), texts[0])
    return _wrong(told, row, value)


def _looks_like_a_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _fit(told: InputColumn, row: int, value: Any, fit: Callable[[Any], Any]) -> Any:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    try:
        return fit(value)
    except ValueError:
        raise _wrong(told, row, value) from None


def _wrong(told: InputColumn, row: int, value: Any) -> Invalid:
    missing = " or nothing" if told.parameters.nullable else ""
    return Invalid(
        f"a wrong type in column '{told.name}'",
        field=f"inputs.{told.name}[{row}]",
        found=value,
        expected=f"{_SAID[told.datatype]}{missing}",
    )


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise ValueError(value)


def _truth(value: Any) -> bool:
    if value in (0, 1):
        return bool(value)
    raise ValueError(value)


def _whole(most: int) -> Callable[[Any], int]:
    def whole(value: Any) -> int:
        # A float beyond 2^53 no longer says which whole number it is.
        if isinstance(value, float) and (not value.is_integer() or abs(value) > _EXACT):
            raise ValueError(value)
        number = int(value)
        if not -most - 1 <= number <= most:
            raise ValueError(value)
        return number

    return whole


def _number(most: float) -> Callable[[Any], float | int]:
    def number(value: Any) -> float | int:
        # JSON has no word for infinity; the encoder would say null, which means something else.
        if abs(value) > most:
            raise ValueError(value)
        return int(value) if isinstance(value, bool) else value

    return number


_FITS: Final[dict[str, Callable[[Any], Any]]] = {
    "FP64": _number(sys.float_info.max),
    "FP32": _number(_MOST_FLOAT32),
    "INT64": _whole(2**63 - 1),
    "INT32": _whole(2**31 - 1),
    "BOOL": _truth,
    "BYTES": _text,
}


def _check_known(told: InputColumn, values: list[Any], known: set[str]) -> None:
    for row, value in enumerate(values):
        if value is not None and value not in known:
            raise Invalid(
                "a category that this model has never seen and cannot score",
                field=f"inputs.{told.name}[{row}]",
                found=value,
                expected=f"one of {sorted(known)[:20]}",
            )
