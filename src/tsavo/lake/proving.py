"""In which file of a table a decision's row lies now."""

from __future__ import annotations

from pathlib import Path

import pyarrow.compute as pc

from tsavo.lake.tables import LakeTable, dataset

__all__ = ["file_with"]

_ID = "decision_id"


def file_with(table: LakeTable, decision_id: str) -> Path | None:
    """The file of the newest version that has the row of a decision; ``None`` when none has."""
    snapshot = table.snapshot()
    if snapshot is None:
        return None
    for file in snapshot.files:
        if _ID in file.low and not file.low[_ID] <= decision_id <= file.high[_ID]:
            continue
        rows = dataset([file], snapshot.schema)
        if rows.count_rows(filter=pc.field(_ID) == decision_id):
            return Path(file.path)
    return None
