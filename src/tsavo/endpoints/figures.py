"""What all gateway workers of a home counted, added up."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from tsavo.endpoints import statistics_file as layout
from tsavo.endpoints.statistics_file import (
    B_FAILED,
    B_FAILED_NS,
    B_INFER,
    B_INPUT,
    B_LAST,
    B_ROWS,
    B_TOTAL,
    B_VERSION,
    BLOCK,
    BUCKETS,
    FAILURE_KINDS,
    FAILURES,
    FORMER,
    HEAD,
    ROW,
    VERSIONS,
    CounterFile,
    block_at,
    names_in,
    read_rows,
    rows_in,
)
from tsavo.journal import Standing

__all__ = ["Counted", "Figures", "FiguresReader", "WorkerFigures", "standing_in"]

_Words = npt.NDArray[np.int64]
_OWN: Final = slice(FAILURES, HEAD)
_NAMELESS: Final = -1
_ROWS_AT_ONCE: Final = 512
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


class Counted(NamedTuple):
    """Counters of an endpoint, of a version of it, or of all; times are in nanoseconds.

    Attributes
    ----------
    answered, rows
        Requests that got an answer, and the rows in them.
    failed
        Requests that got none, by kind; for a version (where it is not known by kind) `failed_requests` alone.
    total_ns, input_ns, infer_ns
        From the decoded request until its decision was on disk, for answered requests; and of that, until the inputs
        were read (with loading the version where that was needed), and until the model had answered.
    failed_ns
        The same for requests that got no answer.
    buckets
        Answered requests by `total_ns`: see `statistics_file.BOUNDS_NS`.
    last_ns
        When a request was last answered or refused, in nanoseconds since 1970 UTC; 0 for never.
    """

    answered: int
    rows: int
    input_ns: int
    infer_ns: int
    total_ns: int
    last_ns: int
    failed_requests: int
    failed_ns: int
    buckets: tuple[int, ...]
    failed: dict[str, int]
    fallbacks: int
    shadow_rows: int
    shadow_requests: int
    shadows_skipped: int

    @property
    def requests(self) -> int:
        """All requests."""
        return self.answered + self.failed_requests

    @classmethod
    def none(cls) -> Counted:
        """Where nothing was counted."""
        return cls.of(np.zeros(BLOCK, np.int64))

    @classmethod
    def of(cls, block: _Words, own: _Words | None = None) -> Counted:
        """From a block, and from an endpoint's own counters."""
        counted: list[int] = block.tolist()
        kinds: list[int] = [0] * (HEAD - FAILURES) if own is None else own.tolist()
        buckets = tuple(counted[BUCKETS:])
        return cls(
            sum(buckets),
            counted[B_ROWS],
            counted[B_INPUT],
            counted[B_INFER],
            counted[B_TOTAL],
            counted[B_LAST],
            counted[B_FAILED],
            counted[B_FAILED_NS],
            buckets,
            dict(zip(FAILURE_KINDS, kinds, strict=False)),
            *kinds[len(FAILURE_KINDS) :],
        )


class WorkerFigures(NamedTuple):
    """How one gateway worker is doing: times in nanoseconds since 1970 UTC, ``None`` for what is not known."""

    worker: str
    pid: int
    started_ns: int
    starts: int
    pulse_ns: int
    in_flight: int
    journal_pending: int
    loaded_versions: int
    loaded_bytes: int | None
    revision: int
    unknown: int
    turned_away: int
    evictions: int
    refused: int
    resident_bytes: int | None
    journal: Standing = Standing()


class _Seen:
    """What is known of a file from reading it before: rows never change their names."""

    def __init__(self, inode: int) -> None:
        self.inode = inode
        self.rows: dict[str, int] = {}
        # Row of the file -> place among the endpoints of all files.
        self.where: npt.NDArray[np.intp] = np.empty(0, np.intp)


class Figures:
    """Everything that was counted, at one moment.

    Attributes
    ----------
    names
        Endpoints that had a request since `tsavo up`, in no order.
    requests
        Requests of each of them, in the order of `names` [n].
    """

    def __init__(
        self,
        workers: list[WorkerFigures],
        index: dict[str, int],
        blocks: _Words,
        own: _Words,
        files: list[tuple[dict[str, int], _Words]],
    ) -> None:
        self.workers = workers
        self.names = list(index)
        self.requests: _Words = blocks[:, BUCKETS:].sum(axis=1) + blocks[:, B_FAILED]
        self._index = index
        self._blocks = blocks
        self._own = own
        self._files = files

    def total(self) -> Counted:
        """Of all endpoints."""
        block = self._blocks.sum(axis=0)
        block[B_LAST] = self._blocks[:, B_LAST].max(initial=0)
        return Counted.of(block, self._own.sum(axis=0))

    def endpoint(self, name: str) -> Counted:
        """Of one endpoint; zeros when it had no request."""
        at = self._index.get(name)
        if at is None:
            return Counted.none()
        return Counted.of(self._blocks[at], self._own[at])

    def busiest(self, most: int) -> list[str]:
        """The endpoints with the most requests, those first that have more; the same whichever worker is asked."""
        most = min(most, len(self.names))
        if not most:
            return []
        least = np.partition(self.requests, -most)[-most]
        above = np.flatnonzero(self.requests > least).tolist()
        equal = sorted(self.names[at] for at in np.flatnonzero(self.requests == least).tolist())
        first = sorted((-int(self.requests[at]), self.names[at]) for at in above)
        return [name for _, name in first] + equal[: most - len(first)]

    def versions(self, name: str) -> dict[int, Counted]:
        """Of the versions of one endpoint that answered last (three in each worker), by number, as it is now."""
        found: dict[int, _Words] = {}
        for rows, words in self._files:
            at = rows.get(name)
            if at is None:
                continue
            for block in read_rows(words[at : at + 1])[0, HEAD:].reshape(-1, BLOCK):
                number = int(block[B_VERSION])
                if number:
                    found[number] = _added(found[number], block) if number in found else block
        return {number: Counted.of(found[number]) for number in sorted(found)}


