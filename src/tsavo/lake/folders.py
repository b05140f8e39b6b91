"""Where the lake's tables lie: ``decisions/<endpoint>``, ``outcomes/<endpoint>``, ``monitors``."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Final

from tsavo.lake.tables import LakeTable
from tsavo.vocabulary import check_name

__all__ = ["DECISION_BOUNDS", "OUTCOME_BOUNDS", "POINT_BOUNDS", "Folders"]

# Columns for which a file's bounds are kept. `kind` may be null, so that no file may be skipped by it.
DECISION_BOUNDS: Final = ("decision_id", "time", "journal", "seq")
OUTCOME_BOUNDS: Final = ("decision_id", "journal", "seq")
POINT_BOUNDS: Final = ("endpoint", "monitor", "time")


class Folders:
    """Hands out the tables of one lake, each made once so that its snapshot is kept."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.quarantine = root / "quarantine"
        self.points = LakeTable(root / "monitors", bounded=POINT_BOUNDS, partition_by=["day"])
        self._decisions: dict[str, LakeTable] = {}
        self._outcomes: dict[str, LakeTable] = {}
        self._lock = threading.Lock()

    def decisions(self, endpoint: str) -> LakeTable:
        """The decisions of `endpoint`; raise `Invalid` when that is no name."""
        return self._table(self._decisions, "decisions", endpoint, DECISION_BOUNDS)

    def outcomes(self, endpoint: str) -> LakeTable:
        """The outcomes of `endpoint`; raise `Invalid` when that is no name."""
        return self._table(self._outcomes, "outcomes", endpoint, (*OUTCOME_BOUNDS, "kind"))

    def endpoints(self) -> set[str]:
        """Every endpoint that has a table."""
        return {
            folder.name
            for kind in ("decisions", "outcomes")
            for folder in _folders(self.root / kind)
            if not folder.name.startswith(".")
        }

    def all(self) -> list[LakeTable]:
        """Every table there is."""
        tables = [self.decisions(folder.name) for folder in _folders(self.root / "decisions")]
        tables += [self.outcomes(folder.name) for folder in _folders(self.root / "outcomes")]
        return [*tables, self.points]

    def _table(
        self, made: dict[str, LakeTable], kind: str, endpoint: str, bounded: tuple[str, ...]
    ) -> LakeTable:
        table = made.get(endpoint)
        if table is None:
            with self._lock:
                path = self.root / kind / check_name(endpoint, "endpoint")
                table = made.setdefault(endpoint, LakeTable(path, bounded=bounded))
        return table


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir())
    except FileNotFoundError:
        return []
