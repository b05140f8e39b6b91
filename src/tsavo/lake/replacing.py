"""Files of a Delta table replaced by others in one commit, without touching the rest of it.

deltalake can merge files, but neither sort them nor choose which; it rewrites what it finds small, again and again.
Here a commit names the files that leave and those that come (Delta transaction log protocol, sections "Add File and
Remove File" and "Delta Log Entries"). An entry of the log is linked to its name, which only one writer can do: a
commit made meanwhile by another makes this one fail, and nothing has happened.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from tsavo.lake.tables import DataFile
from tsavo.storage import sync_file_system

__all__ = ["Replacement", "replace_files", "write_file"]

# Readers skip row groups by their bounds and decode the rest whole: one decision costs one group.
_GROUP_ROWS: Final = 16_384
_LEVEL: Final = 3


class Replacement(NamedTuple):
    """What leaves a table and what comes.

    Attributes
    ----------
    data_change
        Whether rows are gone; ``False`` tells those who follow the table that there is nothing new to see.
    operation, parameters
        What the table's history says.
    """

    removed: Sequence[DataFile]
    added: Iterable[pa.Table]
    data_change: bool
    operation: str
    parameters: Mapping[str, Any]


def replace_files(
    table: Path,
    version: int,
    replacement: Replacement,
    *,
    bounded: Sequence[str],
    partition: Mapping[str, str] | None = None,
) -> bool:
    """Commit `replacement` as the version after `version`; ``False`` when another commit was made meanwhile.

    Parameters
    ----------
    table
        The table's folder; the removed files stay in it until they are vacuumed.
    bounded
        Columns for which the new files' bounds are kept.
    partition
        The partition in which all of the files lie.
    """
    partition = partition or {}
    now = time.time_ns() // 1_000_000
    actions: list[dict[str, Any]] = [
        {
            "commitInfo": {
                "timestamp": now,
                "operation": replacement.operation,
                "operationParameters": dict(replacement.parameters),
                "engineInfo": "tsavo",
            }
        }
    ]
    actions += [_removal(table, file, partition, now, replacement) for file in replacement.removed]
    written: list[Path] = []
    try:
        for rows in replacement.added:
            path = write_file(table, rows, partition)
            written.append(path)
            actions.append(_addition(table, path, rows, bounded, partition, now, replacement))
        # The log must not name what a power cut can take away.
        sync_file_system(table)
        committed = _commit(table, version + 1, actions)
    except BaseException:
        _discard(written)
        raise
    if not committed:
        _discard(written)
    return committed


def write_file(table: Path, rows: pa.Table, partition: Mapping[str, str] | None = None) -> Path:
    """Write `rows` as a Parquet file of a table that does not name it yet."""
    folder = table.joinpath(*(f"{name}={value}" for name, value in (partition or {}).items()))
    folder.mkdir(exist_ok=True, mode=0o700)
    path = folder / f"part-00000-{uuid.uuid4()}-c000.zstd.parquet"
    # Sorted ids share their beginnings: said once, they take a third of the room.
    ids = [name for name in rows.column_names if name == "decision_id"]
    # And what is sealed is never the same twice.
    plain = {*ids, "sealed"}
    pq.write_table(
        rows,
        path,
        compression="zstd",
        compression_level=_LEVEL,
        row_group_size=_GROUP_ROWS,
        use_dictionary=[name for name in _leaves(rows.schema) if name not in plain],
        column_encoding=dict.fromkeys(ids, "DELTA_BYTE_ARRAY"),
        write_page_index=True,
    )
    return path


def _leaves(schema: pa.Schema) -> list[str]:
    """Columns as Parquet counts them: a struct has one for each of its fields."""
    found: list[str] = []

    def walk(path: str, kind: pa.DataType) -> None:
        if pa.types.is_struct(kind):
            for field in kind:
                walk(f"{path}.{field.name}", field.type)
        elif pa.types.is_list(kind):
            walk(f"{path}.list.element", kind.value_type)
        else:
            found.append(path)

    for field in schema:
        walk(field.name, field.type)
    return found


def _removal(
    table: Path, file: DataFile, partition: Mapping[str, str], now: int, replacement: Replacement
) -> dict[str, Any]:
    return {
        "remove": {
            "path": _named(table, Path(file.path)),
            "deletionTimestamp": now,
            "dataChange": replacement.data_change,
            "extendedFileMetadata": True,
            "partitionValues": dict(partition),
            "size": file.bytes,
        }
    }


def _addition(
    table: Path,
    path: Path,
    rows: pa.Table,
    bounded: Sequence[str],
    partition: Mapping[str, str],
    now: int,
    replacement: Replacement,
) -> dict[str, Any]:
    return {
        "add": {
            "path": _named(table, path),
            "partitionValues": dict(partition),
            "size": path.stat().st_size,
            "modificationTime": now,
            "dataChange": replacement.data_change,
            "stats": msgspec.json.encode(_statistics(rows, bounded)).decode(),
        }
    }


def _named(table: Path, path: Path) -> str:
    return quote(path.relative_to(table).as_posix(), safe="/=")


def _statistics(rows: pa.Table, bounded: Sequence[str]) -> dict[str, Any]:
    low: dict[str, Any] = {}
    high: dict[str, Any] = {}
    nulls: dict[str, int] = {}
    for name in bounded:
        column = rows.column(name)
        nulls[name] = column.null_count
        bounds = pc.min_max(column).as_py()
        if bounds["min"] is not None:
            low[name], high[name] = _stated(bounds["min"]), _stated(bounds["max"])
    return {"numRecords": rows.num_rows, "minValues": low, "maxValues": high, "nullCount": nulls}


def _stated(value: Any) -> Any:
    """As the protocol writes it: times in milliseconds, cut down."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return value


def _commit(table: Path, version: int, actions: Sequence[Mapping[str, Any]]) -> bool:
    log = table / "_delta_log"
    draft = log / f".{uuid.uuid4()}.tmp"
    try:
        with draft.open("xb") as file:
            file.write(b"\n".join(msgspec.json.encode(action) for action in actions) + b"\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, log / f"{version:020}.json")
        except FileExistsError:
            return False
        return True
    finally:
        draft.unlink(missing_ok=True)


def _discard(files: Iterable[Path]) -> None:
    for path in files:
        path.unlink(missing_ok=True)
