"""Answers as files, read back by other libraries."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from datetime import UTC, date, datetime
from typing import Any

import openpyxl
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from tests.lake.scene import Scene
from tsavo.lake import FORMATS, Allowance, write_answer
from tsavo.vocabulary import Invalid, TooLarge

EVERYTHING = """
select 7 as whole, -1.5::double as number, 12.50::decimal(10, 2) as money, true as truth, 'text, "quoted"' as text,
       null as nothing, null::bigint as no_number, [1, 2] as list, {'a': 1} as struct, date '2026-03-01' as day,
       timestamptz '2026-03-01 12:30:00.123+00' as moment, 9007199254740993 as big, sum(range)::hugeint as total,
       interval 90 minute as span, 'a'::enum('a', 'b') as kind, uuid() as id, '\\x41'::blob as bytes
from range(10)
"""
FORMULAS = ["=1+1", "+254700000000", "-cmd|' /C calc'!A0", "@sum(a1)", "\tx", "\rx", "safe", "a=b", ""]


def written(scene: Scene, query: str, format: str, *, raw: bool = False, rows: int = 1000) -> bytes:
    sink = io.BytesIO()
    with scene.lake.ask(query, Allowance(rows, 120)) as answer:
        write_answer(answer, sink, format, raw=raw)
    return sink.getvalue()


def rows_of(content: bytes, format: str) -> list[dict[str, Any]]:
    """As a library of somebody else's reads it."""
    source = io.BytesIO(content)
    if format == "csv":
        return pl.read_csv(source, infer_schema_length=None).to_dicts()
    if format == "parquet":
        return pl.read_parquet(source).to_dicts()
    if format == "arrow":
        return pl.read_ipc_stream(source).to_dicts()
    if format == "xlsx":
        sheet = openpyxl.load_workbook(source).active
        assert sheet is not None
        names, *rows = sheet.iter_rows(values_only=True)
        return [dict(zip([str(name) for name in names], row, strict=True)) for row in rows]
    if format == "json":
        found: list[dict[str, Any]] = json.loads(content)
        return found
    return [json.loads(line) for line in content.splitlines()]


@pytest.mark.parametrize("format", list(FORMATS))
def test_every_kind_of_value_comes_back(scene: Scene, format: str) -> None:
    if format == "arrow":
        (row,) = pa.ipc.open_stream(written(scene, EVERYTHING, format)).read_all().to_pylist()
    else:
        (row,) = rows_of(written(scene, EVERYTHING, format), format)
    assert row["whole"] == 7
    assert row["number"] == -1.5
    assert float(row["money"]) == 12.5
    assert row["truth"] is True
    assert row["text"] == 'text, "quoted"'
    assert row["nothing"] is None
    assert row["no_number"] is None
    assert int(row["big"]) == 9007199254740993
    assert int(row["total"]) == 45
    assert row["kind"] == "a"
    assert len(row["id"]) == 36
    said = row["moment"]
    moment = pd.Timestamp(said).to_pydatetime()
    assert (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) == datetime(
        2026, 3, 1, 12, 30, 0, 123000, UTC
    )
    assert pd.Timestamp(row["day"]).date() == date(2026, 3, 1)
    assert (json.loads(row["list"]) if isinstance(row["list"], str) else list(row["list"])) == [1, 2]
    if format not in ("arrow", "csv"):
        assert row["span"] == "P0M0DT5400S"


@pytest.mark.parametrize("format", list(FORMATS))
def test_no_rows_are_still_a_file_with_its_columns(scene: Scene, format: str) -> None:
    content = written(scene, "select 1 as a, [1] as b where false", format)
    assert rows_of(content, format) == []
    if format in ("csv", "parquet", "arrow"):
        read = {"csv": pd.read_csv, "parquet": pd.read_parquet, "arrow": pl.read_ipc_stream}[format]
        assert list(read(io.BytesIO(content)).columns) == ["a", "b"]