class FiguresReader:
    """Reads the files of all workers; not for several threads at once.

    It keeps which endpoint has which row, so that reading again does not decode thousands of names.
    """

    def __init__(self) -> None:
        self._index: dict[str, int] = {}
        self._seen: dict[Path | None, _Seen] = {}

    def read(self, files: list[CounterFile]) -> Figures:
        """Read and add up; blocking."""
        workers, parts = [], []
        for file in files:
            words = file.map()
            header = words[: layout.HEADER].tolist()
            if (
                len(header) < layout.HEADER
                or header[layout.H_MAGIC] != layout.MAGIC
                or header[layout.H_ROW] != ROW
            ):
                # It is being made now.
                continue
            workers.append(_worker(file, header))
            rows = rows_in(words)[: header[layout.H_USED]]
            seen = self._look_at(file, rows)
            parts.append((seen, rows[: len(seen.where)]))
        blocks = np.zeros((len(self._index), BLOCK), np.int64)
        own = np.zeros((len(self._index), HEAD - FAILURES), np.int64)
        for seen, rows in parts:
            # A part at a time: the others of this process get their turn between two of them.
            for start in range(0, len(rows), _ROWS_AT_ONCE):
                part = slice(start, start + _ROWS_AT_ONCE)
                _add(read_rows(rows[part]), seen.where[part], blocks, own)
        return Figures(workers, dict(self._index), blocks, own, [(seen.rows, rows) for seen, rows in parts])

    def _look_at(self, file: CounterFile, rows: _Words) -> _Seen:
        inode = file.inode
        seen = self._seen.get(file.path)
        if seen is None or seen.inode != inode:
            seen = self._seen[file.path] = _Seen(inode)
        new = []
        for at, name in enumerate(names_in(rows[len(seen.where) :]), start=len(seen.where)):
            if name is not None:
                seen.rows[name] = at
                new.append(self._index.setdefault(name, len(self._index)))
            else:
                new.append(_NAMELESS)
        # The last ones may be written just now, and are looked at again.
        while new and new[-1] == _NAMELESS:
            new.pop()
        if new:
            seen.where = np.concatenate([seen.where, np.array(new, np.intp)])
        return seen


def _add(rows: _Words, where: npt.NDArray[np.intp], blocks: _Words, own: _Words) -> None:
    """Add rows of a file to the sums at `where`."""
    named = where != _NAMELESS
    if not named.all():
        rows, where = rows[named], where[named]
    last = blocks[where, B_LAST]
    for place in range(FORMER + VERSIONS):
        inside = rows[:, block_at(place) : block_at(place + 1)]
        blocks[where] += inside
        np.maximum(last, inside[:, B_LAST], out=last)
    blocks[where, B_LAST] = last
    own[where] += rows[:, _OWN]


def _added(one: _Words, other: _Words) -> _Words:
    both: _Words = one + other
    both[B_VERSION] = one[B_VERSION]
    both[B_LAST] = max(one[B_LAST], other[B_LAST])
    return both


def _worker(file: CounterFile, header: list[Any]) -> WorkerFigures:
    pid = header[layout.H_PID]
    return WorkerFigures(
        worker="0" if file.path is None else file.path.name.rpartition("-")[2],
        pid=pid,
        started_ns=header[layout.H_STARTED],
        starts=header[layout.H_STARTS],
        pulse_ns=header[layout.H_PULSE],
        in_flight=header[layout.H_IN_FLIGHT],
        journal_pending=header[layout.H_JOURNAL],
        loaded_versions=header[layout.H_LOADED],
        loaded_bytes=None if header[layout.H_BYTES] < 0 else header[layout.H_BYTES],
        revision=header[layout.H_REVISION],
        unknown=header[layout.H_UNKNOWN],
        turned_away=header[layout.H_TURNED_AWAY],
        evictions=header[layout.H_EVICTIONS],
        refused=header[layout.H_REFUSED],
        resident_bytes=_resident(pid),
        journal=standing_in(header),
    )


def standing_in(header: Sequence[int]) -> Standing:
    """How a worker's journal is doing, from the header of its file; counters since ``tsavo up``."""
    return Standing(
        state=layout.JOURNAL_STATES[header[layout.H_J_STATE] % len(layout.JOURNAL_STATES)],
        bytes=header[layout.H_J_BYTES],
        most_bytes=header[layout.H_J_MOST],
        free_bytes=header[layout.H_J_FREE],
        oldest=header[layout.H_J_OLDEST],
        spilled=header[layout.H_J_SPILLED],
        unrecorded=header[layout.H_J_UNRECORDED],
        answers=header[layout.H_J_ANSWERS],
    )


def _resident(pid: int) -> int | None:
    try:
        return int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * _PAGE_BYTES
    except (OSError, IndexError):
        return None
