"""What is new since a reader last looked: a piece of a table, every record exactly once, at most so many rows.

A position says, for each journal, up to which record a reader has seen; it survives merging of files because every
row carries its journal and record number. The next piece is a prefix of what is unread *in each journal*, so
that one number a journal stays enough. Across journals rows come roughly in the order of their time.

Files are skipped by the range of record numbers that they hold. A merged file may hold several journals; then
its ranges are read from the file once and remembered, because a file never changes.
"""

# ruff: noqa: S608 -- SQL is put together from quoted names, numbers, and our own text only

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple, TypeAlias

import pyarrow as pa

from tsavo.lake.columns import quoted
from tsavo.lake.relations import text
from tsavo.lake.session import Session, Source
from tsavo.lake.tables import DataFile, Snapshot, dataset

__all__ = ["Piece", "Position", "Ranges", "next_piece", "within"]

Position: TypeAlias = dict[str, int]

_KEYS: Final = pa.schema([("journal", pa.string()), ("seq", pa.int64())])
_MOST_REMEMBERED: Final = 100_000


class Piece(NamedTuple):
    """Unread records: in `files`, for each journal of `upto`, those numbered above `after` and up to `upto`."""

    files: tuple[DataFile, ...]
    after: Position
    upto: Position

    def condition(self) -> str:
        """SQL that holds for the piece's rows."""
        return within(self.after, self.upto)

    @property
    def position(self) -> Position:
        """Where a reader of the piece stands afterwards."""
        return {**self.after, **self.upto}


def within(after: Mapping[str, int], upto: Mapping[str, int]) -> str:
    """SQL for: the record's number is above `after` (0) and at most `upto`, journal by journal of `upto`."""
    parts = [
        f"(journal = {text(journal)} AND seq > {after.get(journal, 0):d} AND seq <= {last:d})"
        for journal, last in sorted(upto.items())
    ]
    return f"({' OR '.join(parts)})" if parts else "false"


class Ranges:
    """Lowest and highest record number by journal, of files."""

    def __init__(self) -> None:
        self._read: dict[str, dict[str, tuple[int, int]]] = {}

    def of(self, file: DataFile) -> dict[str, tuple[int, int]]:
        """From the file's bounds when one journal is in it, else from the file."""
        low, high = file.low.get("journal"), file.high.get("journal")
        if low is not None and low == high and "seq" in file.low and "seq" in file.high:
            return {low: (file.low["seq"], file.high["seq"])}
        if file.path not in self._read:
            if len(self._read) >= _MOST_REMEMBERED:
                self._read.clear()
            grouped = (
                dataset([file], _KEYS)
                .to_table()
                .group_by("journal")
                .aggregate([("seq", "min"), ("seq", "max")])
            )
            self._read[file.path] = {
                row["journal"]: (row["seq_min"], row["seq_max"]) for row in grouped.to_pylist()
            }
        return self._read[file.path]


def next_piece(
    session: Session, snapshot: Snapshot, ranges: Ranges, after: Mapping[str, int], limit: int, order_by: str
) -> Piece | None:
    """The next at most `limit` rows after a position, rounded up to whole records; ``None`` when nothing is new.

    `order_by` names the column by which journals are interleaved.
    """
    unread = _unread(snapshot.files, ranges, after)
    if not unread:
        return None
    files, ceilings = _choose(unread, after, limit, order_by)
    source = session.source(dataset(files, snapshot.schema))
    upto = _cut(session, source, after, ceilings, limit, order_by)
    return Piece(tuple(files), dict(after), upto)


_Unread: TypeAlias = "tuple[DataFile, dict[str, tuple[int, int]]]"


def _unread(files: Iterable[DataFile], ranges: Ranges, after: Mapping[str, int]) -> list[_Unread]:
    found = []
    for file in files:
        held = {name: span for name, span in ranges.of(file).items() if span[1] > after.get(name, 0)}
        if held:
            found.append((file, held))
    return found


def _choose(
    unread: Sequence[_Unread], after: Mapping[str, int], limit: int, order_by: str
) -> tuple[list[DataFile], Position]:
    """Files to read now, and by journal the number up to which they hold *all* that is unread.

    The lowest number of a file is a record that it holds. So once a file that begins behind `after` is taken, and all
    of its journal that begin before it, there is something to read; of a file that was read in part one cannot know.
    """
    queues: dict[str, list[_Unread]] = {}
    for entry in unread:
        for journal in entry[1]:
            queues.setdefault(journal, []).append(entry)
    for journal, queue in queues.items():
        queue.sort(key=lambda entry: entry[1][journal][0], reverse=True)
    chosen: dict[str, DataFile] = {}
    rows, sure = 0, False
    while queues and (rows < limit or not sure):
        journal = min(queues, key=lambda journal: _moment(queues[journal][-1][0], order_by))
        file, held = queues[journal].pop()
        if not queues[journal]:
            del queues[journal]
        sure = sure or held[journal][0] > after.get(journal, 0)
        if file.path not in chosen:
            chosen[file.path] = file
            rows += file.rows
    ceilings: Position = {}
    for _, held in unread:
        for journal, (_, high) in held.items():
            ceilings[journal] = max(high, ceilings.get(journal, 0))
    for file, held in unread:
        if file.path not in chosen:
            for journal, (low, _) in held.items():
                ceilings[journal] = min(ceilings[journal], low - 1)
    return list(chosen.values()), ceilings


def _moment(file: DataFile, order_by: str) -> float:
    low = file.low.get(order_by)
    return -math.inf if low is None else low.timestamp()


def _cut(
    session: Session, source: Source, after: Mapping[str, int], ceilings: Position, limit: int, order_by: str
) -> Position:
    """By journal, the last record of the first `limit` rows; at least one record is in."""
    # A record's turn is the latest time of its journal so far. It never falls: every cut is a prefix of each journal.
    keys = session.table(
        "SELECT journal, max(seq) AS upto FROM (SELECT journal, seq,"
        f" max({quoted(order_by)}) OVER (PARTITION BY journal ORDER BY seq) AS turn"
        f" FROM {quoted(source.name)} WHERE {within(after, ceilings)}"
        f" ORDER BY turn, journal, seq LIMIT {max(1, limit):d}) GROUP BY journal"
    )
    return {row["journal"]: row["upto"] for row in keys.to_pylist()}
