"""Where the lake's tables lie: ``decisions/<endpoint>``, ``outcomes/<endpoint>``, ``monitors``."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Final

from tsavo.lake.tables import LakeTable
from tsavo.vocabulary import check_name

__all__ = ["DECISION_BOUNDS", "OUTCOME_BOUNDS", "POINT_BOUNDS", "Folders"]

# Columns for which a file's bounds are kept. `kind` may be null, so that no file may be skipped by it.
DECISION_BOUNDS: Final = ("decision_id", "time", "journal", "seq")
OUTCOME_BOUNDS: Final = ("decision_id", "recorded", "journal", "seq")
POINT_BOUNDS: Final = ("endpoint", "monitor", "time")
# Ids sort by time, so that both "this decision" and "the last hour" are one stretch of a file.
_DECISION_ORDER: Final = ("decision_id", "journal", "seq")
_OUTCOME_ORDER: Final = ("decision_id", "recorded", "journal", "seq", "row")


class Folders:
    """Hands out the tables of one lake, each made once so that its snapshot is kept."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.quarantine = root / "quarantine"
        self.points = LakeTable(root / "monitors", bounded=POINT_BOUNDS, partition_by=["day"])
        self._decisions: dict[str, LakeTable] = {}
        self._outcomes: dict[str, LakeTable] = {}
        self._backtests: dict[str, LakeTable] = {}
        self._lock = threading.Lock()

    def decisions(self, endpoint: str) -> LakeTable:
        """The decisions of `endpoint`; raise `Invalid` when that is no name."""
        return self._table(self._decisions, "decisions", endpoint, DECISION_BOUNDS, _DECISION_ORDER)

    def outcomes(self, endpoint: str) -> LakeTable:
        """The outcomes of `endpoint`; raise `Invalid` when that is no name."""
        return self._table(self._outcomes, "outcomes", endpoint, (*OUTCOME_BOUNDS, "kind"), _OUTCOME_ORDER)

    def backtest(self, name: str) -> LakeTable:
        """The rows of a back-test; raise `Invalid` when that is no name."""
        return self._table(self._backtests, "backtests", name, ("decision_id",), ("decision_id",))

    def backtests(self) -> set[str]:
        """Every back-test that has a table."""
        return set(_folders(self.root / "backtests"))

    def endpoints(self) -> set[str]:
        """Every endpoint that has a table."""
        return {name for kind in ("decisions", "outcomes") for name in _folders(self.root / kind)}

    def all(self) -> list[LakeTable]:
        """Every table there is."""
        tables = [self.decisions(name) for name in _folders(self.root / "decisions")]
        tables += [self.outcomes(name) for name in _folders(self.root / "outcomes")]
        tables += [self.backtest(name) for name in _folders(self.root / "backtests")]
        return [*tables, self.points]

    def _table(
        self,
        made: dict[str, LakeTable],
        kind: str,
        endpoint: str,
        bounded: tuple[str, ...],
        sort_by: tuple[str, ...],
    ) -> LakeTable:
        table = made.get(endpoint)
        if table is None:
            with self._lock:
                path = self.root / kind / check_name(endpoint, "endpoint")
                table = made.setdefault(endpoint, LakeTable(path, bounded=bounded, sort_by=sort_by))
        return table


def _folders(folder: Path) -> list[str]:
    # An entry of a scan knows what it is: ten thousand folders cost no ten thousand questions.
    try:
        with os.scandir(folder) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir() and entry.name[0] != ".")
    except FileNotFoundError:
        return []
