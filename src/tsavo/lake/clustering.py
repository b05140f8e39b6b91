"""Which files of a table are merged: small ones that are neighbours, a few times in their life.

Rows are shipped about in the order of their time, and decision ids sort by time (UUIDv7). Merged files are sorted, so
that each holds one stretch of ids, and each of its row groups a smaller one. Files are merged by levels that grow
eightfold, when a level has enough of them: a row is written about once a level, not whenever something small has come
(as in log-structured merge trees, O'Neil et al. 1996, and their size-tiered kin).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from typing import Any, Final

from tsavo.lake.tables import DataFile

__all__ = ["LARGE_BYTES", "pieces"]

# Beyond this a file is left alone.
LARGE_BYTES: Final = 64 << 20
# Below the first is level 0, and so on; what is nearly large is level 4, which is left alone.
_LEVELS: Final = tuple((LARGE_BYTES >> shift) * 3 // 4 for shift in (9, 6, 3, 0))
# A piece is sorted in memory.
_MOST_ROWS: Final = 2_000_000


def pieces(files: Sequence[DataFile], order_by: str, most_small: int) -> Iterator[list[DataFile]]:
    """Neighbours in `order_by` to be merged into one file each: of the lowest level with more than `most_small`."""
    ordered = sorted(files, key=lambda file: (_low(file, order_by), file.path))
    for level in range(len(_LEVELS)):
        found = [
            piece
            for stretch in _stretches(ordered, level)
            if sum(_level(file) == level for file in stretch) > most_small
            for piece in _cut(stretch)
            if len(piece) > 1
        ]
        if found:
            yield from found
            return


def _level(file: DataFile) -> int:
    return bisect_right(_LEVELS, file.bytes)


def _low(file: DataFile, order_by: str) -> tuple[bool, Any]:
    low = file.low.get(order_by)
    return (low is not None, low)


def _stretches(ordered: Sequence[DataFile], level: int) -> Iterator[list[DataFile]]:
    """Neighbours of this level and those below, which come along."""
    stretch: list[DataFile] = []
    for file in ordered:
        if _level(file) <= level:
            stretch.append(file)
        elif stretch:
            yield stretch
            stretch = []
    if stretch:
        yield stretch


def _cut(stretch: Sequence[DataFile]) -> Iterator[list[DataFile]]:
    piece: list[DataFile] = []
    size = rows = 0
    for file in stretch:
        if piece and (size + file.bytes > LARGE_BYTES or rows + file.rows > _MOST_ROWS):
            yield piece
            piece, size, rows = [], 0, 0
        piece.append(file)
        size += file.bytes
        rows += file.rows
    yield piece