@pytest.mark.parametrize("format", ["csv", "parquet", "jsonl", "arrow", "xlsx"])
def test_many_batches_make_one_file(scene: Scene, format: str) -> None:
    query = "select range as n, 'row ' || range as said, range / 4 as part from range(30000)"
    rows = rows_of(written(scene, query, format, rows=100_000), format)
    assert rows == [{"n": n, "said": f"row {n}", "part": n / 4} for n in range(30_000)]


def test_a_text_that_a_spreadsheet_would_run_is_made_harmless_in_csv_only(scene: Scene) -> None:
    values = ", ".join(f"({place}, {_text(text)}, -{place})" for place, text in enumerate(FORMULAS))
    query = f'select text, number as "=number" from (values {values}) t(place, text, number) order by place'
    harmless = pd.read_csv(io.BytesIO(written(scene, query, "csv")), keep_default_na=False)
    assert list(harmless.columns) == ["text", "'=number"]
    assert list(harmless["'=number"]) == [-place for place in range(len(FORMULAS))]
    for kept, text in zip(harmless["text"], FORMULAS, strict=True):
        assert kept[:1] not in ("=", "+", "-", "@", "\t", "\r")
        assert kept == (f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text)
    raw = written(scene, query, "csv", raw=True)
    assert list(pd.read_csv(io.BytesIO(raw), keep_default_na=False)["text"])[:4] == FORMULAS[:4]
    for exact in ("parquet", "json"):
        assert [row["text"] for row in rows_of(written(scene, query, exact), exact)] == FORMULAS
    sheet = openpyxl.load_workbook(io.BytesIO(written(scene, query, "xlsx"))).active
    assert sheet is not None
    cells = [row[0] for row in sheet.iter_rows(min_row=2)]
    assert {cell.data_type for cell in cells if cell.value is not None} == {"s"}
    assert [cell.value for cell in cells][:4] == FORMULAS[:4]


def _text(text: str) -> str:
    return " || ".join(
        [
            "''",
            *(
                f"chr({ord(letter)})" if ord(letter) < 32 else "'" + letter.replace("'", "''") + "'"
                for letter in text
            ),
        ]
    )


def test_a_cut_arrow_stream_says_so_at_its_end(scene: Scene) -> None:
    reader = pa.ipc.open_stream(written(scene, "from range(100)", "arrow", rows=10))
    seen, cut = 0, False
    while True:
        try:
            batch, metadata = reader.read_next_batch_with_custom_metadata()
        except StopIteration:
            break
        seen += batch.num_rows
        cut = cut or (metadata is not None and metadata[b"truncated"] == b"true")
    assert (seen, cut) == (10, True)


def test_a_sheet_that_would_be_too_long_is_refused(scene: Scene) -> None:
    with pytest.raises(TooLarge, match="more columns than a sheet holds"):
        written(scene, f"select {', '.join(f'{n} as c{n}' for n in range(16_385))}", "xlsx")


WRITING = """
import resource, sys
from pathlib import Path
from tsavo.lake import Allowance, Lake, write_answer

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10

def write(rows, format):
    query = f"select range as n, repeat(chr(65 + (range % 26)::int), 400) as said from range({rows})"
    with lake.ask(query, Allowance(10_000_000, 120)) as answer, open("/dev/null", "wb") as sink:
        write_answer(answer, sink, format)
        assert answer.rows == rows

home = Path(sys.argv[1])
lake = Lake(home / "lake", home / "journal", None)
write(100_000, sys.argv[2])
before = peak()
write(1_000_000, sys.argv[2])
print(peak() - before)
"""


@pytest.mark.parametrize("format", ["csv", "parquet", "arrow"])
def test_an_answer_is_never_whole_in_memory(scene: Scene, format: str) -> None:
    words = [sys.executable, "-c", WRITING, str(scene.folder), format]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    # The rows that the second time has more would take 360 MB.
    assert int(done.stdout) < 150


def test_a_kind_of_file_that_is_none_is_refused(scene: Scene) -> None:
    with pytest.raises(Invalid, match="not a kind of file"):
        written(scene, "select 1", "doc")


def test_a_value_that_python_has_none_for_is_refused_in_words(scene: Scene) -> None:
    with pytest.raises(Invalid, match="cast it to text"):
        written(scene, "select timestamp '290000-01-01' as far", "json")
