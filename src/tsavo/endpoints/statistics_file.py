"""Where a gateway worker keeps its counters: one memory-mapped file of 8-byte words, which every worker can read.

The file outlives the worker that writes it, so a killed worker's counts are still there, and the worker that takes its
place goes on with them. It has a header of `HEADER` words and then one row of `ROW` words for each endpoint, with the
endpoint's name in it. A row holds a few counters of the endpoint and a *block* of counters for each of the versions
that answered last; what versions before them counted is in a *former* block. An endpoint's figure is the sum over
its blocks.

What readers rely on:

- One thread writes a file, and every number is an aligned 8-byte word. CPython's memoryview stores such a word by one
  machine instruction, and on x86-64 and 64-bit ARM an aligned store of 8 bytes is seen whole or not at all.
- No figure is kept twice. How many requests were answered is the sum of the latency buckets, so a histogram and its
  count can never contradict each other.
- A name is taken only when it fits the check word that is stored after it.
- A block is given to another version by a single store. The old figures are first added up in the former block that is
  not in use; then the row's `STATE` word makes that one the valid one and the old block void, at once. Readers copy a
  row again when its `STATE` changed meanwhile. So a worker killed at any moment leaves a row that is right.
"""

from __future__ import annotations

import mmap
import os
import struct
import weakref
import zlib
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from tsavo.journal.places import State
from tsavo.vocabulary import Unavailable

__all__ = [
    "CounterFile",
    "block_at",
    "check_word",
    "names_in",
    "read_rows",
    "row_of",
    "rows_in",
    "unavailable",
]

# "TSAVOST1" as a number: another layout gets another last digit.
MAGIC: Final = int.from_bytes(b"TSAVOST1", "big")

# Upper bounds of the latency buckets in nanoseconds; one more bucket holds what is longer.
BOUNDS_NS: Final = tuple(
    round(seconds * 1e9)
    for seconds in (
        0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0,
    )
)  # fmt: skip

WORD: Final = 8

# Words of the header.
HEADER: Final = 64
(
    H_MAGIC, H_ROW, H_USED, H_PID, H_STARTED, H_STARTS, H_PULSE, H_IN_FLIGHT, H_JOURNAL, H_LOADED, H_BYTES,
    H_REVISION, H_UNKNOWN, H_TURNED_AWAY, H_EVICTIONS, H_REFUSED,
    H_J_STATE, H_J_BYTES, H_J_MOST, H_J_FREE, H_J_OLDEST, H_J_SPILLED, H_J_UNRECORDED,
    H_J_ANSWERS, H_WAITING_MORE,
) = range(25)  # fmt: skip
# Revisions of routes that are known and not followed yet (0: a free place), and how many more there are than places.
H_WAITING: Final = 32
WAITING: Final = 32
# Words for how the journal is doing, by their numbers in H_J_STATE.
JOURNAL_STATES: Final[tuple[State, ...]] = ("well", "nearly full", "refusing", "spilling", "not recording")

# Words of a row: the check, 13 words of name, the state, and the endpoint's own counters.
CHECK: Final = 0
NAME: Final = 1
NAME_BYTES: Final = 13 * 8
STATE: Final = 14
FAILURE_KINDS: Final = ("invalid", "refused", "unavailable", "overloaded", "failure")
FAILURES: Final = 15
FALLBACKS: Final = 20
SHADOW_ROWS: Final = 21
SHADOW_REQUESTS: Final = 22
SHADOWS_SKIPPED: Final = 23
HEAD: Final = 24

# Words of a block.
B_VERSION: Final = 0
B_ROWS: Final = 1
B_INPUT: Final = 2
B_INFER: Final = 3
B_TOTAL: Final = 4
B_LAST: Final = 5
B_FAILED: Final = 6
B_FAILED_NS: Final = 7
BUCKETS: Final = 8
BLOCK: Final = BUCKETS + len(BOUNDS_NS) + 1

# Blocks of a row: two for former versions, of which one is valid, then those of the versions that answered last.
FORMER: Final = 2
VERSIONS: Final = 3
ROW: Final = HEAD + (FORMER + VERSIONS) * BLOCK

# The state word: bit 0 says which former block is valid, bits 1 to 4 which block is void (0: none, else 1 + its
# place among the versions), the rest counts the changes.
VOID_SHIFT: Final = 1
VOID_MASK: Final = 0b1111
CHANGE: Final = 1 << 5


def block_at(place: int) -> int:
    """First word of a block: 0 and 1 are the former ones.

    >>> block_at(1) - block_at(0) == BLOCK
    True
    """
    return HEAD + place * BLOCK


