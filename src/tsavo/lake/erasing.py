"""What remains of an erased subject beyond sealed values: rows in plain text, and keys named by waiting records.

Rows that were recorded before an endpoint was told what is personal are in plain text. Those of an erased subject leave
their table, and the files that held them leave the disk at once: nobody shall find them in an older version.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable

from tsavo.journal import Journal, journals
from tsavo.lake.columns import logical_name
from tsavo.lake.replacing import Replacement, replace_files
from tsavo.lake.tables import DataFile, LakeTable, dataset
from tsavo.lake.tidying import sorted_rows
from tsavo.privacy import sealing_key
from tsavo.vocabulary import DecisionRecord, NotFound, TsavoError, decode_record

__all__ = ["DroppedRows", "drop_plain", "keys_waiting"]

_READ_ROWS: Final = 5_000


class DroppedRows(NamedTuple):
    """Rows that left a table, and the files that held them."""

    rows: int
    files: tuple[str, ...]


def keys_waiting(journal_folder: Path, pseudonym: str) -> set[bytes]:
    """Ids of keys that records in the journals name as this subject's."""
    found: set[bytes] = set()
    for path in journals(journal_folder):
        try:
            journal = Journal(path)
        except NotFound:
            continue
        with journal:
            after, more = 0, True
            while more:
                entries = journal.read(after, max_rows=_READ_ROWS)
                for seq, payload in entries.rows:
                    found |= _keys(payload, pseudonym)
                    after = seq
                more = entries.more and bool(entries.rows)
    return found


def _keys(payload: bytes, pseudonym: str) -> set[bytes]:
    try:
        record = decode_record(payload)
    except TsavoError:
        return set()
    if not isinstance(record, DecisionRecord):
        return set()
    return {
        sealing_key(sealed)
        for sealed, subject in zip(record.sealed, record.subjects, strict=False)
        if subject == pseudonym
    }


def drop_plain(
    table: LakeTable, column: str, pseudonym: str, pseudonym_of: Callable[[Any], str | None]
) -> DroppedRows | None:
    """Take rows in plain text whose feature `column` names a subject out of a table, and their files off the disk.

    Returns
    -------
    DroppedRows
        ``None`` when another commit was made meanwhile: nothing has happened, and the caller tries again.
    """
    snapshot = table.snapshot()
    if snapshot is None:
        return DroppedRows(0, ())
    holding: list[DataFile] = []
    kept: list[pa.Table] = []
    for file in snapshot.files:
        features = dataset([file], snapshot.schema).to_table(columns=["features"])
        if not _named(features, column, pseudonym, pseudonym_of).any():
            continue
        rows = sorted_rows(table, snapshot, [file])
        named = _named(rows, column, pseudonym, pseudonym_of)
        holding.append(file)
        kept.append(rows.filter(pa.array(~named)))
    if not holding:
        return DroppedRows(0, ())
    replacement = Replacement(
        holding,
        [rows for rows in kept if rows.num_rows],
        data_change=True,
        operation="DELETE",
        parameters={"predicate": f"rows of the subject {pseudonym} in plain text"},
    )
    if not replace_files(table.path, snapshot.version, replacement, bounded=table.bounded):
        return None
    lost = sum(file.rows for file in holding) - sum(rows.num_rows for rows in kept)
    DeltaTable(str(table.path)).vacuum(
        retention_hours=0, dry_run=False, enforce_retention_duration=False, full=True
    )
    names = tuple(Path(file.path).relative_to(table.path).as_posix() for file in holding)
    return DroppedRows(lost, names)


def _named(
    rows: pa.Table, column: str, pseudonym: str, pseudonym_of: Callable[[Any], str | None]
) -> npt.NDArray[np.bool_]:
    """[rows] whether the row names the subject in plain text."""
    found = np.zeros(rows.num_rows, dtype=bool)
    for values in _stored(rows, column):
        names = pc.unique(values)
        same = pa.array([one for one in names.to_pylist() if pseudonym_of(one) == pseudonym], names.type)
        # What is null is hidden, or missing: both name nobody.
        if len(same):
            found |= pc.is_in(values, same).to_numpy(zero_copy_only=False)
    return found


def _stored(rows: pa.Table, column: str) -> Iterable[pa.Array]:
    struct = rows.column("features").combine_chunks()
    struct = struct.chunk(0) if isinstance(struct, pa.ChunkedArray) else struct
    for place, field in enumerate(struct.type):
        if logical_name(field.name) == column:
            yield pc.struct_field(struct, [place])
