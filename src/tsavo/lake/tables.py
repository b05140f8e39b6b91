"""One Delta table: what is in it now, appended to exactly once, kept tidy.

A *snapshot* is what a reader needs of one version of a table: its schema, its files with their bounds, and, for each
journal, the last record that is in it. It is kept until the table's log changes, so that looking at
thousands of quiet tables costs a few system calls each.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from deltalake import CommitProperties, DeltaTable, Transaction, WriterProperties, write_deltalake
from pyarrow import fs

__all__ = ["DataFile", "Head", "LakeTable", "Snapshot", "dataset"]

_LOG: Final = "_delta_log"
_MILLISECOND: Final = timedelta(milliseconds=1)
# How long replaced files and old log entries stay for readers that hold an older snapshot.
RETENTION_HOURS: Final = 6


class DataFile(NamedTuple):
    """One Parquet file of a table; `low` and `high` bound the columns that have statistics."""

    path: str
    rows: int
    bytes: int
    low: dict[str, Any]
    high: dict[str, Any]


class Snapshot(NamedTuple):
    """One version of a table. `shipped` holds journal id -> last record number that is in it."""

    version: int
    schema: pa.Schema
    files: tuple[DataFile, ...]
    shipped: dict[str, int]

    def upto(self, journal: str) -> int:
        """The last record of `journal` that is in the table; 0 when there is none."""
        return self.shipped.get(journal, 0)


class Head(NamedTuple):
    """A table opened to be appended to: its schema, and `shipped` as in `Snapshot`; empty where there is none yet."""

    table: DeltaTable | None
    schema: pa.Schema | None
    shipped: dict[str, int]

    def upto(self, journal: str) -> int:
        """The last record of `journal` that is in the table; 0 when there is none."""
        return self.shipped.get(journal, 0)


class LakeTable:
    """A Delta table in the folder `path`, which need not be there yet.

    Parameters
    ----------
    bounded
        Columns for which files keep their lowest and highest value.
    sort_by
        How rows lie in merged files; the first is one of `bounded`. By default as those.
    partition_by
        Columns by which files are kept in folders.
    """

    def __init__(
        self,
        path: Path,
        *,
        bounded: Sequence[str],
        sort_by: Sequence[str] = (),
        partition_by: Sequence[str] = (),
    ) -> None:
        self.path = path
        self.bounded = tuple(bounded)
        self.sort_by = tuple(sort_by or bounded)
        self.partition_by = tuple(partition_by)
        self._lock = threading.Lock()
        self._kept: tuple[tuple[int, int], Snapshot] | None = None

    def snapshot(self, journals: Iterable[str] = ()) -> Snapshot | None:
        """The newest version, ``None`` when nothing was ever written; `shipped` is known for `journals`."""
        with self._lock:
            stamp = self._stamp()
            if stamp is None:
                return None
            if self._kept is not None and self._kept[0] == stamp:
                snapshot = self._kept[1]
                known = not _file(self.path, snapshot.version + 1).exists()
                if known and all(journal in snapshot.shipped for journal in journals):
                    return snapshot
            if not DeltaTable.is_deltatable(str(self.path)):
                return None
            asked = set(journals) | (set(self._kept[1].shipped) if self._kept else set())
            snapshot = _read(DeltaTable(str(self.path)), self.path, asked)
            # The stamp was taken before the table was read: a commit in between makes it out of date, not wrong.
            self._kept = (stamp, snapshot)
            return snapshot

    def _stamp(self) -> tuple[int, int] | None:
        try:
            status = (self.path / _LOG).stat()
        except FileNotFoundError:
            return None
        return status.st_ino, status.st_mtime_ns

    def head(self, journals: Iterable[str]) -> Head:
        """What a writer of records from `journals` needs to know; opens the table once for `append` to use."""
        if not DeltaTable.is_deltatable(str(self.path)):
            return Head(None, None, {})
        table = DeltaTable(str(self.path))
        shipped = {journal: table.transaction_version(journal) or 0 for journal in journals}
        return Head(table, pa.schema(table.schema()), shipped)

    def append(
        self, rows: pa.Table, transactions: Mapping[str, int] | None = None, head: Head | None = None
    ) -> bool:
        """Add `rows`; with `transactions` (application id -> number) only if none of this or a later number is in.

        Returns whether they were added. The check and the rows are one commit: Delta refuses it when another
        writer has committed the same application's transaction since.
        """
        table = self._open(rows.schema) if head is None or head.table is None else head.table
        properties = None
        if transactions:
            for name, number in transactions.items():
                last = table.transaction_version(name)
                if last is not None and last >= number:
                    return False
            properties = CommitProperties(
                app_transactions=[Transaction(*one) for one in transactions.items()]
            )
        write_deltalake(
            table,
            rows,
            mode="append",
            schema_mode="merge",
            commit_properties=properties,
            writer_properties=WriterProperties(compression="ZSTD", compression_level=1),
        )
        return True

    def _open(self, schema: pa.Schema) -> DeltaTable:
        if not DeltaTable.is_deltatable(str(self.path)):
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            DeltaTable.create(
                str(self.path),
                schema=schema,
                mode="ignore",
                partition_by=list(self.partition_by) or None,
                configuration={
                    "delta.dataSkippingStatsColumns": ",".join(self.bounded),
                    # Opening reads the entries since the last checkpoint, 0.1 ms each; a checkpoint costs 3 ms.
                    "delta.checkpointInterval": "20",
                    "delta.logRetentionDuration": f"interval {RETENTION_HOURS} hours",
                    "delta.deletedFileRetentionDuration": f"interval {RETENTION_HOURS} hours",
                },
            )
        return DeltaTable(str(self.path))

    def data(self, snapshot: Snapshot, bounded: Sequence[str] = ()) -> ds.Dataset:
        """All rows of a snapshot, lazily; columns of `bounded`, and those that part the table, let files be skipped."""
        return dataset(snapshot.files, snapshot.schema, bounded, self.partition_by)


def dataset(
    files: Sequence[DataFile],
    schema: pa.Schema,
    bounded: Sequence[str] = (),
    partition_by: Sequence[str] = (),
) -> ds.Dataset:
    """Files as one lazily read dataset.

    Parameters
    ----------
    bounded
        Columns without nulls by whose bounds a reader may skip files.
    partition_by
        Columns that lie in no file: each file has one value of them.
    """
    return ds.FileSystemDataset.from_paths(
        [file.path for file in files],
        schema=schema,
        format=ds.ParquetFileFormat(),
        filesystem=fs.LocalFileSystem(),
        partitions=[_promise(file, schema, bounded, partition_by) for file in files],
    )


def _promise(
    file: DataFile, schema: pa.Schema, bounded: Sequence[str], partition_by: Sequence[str]
) -> ds.Expression:
    promise = ds.scalar(True)
    for name in bounded:
        if name in file.low and name in file.high:
            kind = schema.field(name).type
            low, high = pa.scalar(file.low[name], kind), pa.scalar(file.high[name], kind)
            promise = promise & (pc.field(name) >= low) & (pc.field(name) <= high)
    for name in partition_by:
        promise = promise & (pc.field(name) == pa.scalar(file.low[name], schema.field(name).type))
    return promise


def _file(path: Path, version: int) -> Path:
    return path / _LOG / f"{version:020}.json"


def _read(table: DeltaTable, path: Path, journals: Iterable[str]) -> Snapshot:
    actions = pa.table(table.get_add_actions(flatten=True))
    names = actions.column_names
    files = []
    for row in actions.to_pylist():
        low = {name[4:]: row[name] for name in names if name.startswith("min.") and row[name] is not None}
        high = {name[4:]: row[name] for name in names if name.startswith("max.") and row[name] is not None}
        # Delta cuts times in its statistics down to milliseconds.
        high |= {name: value + _MILLISECOND for name, value in high.items() if isinstance(value, datetime)}
        low |= {name[10:]: row[name] for name in names if name.startswith("partition.")}
        high |= {name[10:]: row[name] for name in names if name.startswith("partition.")}
        where = str(path / unquote(row["path"]))
        files.append(DataFile(where, row["num_records"], row["size_bytes"], low, high))
    shipped = {journal: table.transaction_version(journal) or 0 for journal in journals}
    return Snapshot(table.version(), pa.schema(table.schema()), tuple(files), shipped)
