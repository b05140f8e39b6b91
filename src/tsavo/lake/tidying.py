"""A table kept in order: small neighbours merged, replaced files deleted in the end, its log kept short."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Final

import pyarrow as pa
from deltalake import DeltaTable

from tsavo.lake.clustering import pieces
from tsavo.lake.replacing import Replacement, replace_files
from tsavo.lake.tables import RETENTION_HOURS, DataFile, LakeTable, Snapshot, dataset

__all__ = ["may_need_tidying", "sorted_rows", "sweep", "tidy"]

_KEPT_SECONDS: Final = timedelta(hours=RETENTION_HOURS).total_seconds()


def may_need_tidying(table: LakeTable, most_small_files: int) -> bool:
    """Whether a table has so many files at all; a look into its folder, a tenth of what opening the table costs."""
    return _files_in(table.path) > most_small_files


def tidy(table: LakeTable, most_small_files: int) -> bool:
    """Merge files that are neighbours when more than `most_small_files` are small; return whether there were.

    Readers of older snapshots are not disturbed: replaced files are deleted six hours later, by `sweep`.
    """
    merged = False
    while True:
        snapshot = table.snapshot()
        if snapshot is None:
            return merged
        piece = next(_pieces(table, snapshot, most_small_files), None)
        if piece is None:
            break
        if not _merge(table, snapshot, piece):
            return merged
        merged = True
    if merged:
        DeltaTable(str(table.path)).create_checkpoint()
    return merged


def _pieces(table: LakeTable, snapshot: Snapshot, most_small: int) -> Iterator[list[DataFile]]:
    parts: dict[tuple[str, ...], list[DataFile]] = {}
    for file in snapshot.files:
        parts.setdefault(tuple(file.low[name] for name in table.partition_by), []).append(file)
    for files in parts.values():
        yield from pieces(files, table.sort_by[0], most_small)


def _merge(table: LakeTable, snapshot: Snapshot, piece: list[DataFile]) -> bool:
    rows = sorted_rows(table, snapshot, piece)
    replacement = Replacement(piece, [rows], data_change=False, operation="OPTIMIZE", parameters={})
    partition = {name: piece[0].low[name] for name in table.partition_by}
    return replace_files(
        table.path, snapshot.version, replacement, bounded=table.bounded, partition=partition
    )


def sorted_rows(table: LakeTable, snapshot: Snapshot, files: list[DataFile]) -> pa.Table:
    """The rows of `files` in the order in which the table's files are kept, without the columns that part it."""
    schema = pa.schema([field for field in snapshot.schema if field.name not in table.partition_by])
    rows = dataset(files, schema).to_table()
    return rows.sort_by([(name, "ascending") for name in table.sort_by])


def sweep(table: LakeTable) -> int:
    """Delete files that no snapshot of the last six hours has; return how many those were.

    Also what a writer left behind that was killed before its commit.
    """
    snapshot = table.snapshot()
    if snapshot is None or _files_in(table.path, older_than=_KEPT_SECONDS) <= len(snapshot.files):
        return 0
    delta = DeltaTable(str(table.path))
    # The question leaves no trace in the log, the deed does.
    if not delta.vacuum(retention_hours=RETENTION_HOURS, dry_run=True, full=True):
        return 0
    return len(delta.vacuum(retention_hours=RETENTION_HOURS, dry_run=False, full=True))


def _files_in(folder: Path, older_than: float = 0.0) -> int:
    """Parquet files in a table's folder, and in those of its partitions."""
    latest = time.time() - older_than
    found = 0
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith(".parquet"):
                    found += older_than == 0 or entry.stat().st_mtime <= latest
                elif "=" in entry.name:
                    found += _files_in(Path(entry.path), older_than)
    except FileNotFoundError:
        return 0
    return found
