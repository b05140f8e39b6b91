"""Tables as people and other protocols send them, turned into the named tensors that the data plane reads.

Rows as objects, rows as lists, columns, or CSV: each becomes one tensor a column in the order of the signature. Types
and missing values are judged by the data plane alone, so that every protocol refuses the same things in the same words.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final, TypeVar

import msgspec

from tsavo.endpoints import InputTensor
from tsavo.vocabulary import DType, Invalid, Signature, Unreadable

__all__ = ["decode_json", "from_columns", "from_csv", "from_rows", "media_type"]

T = TypeVar("T")

_MOST_NAMED: Final = 20
_CSV: Final = "a header with the model's columns, then one line for each row, in UTF-8"


def decode_json(body: bytes, decoder: msgspec.json.Decoder[T], expected: str) -> T:
    """Read a JSON body.

    A bare ``NaN``, which is not JSON but what Python's own encoder writes for a missing number, is read as null.

    Parameters
    ----------
    expected
        The shape of a good body, for the error message.

    Raises
    ------
    Unreadable
        When it is not JSON.
    Invalid
        When it is JSON of another shape.
    """
    try:
        try:
            return decoder.decode(body)
        except msgspec.ValidationError:
            raise
        except msgspec.DecodeError:
            if b"NaN" not in body:
                raise
            parsed = json.loads(body, parse_constant=_constant)
            if b"\\u" in body:
                # Python takes half a surrogate pair, which is no text and which nobody could write down again.
                msgspec.json.encode(parsed)
            decoded: T = msgspec.convert(parsed, decoder.type)
            return decoded
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at ")
        raise Invalid(
            f"not a scoring request: {reason}", field=path.strip("`$.") or "body", expected=expected
        ) from error
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        told = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)[:200]
        raise Unreadable(
            f"the body is not valid JSON: {told}",
            field="body",
            expected=expected,
            next_step="send JSON; a missing value is null",
        ) from error


def _constant(name: str) -> None:
    if name != "NaN":
        raise ValueError(f"{name} is not a number that a model can take")


def media_type(header: bytes | None) -> str:
    """The type that a ``Content-Type`` header names, without its parameters and in lower case.

    >>> media_type(b"Text/CSV; charset=utf-8")
    'text/csv'
    """
    return "" if header is None else header.split(b";", 1)[0].strip().lower().decode("latin-1")


def from_rows(
    rows: Sequence[Any], signature: Signature, field: str, columns: Sequence[str] | None = None
) -> list[InputTensor]:
    """Rows as objects (column name -> value), as lists of values, or bare values of the one column.

    Parameters
    ----------
    field
        What the caller calls the rows, for error messages.
    columns
        The order of the values in lists, when that is not the signature's.

    Raises
    ------
    Invalid
        When there are none, or naming the first row that is unlike the first or does not have the model's columns.
    """
    if not rows:
        raise Invalid("there are no rows", field=field, found=[], expected="at least one row")
    expected = [column.name for column in signature.inputs]
    names = expected if columns is None else list(columns)
    if not names:
        raise Invalid("there are no columns", field=field, found=[], expected=_listed(expected))
    first = rows[0]
    if isinstance(first, dict):
        return _from_records(rows, names, field)
    if isinstance(first, list):
        return _from_lists(rows, names, field)
    if len(names) == 1:
        return [InputTensor(names[0], (len(rows),), list(rows))]
    raise Invalid(
        "not a row", field=f"{field}[0]", found=first, expected=f"an object or a list with {_listed(names)}"
    )


def _from_records(rows: Sequence[Any], names: list[str], field: str) -> list[InputTensor]:
    width = len(names)
    # A getter of several names gives a tuple, a getter of one gives the value itself.
    get = itemgetter(*names) if width > 1 else lambda row: (row[names[0]],)
    table: list[tuple[Any, ...]] = []
    try:
        table = [get(row) for row in rows]
        alike = all(len(row) == width for row in rows)
    except (KeyError, TypeError):
        alike = False
    if not alike:
        for number, row in enumerate(rows):
            _check_record(row, names, f"{field}[{number}]")
    return _columns(names, table)


def _check_record(row: Any, names: list[str], where: str) -> None:
    if not isinstance(row, dict):
        raise Invalid("all rows must be objects, as the first is", field=where, found=row)
    missing = [name for name in names if name not in row]
    if missing:
        raise Invalid(
            f"{'a column is' if len(missing) == 1 else 'columns are'} missing: {_listed(missing)}",
            field=f"{where}.{missing[0]}",
            found=list(row)[:_MOST_NAMED],
            expected=f"an object with {_listed(names)}",
            next_step="send null for a value that is missing",
        )
    unknown = [name for name in row if name not in names]
    if unknown:
        raise Invalid(
            f"this model has no column '{unknown[0][:100]}'",
            field=f"{where}.{unknown[0][:100]}",
            found=unknown[0],
            expected=f"only {_listed(names)}",
        )


def _from_lists(rows: Sequence[Any], names: list[str], field: str) -> list[InputTensor]:
    width = len(names)
    for number, row in enumerate(rows):
        if not isinstance(row, list) or len(row) != width:
            found = f"{len(row)} values" if isinstance(row, list) else row
            raise Invalid(
                "not a row of this model",
                field=f"{field}[{number}]",
                found=found,
                expected=f"a list of {width} values in the order {_listed(names)}",
            )
    return _columns(names, rows)


def _columns(names: Sequence[str], table: Sequence[Sequence[Any]]) -> list[InputTensor]:
    shape = (len(table),)
    return [
        InputTensor(name, shape, list(values))
        for name, values in zip(names, zip(*table, strict=True), strict=True)
    ]


def from_columns(columns: Mapping[str, Any], field: str) -> list[InputTensor]:
    """Columns by name: lists of values, or lists of lists with one value each.

    Raises
    ------
    Invalid
        Naming the column that is no list. Which columns there must be is the data plane's matter.
    """
    tensors = []
    for name, values in columns.items():
        if not isinstance(values, list):
            raise Invalid(
                "not a column", field=f"{field}.{name[:100]}", found=values, expected="a list of values"
            )
        one_each = bool(values) and isinstance(values[0], list)
        tensors.append(InputTensor(name, (len(values), 1) if one_each else (len(values),), values))
    return tensors


def from_csv(body: bytes, signature: Signature) -> list[InputTensor]:
    """CSV (RFC 4180) with a header, in UTF-8, as ``pandas.DataFrame.to_csv(index=False)`` writes it.

    An empty cell is a missing value. Text stays text where the signature says string: ``NA`` and ``007`` are no
    numbers there.

    Raises
    ------
    Unreadable
        When it is not such a table.
    Invalid
        When it has no rows, or a column without a name. Which columns there must be, and what their cells may hold,
        is the data plane's matter.
    """
    try:
        lines = [line for line in csv.reader(io.StringIO(body.decode("utf-8-sig"), ""), strict=True) if line]
    except (csv.Error, UnicodeDecodeError) as error:
        raise _not_csv(str(error)[:200], None) from error
    if len(lines) < 2:
        raise Invalid("there are no rows", field="body", found=f"{len(lines)} lines", expected=_CSV)
    header, rows = lines[0], lines[1:]
    if "" in header:
        raise Invalid(
            "a column has no name",
            field="body",
            found=header[:_MOST_NAMED],
            next_step="leave the index out: DataFrame.to_csv(index=False)",
        )
    for number, row in enumerate(rows):
        if len(row) != len(header):
            raise _not_csv(f"row {number} has {len(row)} cells", f"{len(header)} cells, as the header has")
    kinds = {column.name: column.dtype for column in signature.inputs}
    return [
        InputTensor(name, (len(rows),), _values(cells, kinds.get(name, "string")))
        for name, cells in zip(header, zip(*rows, strict=True), strict=True)
    ]


def _not_csv(why: str, expected: str | None) -> Unreadable:
    return Unreadable(f"the body is not valid CSV: {why}", field="body", expected=expected or _CSV)


def _values(cells: Sequence[str], dtype: DType) -> list[Any]:
    numbers = _NUMBERS.get(dtype)
    if numbers is not None:
        try:
            # A JSON array of numbers is read six times as fast; a cell with a comma makes more of them.
            values: list[Any] = numbers.decode(f"[{','.join(cells)}]")
        except msgspec.DecodeError:
            pass  # something is missing, is written in another way, or is no number
        else:
            if len(values) == len(cells):
                return values
    return [_READ[dtype](cell) for cell in cells]


# What is not what it should be stays text: the data plane then refuses it by its column and row.
def _number(cell: str) -> float | str | None:
    text = cell.strip()
    if not text:
        return None
    try:
        return float(text) if "_" not in text else cell
    except ValueError:
        return cell


def _whole(cell: str) -> int | float | str | None:
    try:
        return int(cell) if "_" not in cell else cell
    except ValueError:
        # 3.0 is a whole number too; whether it is one, the data plane sees.
        return _number(cell)


def _truth(cell: str) -> bool | str | None:
    return _TRUTHS.get(cell.strip().lower(), cell)


def _text(cell: str) -> str | None:
    return cell or None


_TRUTHS: Final[dict[str, bool | None]] = {"true": True, "1": True, "false": False, "0": False, "": None}
_FLOATS: Final = msgspec.json.Decoder(list[float])
_WHOLE: Final = msgspec.json.Decoder(list[int])
_NUMBERS: Final[dict[DType, msgspec.json.Decoder[Any]]] = {
    "float64": _FLOATS,
    "float32": _FLOATS,
    "int64": _WHOLE,
    "int32": _WHOLE,
}
_READ: Final[dict[DType, Callable[[str], Any]]] = {
    "float64": _number,
    "float32": _number,
    "int64": _whole,
    "int32": _whole,
    "bool": _truth,
    "string": _text,
}


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more
