"""The Merkle tree of RFC 9162 (section 2.1) over the entries of a log, kept in one file.

A leaf's hash is SHA-256(0x00 || entry), a node's SHA-256(0x01 || left || right). Every hash of a complete subtree is
written once, right behind the leaf that completes it. So a log of n entries has 2n - popcount(n) hashes of 32 bytes,
an append writes two of them on average, and a root or a proof reads O(log n). The file follows from the
entries: one that was lost is made again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final, TypeAlias

__all__ = [
    "HASH_BYTES",
    "Peaks",
    "TreeFile",
    "consistency_proof",
    "grow",
    "inclusion_proof",
    "is_consistent",
    "is_included",
    "leaf_hash",
    "node_hash",
    "peaks_root",
    "root_hash",
    "stored_hashes",
]

HASH_BYTES: Final = 32

# Reads the hash at a place of the file.
Read = Callable[[int], bytes]
# The complete subtrees that a log is made of, largest first: the height and the root of each.
Peaks: TypeAlias = list[tuple[int, bytes]]


def leaf_hash(entry: bytes) -> bytes:
    """The hash of an entry: 32 bytes."""
    return hashlib.sha256(b"\x00" + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of a node with two children: 32 bytes."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def stored_hashes(size: int) -> int:
    """How many hashes the file of a log with `size` entries has.

    >>> [stored_hashes(size) for size in range(6)]
    [0, 1, 3, 4, 7, 8]
    """
    return 2 * size - size.bit_count()


def root_hash(read: Read, size: int) -> bytes:
    """The root of the first `size` entries (RFC 9162, 2.1.1); of none, the hash of nothing."""
    return _subtree(read, 0, size) if size else hashlib.sha256(b"").digest()


def grow(peaks: Peaks, leaf: bytes) -> bytes:
    """Add a leaf's hash to `peaks`; return what the file gets: it, and the roots of the subtrees that it completes."""
    level, found, written = 0, leaf, leaf
    while peaks and peaks[-1][0] == level:
        found = node_hash(peaks.pop()[1], found)
        level += 1
        written += found
    peaks.append((level, found))
    return written


def peaks_root(peaks: Peaks) -> bytes:
    """The root of the log that `peaks`, at least one, make."""
    root = peaks[-1][1]
    for _, left in reversed(peaks[:-1]):
        root = node_hash(left, root)
    return root


def inclusion_proof(read: Read, number: int, size: int) -> list[bytes]:
    """The hashes that lead from entry `number` to the root of `size` entries (RFC 9162, 2.1.3.1), lowest first."""
    path: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _split(end - start)
        if number < middle:
            path.append(_subtree(read, middle, end))
            end = middle
        else:
            path.append(_subtree(read, start, middle))
            start = middle
    return path[::-1]


def consistency_proof(read: Read, first: int, second: int) -> list[bytes]:
    """The hashes that show that a log of `second` entries begins with its first `first` ones (RFC 9162, 2.1.4.1)."""
    if first == 0:
        return []
    path: list[bytes] = []
    start, end, whole = 0, second, True
    while first != end:
        middle = start + _split(end - start)
        if first <= middle:
            path.append(_subtree(read, middle, end))
            end = middle
        else:
            path.append(_subtree(read, start, middle))
            start, whole = middle, False
    if not whole:
        path.append(_subtree(read, start, end))
    return path[::-1]


def is_included(leaf: bytes, number: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Whether `path` leads from the leaf's hash at `number` to the root of `size` entries (RFC 9162, 2.1.3.2)."""
    if not 0 <= number < size:
        return False
    place, last, found = number, size - 1, leaf
    for step in path:
        if last == 0:
            return False
        if place & 1 or place == last:
            found = node_hash(step, found)
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            found = node_hash(found, step)
        place, last = place >> 1, last >> 1
    return last == 0 and found == root


def is_consistent(
    first: int, second: int, path: Sequence[bytes], first_root: bytes, second_root: bytes
) -> bool:
    """Whether `path` shows that the log behind `second_root` begins with that behind `first_root` (2.1.4.2)."""
    if first == second:
        return not path and first_root == second_root
    if first == 0:
        return not path
    if not 0 < first < second or not path:
        return False
    steps = list(path) if first & (first - 1) else [first_root, *path]
    place, last = first - 1, second - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    old = new = steps[0]
    for step in steps[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            old, new = node_hash(step, old), node_hash(step, new)
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            new = node_hash(new, step)
        place, last = place >> 1, last >> 1
    return last == 0 and old == first_root and new == second_root


def _split(size: int) -> int:
    """The largest power of two smaller than `size`, which is at least 2."""
    return 1 << ((size - 1).bit_length() - 1)


def _subtree(read: Read, start: int, end: int) -> bytes:
    """The root of entries [start, end), where `start` is a multiple of the range's size, rounded up to a power of 2."""
    size = end - start
    if size & (size - 1) == 0:
        # Written right behind the leaf that completes it.
        return read(stored_hashes(end - 1) + size.bit_length() - 1)
    middle = start + _split(size)
    return node_hash(_subtree(read, start, middle), _subtree(read, middle, end))


class TreeFile:
    """The file of a tree's hashes. One process writes; any may read.

    Parameters
    ----------
    path
        The file; made when it is not there and `writable`.
    """

    def __init__(self, path: Path, *, writable: bool = False) -> None:
        flags = os.O_RDWR | os.O_CREAT if writable else os.O_RDONLY
        self._file = os.open(path, flags | os.O_CLOEXEC, 0o600)
        # The roots of the complete subtrees that the present entries are made of, largest first.
        self._peaks: Peaks = []
        self.size = 0

    def read(self, place: int) -> bytes:
        """The hash at a place; fewer than 32 bytes when the file ends before."""
        return os.pread(self._file, HASH_BYTES, place * HASH_BYTES)

    def root(self, size: int | None = None) -> bytes:
        """The root of the first `size` entries, by default of all."""
        return root_hash(self.read, self.size if size is None else size)

    def holds(self, size: int) -> bool:
        """Whether the file is long enough for `size` entries."""
        return os.fstat(self._file).st_size >= stored_hashes(size) * HASH_BYTES

    def cut(self, size: int) -> None:
        """Keep the hashes of the first `size` entries, and go on from there."""
        os.ftruncate(self._file, stored_hashes(size) * HASH_BYTES)
        self.size = size
        self._peaks = []
        start = 0
        for level in reversed(range(size.bit_length())):
            if size >> level & 1:
                self._peaks.append((level, _subtree(self.read, start, start + (1 << level))))
                start += 1 << level

    def append(self, leaves: Iterable[bytes]) -> None:
        """Add the hashes of entries, and of the subtrees that they complete."""
        written = bytearray()
        size, peaks = self.size, list(self._peaks)
        for leaf in leaves:
            written += grow(peaks, leaf)
            size += 1
        place, rest = stored_hashes(self.size) * HASH_BYTES, memoryview(written)
        while rest:
            count = os.pwrite(self._file, rest, place)
            place, rest = place + count, rest[count:]
        self.size, self._peaks = size, peaks

    def sync(self) -> None:
        """Have the hashes on disk."""
        os.fsync(self._file)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)