def check_word(name: bytes) -> int:
    """What stands in front of a name once it is whole; never 0.

    >>> check_word(b"e") != check_word(b"f")
    True
    """
    return (zlib.crc32(name) << 8) | len(name)


def rows_in(words: memoryview) -> npt.NDArray[np.int64]:
    """All rows of a mapped file [n, `ROW`], taken or not."""
    return np.frombuffer(words, np.int64)[HEADER:].reshape(-1, ROW)


def row_of(words: memoryview, at: int) -> memoryview:
    """One row of a mapped file."""
    return words[HEADER + at * ROW : HEADER + (at + 1) * ROW]


def names_in(rows: npt.NDArray[np.int64]) -> list[str | None]:
    """The endpoints' names in some rows; ``None`` where a name is not whole."""
    text = rows[:, NAME:STATE].tobytes()
    found: list[str | None] = []
    for at, check in enumerate(rows[:, CHECK].tolist()):
        name = text[at * NAME_BYTES : at * NAME_BYTES + (check & 0xFF)]
        found.append(name.decode() if name and check_word(name) == check else None)
    return found


def read_rows(rows: npt.NDArray[np.int64], tries: int = 1000) -> npt.NDArray[np.int64]:
    """A copy of a file's rows [n, `ROW`] in which void blocks and the former block not in use are zero.

    Parameters
    ----------
    rows
        The mapped rows, which change while they are read.
    """
    state = rows[:, STATE].copy()
    copy = rows.copy()
    for _ in range(tries):
        # A row whose state is the same before and after it was copied did not change hands meanwhile.
        unsure = np.flatnonzero(rows[:, STATE] != state)
        if not len(unsure):
            break
        state[unsure] = rows[unsure, STATE]
        copy[unsure] = rows[unsure]
    valid = state & 1
    for former in range(FORMER):
        copy[valid != former, block_at(former) : block_at(former + 1)] = 0
    void = (state >> VOID_SHIFT) & VOID_MASK
    for place in range(VERSIONS):
        at = block_at(FORMER + place)
        copy[void == place + 1, at : at + BLOCK] = 0
    return copy


class CounterFile:
    """The file of one worker.

    Parameters
    ----------
    path
        Made when it is not there, and made anew when it is of another layout; ``None`` is memory of this process.
    read_only
        Whether it is another worker's; it must be there then.

    Raises
    ------
    Unavailable
        When it cannot be made or opened.
    """

    def __init__(self, path: Path | None, *, read_only: bool = False) -> None:
        self.path = path
        self._read_only = read_only
        try:
            if path is None:
                self._number = os.memfd_create("tsavo-statistics")
            elif read_only:
                self._number = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            else:
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._number = _open_own(path)
        except OSError as error:
            raise unavailable(path, error) from error
        weakref.finalize(self, os.close, self._number)

    @property
    def inode(self) -> int:
        """Tells this file from another one that took its name."""
        return os.fstat(self._number).st_ino

    def map(self, rows: int = 0) -> memoryview:
        """The file as words, with room for so many rows or for what it has already; raise `OSError` when it is full.

        A file that is read only is mapped as it is.
        """
        size = os.fstat(self._number).st_size
        if self._read_only:
            whole = size - size % WORD
            return _words(mmap.mmap(self._number, whole, access=mmap.ACCESS_READ) if whole else b"")
        wanted = (HEADER + rows * ROW) * WORD
        if size < wanted:
            # Not a hole that is filled later: a store into a hole on a full disk would end the process.
            os.posix_fallocate(self._number, 0, wanted)
        # All pages now: the first store into a page would otherwise wait for the disk where requests are answered.
        return _words(mmap.mmap(self._number, max(size, wanted), flags=mmap.MAP_SHARED | mmap.MAP_POPULATE))


def _words(buffer: mmap.mmap | bytes) -> memoryview:
    return memoryview(buffer).cast("q")


def _open_own(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    number = os.open(path, flags, 0o600)
    head = os.pread(number, 2 * WORD, 0)
    rows_bytes = os.fstat(number).st_size - HEADER * WORD
    known = struct.pack("@2q", MAGIC, ROW)
    if head and (head != known or rows_bytes < 0 or rows_bytes % (ROW * WORD)):
        # Another layout, or damaged. A new file, because readers may have the old one mapped.
        os.close(number)
        path.unlink()
        return os.open(path, flags, 0o600)
    return number


def unavailable(path: Path | None, error: OSError) -> Unavailable:
    """Says that the file at `path` cannot be had."""
    return Unavailable(
        "the file for statistics cannot be opened",
        field="statistics",
        found=f"{path}: {error.strerror}",
        next_step="see that the disk is neither full nor read-only",
    )
