"""Rows that are older than they may be kept leave their table: whole files where all of their rows are, else parts."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from tsavo.lake.replacing import Replacement, replace_files
from tsavo.lake.tables import DataFile, LakeTable, Snapshot, dataset
from tsavo.lake.tidying import sorted_rows
from tsavo.vocabulary import Invalid

__all__ = ["Expired", "drop_before"]

# Of a file without a bound, the bound is read from its column.
_BEGINNING: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Expired(NamedTuple):
    """What left a table: rows, files that left whole, and files that were written anew without their old rows."""

    rows: int
    files: int
    rewritten: int


def drop_before(table: LakeTable, column: str, moment: datetime) -> Expired | None:
    """Take the rows whose `column` is before `moment` out of a table; ``None`` when there are none.

    One commit, that keeps every journal's position. The files stay on disk for readers of older snapshots and are
    deleted after six hours. When another commit is made meanwhile nothing happens, and the next call tries again.

    Raises
    ------
    Invalid
        `moment` has no time zone.
    """
    if moment.tzinfo is None:
        raise Invalid(
            "not a moment", field="before", found=str(moment), expected="a datetime with a time zone"
        )
    snapshot = table.snapshot()
    if snapshot is None:
        return None
    whole: list[DataFile] = []
    parted: list[DataFile] = []
    for file in snapshot.files:
        low, high = _bounds(file, column)
        if high < moment:
            whole.append(file)
        elif low < moment:
            parted.append(file)
    kept, lost = _without(table, snapshot, parted, column, moment)
    # A bound is cut to milliseconds: a file may turn out to hold nothing that is old enough.
    parted = [file for file, rows in zip(parted, kept, strict=True) if rows.num_rows < file.rows]
    if not whole and not parted:
        return None
    replacement = Replacement(
        [*whole, *parted],
        [rows for rows in kept if rows.num_rows],
        data_change=True,
        operation="DELETE",
        parameters={"predicate": f"{column} < '{moment.astimezone(UTC).isoformat()}'"},
    )
    if not replace_files(table.path, snapshot.version, replacement, bounded=table.bounded):
        return None
    return Expired(sum(file.rows for file in whole) + lost, len(whole), len(parted))


def _bounds(file: DataFile, column: str) -> tuple[datetime, datetime]:
    if column in file.low and column in file.high:
        return file.low[column], file.high[column]
    schema = pa.schema([(column, pa.timestamp("us", tz="UTC"))])
    bounds = pc.min_max(dataset([file], schema).to_table().column(column)).as_py()
    return bounds["min"] or _BEGINNING, bounds["max"] or _BEGINNING


def _without(
    table: LakeTable, snapshot: Snapshot, files: list[DataFile], column: str, moment: datetime
) -> tuple[list[pa.Table], int]:
    """What stays of each of `files`, and how many rows do not."""
    kept = []
    for file in files:
        rows = sorted_rows(table, snapshot, [file])
        kept.append(rows.filter(pc.field(column) >= pa.scalar(moment, pa.timestamp("us", tz="UTC"))))
    return kept, sum(file.rows for file in files) - sum(rows.num_rows for rows in kept)
