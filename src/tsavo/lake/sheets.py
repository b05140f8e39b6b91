"""An answer as an XLSX workbook (ECMA-376) with one sheet, row by row through files of XlsxWriter's own."""

# XlsxWriter has no types of its own.
# mypy: disable-error-code="import-untyped"

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Callable
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import IO, TYPE_CHECKING, Any, Final

import msgspec
import pyarrow as pa

from tsavo.lake.answers import Answer
from tsavo.lake.texts import plain_texts, python_columns
from tsavo.vocabulary import TooLarge

if TYPE_CHECKING:
    from xlsxwriter.format import Format
    from xlsxwriter.worksheet import Worksheet

__all__ = ["write_xlsx"]

# What a sheet holds (ECMA-376, and Excel's own limits): rows with the header, columns, characters in a cell.
_MOST_ROWS: Final = 1_048_576
_MOST_COLUMNS: Final = 16_384
_MOST_CHARACTERS: Final = 32_767
# A cell's number is a double shown with 15 digits: longer whole numbers, such as ids, are kept as text.
_EXACT: Final = 10**15
_FIRST_DAY: Final = date(1900, 3, 1)
_OPTIONS: Final = {
    "constant_memory": True,
    "strings_to_formulas": False,
    "strings_to_urls": False,
    "strings_to_numbers": False,
    "remove_timezone": True,
    "default_date_format": "yyyy-mm-dd",
}


def write_xlsx(answer: Answer, sink: IO[bytes]) -> None:
    """Write all rows; text is never a formula, times are UTC, what a number cell would round is text.

    Raises
    ------
    TooLarge
        There are more rows or columns than a sheet holds.
    """
    from xlsxwriter import Workbook

    names = answer.schema.names
    if len(names) > _MOST_COLUMNS:
        raise _too_large("columns", len(names), _MOST_COLUMNS)
    folder = tempfile.mkdtemp(prefix="sheet-", dir=tempfile.gettempdir())
    try:
        book = Workbook(sink, {**_OPTIONS, "tmpdir": folder})
        sheet = book.add_worksheet("rows")
        cells = _Cells(sheet, book.add_format({"num_format": "yyyy-mm-dd hh:mm:ss.000"}))
        for place, name in enumerate(names):
            sheet.write_string(0, place, name[:_MOST_CHARACTERS])
        sheet.freeze_panes(1, 0)
        row = 1
        for batch in answer:
            if row + batch.num_rows > _MOST_ROWS:
                raise _too_large("rows", f"{row + batch.num_rows - 1:,} or more", _MOST_ROWS - 1)
            for values in zip(*python_columns(plain_texts(pa.Table.from_batches([batch]))), strict=True):
                for place, value in enumerate(values):
                    if value is not None:
                        cells.write(row, place, value)
                row += 1
        book.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class _Cells:
    """Writes one value as the kind of cell that it is."""

    def __init__(self, sheet: Worksheet, moment: Format) -> None:
        self._sheet, self._moment = sheet, moment
        self._kinds: dict[type, Callable[[int, int, Any], Any]] = {
            bool: sheet.write_boolean,
            int: self._whole,
            float: self._number,
            Decimal: self._decimal,
            datetime: self._time,
            date: self._day,
        }

    def write(self, row: int, place: int, value: Any) -> None:
        kind: Callable[[int, int, Any], Any] = self._kinds.get(type(value), self._text)
        kind(row, place, value)

    def _whole(self, row: int, place: int, value: int) -> None:
        if abs(value) < _EXACT:
            self._sheet.write_number(row, place, value)
        else:
            self._text(row, place, value)

    def _decimal(self, row: int, place: int, value: Decimal) -> None:
        if len(value.as_tuple().digits) <= 15:
            self._sheet.write_number(row, place, float(value))
        else:
            self._text(row, place, value)

    def _number(self, row: int, place: int, value: float) -> None:
        if math.isfinite(value):
            self._sheet.write_number(row, place, value)
        else:
            self._text(row, place, value)

    def _time(self, row: int, place: int, value: datetime) -> None:
        if value.date() < _FIRST_DAY:
            self._text(row, place, value)
            return
        plain = value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
        self._sheet.write_datetime(row, place, plain, self._moment)

    def _day(self, row: int, place: int, value: date) -> None:
        if value < _FIRST_DAY:
            self._text(row, place, value)
        else:
            self._sheet.write_datetime(row, place, datetime.combine(value, time()))

    def _text(self, row: int, place: int, value: Any) -> None:
        if isinstance(value, list | dict | tuple):
            text = msgspec.json.encode(value, enc_hook=str).decode()
        else:
            text = value.hex() if isinstance(value, bytes) else str(value)
        self._sheet.write_string(row, place, text[:_MOST_CHARACTERS])


def _too_large(what: str, found: object, most: int) -> TooLarge:
    return TooLarge(
        f"more {what} than a sheet holds",
        field="query",
        found=found,
        expected=f"at most {most:,}",
        next_step="write CSV or Parquet, or ask for fewer",
    )
