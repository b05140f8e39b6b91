"""An answer as a file: CSV, Parquet, XLSX, JSON, JSON lines, Arrow; written batch by batch, never whole in memory.

Spreadsheet programs run a cell that begins with ``=``, ``+``, ``-`` or ``@`` as a formula, and recorded texts come from
strangers. So in CSV such a *text* gets an apostrophe in front, unless it is asked for raw; numbers are left alone. XLSX
says of each cell that it is text, and needs none. The other formats are not opened by such programs, and are exact.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import IO, Any, Final, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from tsavo.lake.answers import Answer
from tsavo.lake.sheets import write_xlsx
from tsavo.lake.texts import plain_texts, python_columns
from tsavo.vocabulary import Invalid

__all__ = ["FORMATS", "Format", "format_named", "json_bytes", "write_answer"]

# What a spreadsheet takes for a formula, a tab and a carriage return ahead of it included.
_FORMULA: Final = "^[=+\\-@\t\r]"
_ENCODER: Final = msgspec.json.Encoder(enc_hook=str, decimal_format="number")


def json_bytes(value: Any) -> bytes:
    """JSON as every export writes it: sums of whole numbers, which SQL makes decimals, are numbers."""
    return _ENCODER.encode(value)


def _write_csv(answer: Answer, sink: IO[bytes], raw: bool) -> None:
    import pyarrow.csv as pcsv

    schema = plain_texts(answer.schema.empty_table(), nested=True).schema
    # A header's names are a stranger's, too: features are named by who registered the model.
    named = schema if raw else pa.schema([field.with_name(_harmless(field.name)) for field in schema])
    with pcsv.CSVWriter(sink, named) as writer:
        for batch in answer:
            table = plain_texts(pa.Table.from_batches([batch]), nested=True)
            writer.write_table((table if raw else _without_formulas(table)).rename_columns(named.names))


def _harmless(name: str) -> str:
    return f"'{name}" if name[:1] in ("=", "+", "-", "@", "\t", "\r") else name


def _without_formulas(table: pa.Table) -> pa.Table:
    for place, field in enumerate(table.schema):
        if pa.types.is_string(field.type) or pa.types.is_large_string(field.type):
            column = table[place]
            risky = pc.match_substring_regex(column, _FORMULA)
            quoted = pc.binary_join_element_wise(
                pa.scalar("'", field.type), column, pa.scalar("", field.type)
            )
            table = table.set_column(place, field, pc.if_else(risky, quoted, column))
    return table


def _write_parquet(answer: Answer, sink: IO[bytes], _raw: bool) -> None:
    import pyarrow.parquet as pq

    schema = plain_texts(answer.schema.empty_table()).schema
    with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        for batch in answer:
            writer.write_table(plain_texts(pa.Table.from_batches([batch])))


def _write_arrow(answer: Answer, sink: IO[bytes], _raw: bool) -> None:
    with pa.ipc.new_stream(sink, answer.schema) as writer:
        for batch in answer:
            writer.write_batch(batch)
        if answer.truncated:
            # The schema went out before anybody knew.
            empty = pa.RecordBatch.from_pylist([], schema=answer.schema)
            writer.write_batch(empty, custom_metadata={"truncated": "true"})


def _write_json(answer: Answer, sink: IO[bytes], _raw: bool) -> None:
    ahead = b"["
    for batch in answer:
        for row in _rows(batch):
            sink.write(ahead + json_bytes(row))
            ahead = b",\n"
    sink.write(b"[]\n" if ahead == b"[" else b"]\n")


def _write_lines(answer: Answer, sink: IO[bytes], _raw: bool) -> None:
    for batch in answer:
        sink.write(b"".join(json_bytes(row) + b"\n" for row in _rows(batch)))


def _rows(batch: pa.RecordBatch) -> Iterator[dict[str, Any]]:
    columns = python_columns(plain_texts(pa.Table.from_batches([batch])))
    for values in zip(*columns, strict=True):
        yield dict(zip(batch.schema.names, values, strict=True))


def _write_sheet(answer: Answer, sink: IO[bytes], _raw: bool) -> None:
    write_xlsx(answer, sink)


class Format(NamedTuple):
    """A kind of file: its name (also what a file's name ends in), its media type, and how it is written."""

    name: str
    media_type: str
    write: Callable[[Answer, IO[bytes], bool], None]


FORMATS: Final[Mapping[str, Format]] = {
    one.name: one
    for one in (
        Format("csv", "text/csv", _write_csv),
        Format("parquet", "application/vnd.apache.parquet", _write_parquet),
        Format("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", _write_sheet),
        Format("json", "application/json", _write_json),
        Format("jsonl", "application/x-ndjson", _write_lines),
        Format("arrow", "application/vnd.apache.arrow.stream", _write_arrow),
    )
}


def format_named(name: str) -> Format:
    """A format by its name.

    >>> format_named("csv").media_type
    'text/csv'
    >>> format_named("doc")
    Traceback (most recent call last):
    tsavo.vocabulary.errors.Invalid: not a kind of file (field: format; found: 'doc'; expected: one of csv, ...)
    """
    if name not in FORMATS:
        raise Invalid(
            "not a kind of file", field="format", found=name, expected=f"one of {', '.join(FORMATS)}"
        )
    return FORMATS[name]


def write_answer(answer: Answer, sink: IO[bytes], format: str, *, raw: bool = False) -> None:
    """Write all rows of an answer.

    Parameters
    ----------
    raw
        Leave texts that a spreadsheet would take for formulas as they are (CSV).

    Raises
    ------
    Invalid, TooLarge
        The query fails or takes too long; it has more rows than a sheet holds (XLSX).
    """
    format_named(format).write(answer, sink, raw)
