"""The recent past in little space: sums over the latest rows, and when a row came."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec
import numpy as np
import numpy.typing as npt

__all__ = ["RecentState", "RecentSums", "Timeline", "TimelineState"]

_BLOCK: Final = 2048
_MARKS: Final = 128


class RecentState(msgspec.Struct, frozen=True, array_like=True):
    """Recent sums at rest."""

    block: int
    previous: list[float]
    current: list[float]


class RecentSums:
    """Sums over the latest 2,048 to 4,096 rows (all rows while there are fewer).

    Blocks of 2,048 rows start at fixed rows, so that the sums do not depend on how rows come in batches.
    """

    def __init__(self, width: int) -> None:
        self._block = 0
        self._previous = np.zeros(width)
        self._current = np.zeros(width)

    def add(self, start: int, rows: int, sums: Callable[[slice], npt.NDArray[np.float64]]) -> None:
        """Take in `rows` rows after `start` earlier ones; ``sums(piece)`` gives their summands [n, width]."""
        if rows == 0:
            return
        last = (start + rows - 1) // _BLOCK
        for block in range(max(start // _BLOCK, last - 1), last + 1):
            self._roll(block)
            piece = slice(max(block * _BLOCK - start, 0), min((block + 1) * _BLOCK - start, rows))
            # One after the other, not pairwise: the same bits however the rows are cut into batches.
            self._current = np.add.accumulate(np.vstack([self._current, sums(piece)]))[-1]

    @property
    def total(self) -> npt.NDArray[np.float64]:
        """The sums [width]."""
        total: npt.NDArray[np.float64] = self._previous + self._current
        return total

    def state(self) -> RecentState:
        """All there is to go on from."""
        return RecentState(self._block, self._previous.tolist(), self._current.tolist())

    @classmethod
    def from_state(cls, state: RecentState) -> RecentSums:
        """Go on where `state` was taken."""
        sums = cls(len(state.current))
        sums._block = state.block
        sums._previous, sums._current = np.array(state.previous), np.array(state.current)
        return sums

    def _roll(self, block: int) -> None:
        # `add` rolls to the last block but one before the last, so that a jump leaves nothing stale behind.
        if block != self._block:
            self._previous, self._current, self._block = self._current, np.zeros_like(self._current), block


class TimelineState(msgspec.Struct, frozen=True, array_like=True):
    """A timeline at rest."""

    rows: int
    marks: list[int]
    times: list[int]


class Timeline:
    """When row r came, to within a 64th of the rows so far: at most 128 evenly spaced marks."""

    def __init__(self) -> None:
        self._rows = 0
        self._marks = np.empty(0, dtype=np.int64)
        self._times = np.empty(0, dtype=np.int64)

    def add(self, times: npt.NDArray[np.int64]) -> None:
        """Take in the times [n] of the next rows."""
        rows = np.arange(self._rows, self._rows + times.size, dtype=np.int64)
        self._rows += times.size
        stride = 1
        while self._rows > stride * _MARKS:
            stride *= 2
        kept, new = self._marks % stride == 0, rows % stride == 0
        self._marks = np.concatenate([self._marks[kept], rows[new]])
        self._times = np.concatenate([self._times[kept], times[new]])

    def time_of(self, row: int) -> int:
        """The time of `row` (from 1), or of the nearest mark before it."""
        at = int(np.searchsorted(self._marks, row - 1, side="right")) - 1
        return int(self._times[max(at, 0)])

    def state(self) -> TimelineState:
        """All there is to go on from."""
        return TimelineState(self._rows, self._marks.tolist(), self._times.tolist())

    @classmethod
    def from_state(cls, state: TimelineState) -> Timeline:
        """Go on where `state` was taken."""
        line = cls()
        line._rows = state.rows
        line._marks = np.array(state.marks, dtype=np.int64)
        line._times = np.array(state.times, dtype=np.int64)
        return line
