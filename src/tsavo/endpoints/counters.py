"""What one endpoint has done in this worker: numbers in a row of the worker's file, and a few additions a request.

See `statistics_file` for what stands where in a row.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

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
    BOUNDS_NS,
    BUCKETS,
    FAILURES,
    FALLBACKS,
    FORMER,
    ROW,
    SHADOW_REQUESTS,
    SHADOW_ROWS,
    SHADOWS_SKIPPED,
    STATE,
    VERSIONS,
    WORD,
    block_at,
)
from tsavo.vocabulary import BadInput, NotFound, Overloaded, Refused, Unavailable, VersionRef

__all__ = ["EndpointCounters", "row_of_its_own"]

# The first class that fits decides, so the special ones come first.
_KINDS: Final[tuple[tuple[type[Exception], int], ...]] = (
    (BadInput, 0),
    (NotFound, 0),
    (Refused, 1),
    (Overloaded, 3),
    (Unavailable, 2),
)
_FAILURE: Final = 4


def row_of_its_own() -> memoryview:
    """A row that is in no file."""
    return memoryview(bytearray(ROW * WORD)).cast("q")


class _VersionCounters:
    """The block of one version: its sums are kept here too, because reading them here is quicker."""

    __slots__ = ("infer", "input", "rows", "total", "words")

    def __init__(self, words: memoryview) -> None:
        self.words = words
        self.rows, self.input, self.infer, self.total = words[B_ROWS:B_LAST]


_NOWHERE: Final = _VersionCounters(row_of_its_own()[block_at(0) : block_at(1)])


class EndpointCounters:
    """The counters of one endpoint in this worker; used on the event loop's thread alone."""

    __slots__ = ("_ref", "_version", "_versions", "_words")

    def __init__(self, words: memoryview) -> None:
        self.move_to(words)

    def answered(
        self, ref: VersionRef, role: str, rows: int, started: int, read: int, scored: int, ended: int
    ) -> None:
        """Count an answer.

        Parameters
        ----------
        ref
            The version that gave it.
        started, read, scored, ended
            Nanoseconds: when the request came, its inputs were read, the model had answered, the decision was on disk.
        """
        version = self._version if ref is self._ref else self._turn_to(ref)
        if not started <= read <= scored <= ended:
            # The clock was set back: a counter must not go down for that.
            started = read = scored = ended
        took = ended - started
        words = version.words
        # One store for each: struct.pack_into, which takes them all, makes them zero first, and readers would see that.
        words[B_ROWS] = version.rows = version.rows + rows
        words[B_INPUT] = version.input = version.input + read - started
        words[B_INFER] = version.infer = version.infer + scored - read
        words[B_TOTAL] = version.total = version.total + took
        words[B_LAST] = ended
        words[BUCKETS + bisect_left(BOUNDS_NS, took)] += 1
        if role == "fallback":
            self._words[FALLBACKS] += 1

    def failed(self, champion: VersionRef, error: Exception, started: int, ended: int) -> None:
        """Count a request that got no answer; it stands with the champion of that moment."""
        words = (self._version if champion is self._ref else self._turn_to(champion)).words
        kind = next((kind for known, kind in _KINDS if isinstance(error, known)), _FAILURE)
        self._words[FAILURES + kind] += 1
        words[B_FAILED] += 1
        words[B_FAILED_NS] += max(0, ended - started)
        words[B_LAST] = ended

    def shadowed(self, rows: int) -> None:
        """Count a request that a shadow scored."""
        self._words[SHADOW_ROWS] += rows
        self._words[SHADOW_REQUESTS] += 1

    def skipped(self) -> None:
        """Count a request that a shadow did not score."""
        self._words[SHADOWS_SKIPPED] += 1

    def move_to(self, words: memoryview) -> None:
        """Go on in this row, with what it says."""
        self._words = words
        self._ref: VersionRef | None = None
        self._version = _NOWHERE
        self._versions: dict[int, tuple[int, _VersionCounters]] = {}
        void = (words[STATE] >> layout.VOID_SHIFT) & layout.VOID_MASK
        if void:
            # A worker was killed while it gave this block to another version.
            self._clear(FORMER + void - 1)
        for place in range(FORMER, FORMER + VERSIONS):
            if words[block_at(place) + B_VERSION]:
                self._open(place)

    def copy_to(self, words: memoryview) -> None:
        """Copy everything but the name into another row, and go on there."""
        words[STATE:] = self._words[STATE:]
        self.move_to(words)

    def _open(self, place: int) -> _VersionCounters:
        version = _VersionCounters(self._words[block_at(place) : block_at(place + 1)])
        self._versions[version.words[B_VERSION]] = (place, version)
        return version

    def _turn_to(self, ref: VersionRef) -> _VersionCounters:
        """Count for this version from now on."""
        known = self._versions.get(ref.number)
        if known is None:
            place = self._free_place()
            self._words[block_at(place) + B_VERSION] = ref.number
            version = self._open(place)
        else:
            version = known[1]
        self._ref, self._version = ref, version
        return version

    def _free_place(self) -> int:
        taken = {place for place, _ in self._versions.values()}
        for place in range(FORMER, FORMER + VERSIONS):
            if place not in taken:
                return place
        number, (place, version) = min(self._versions.items(), key=lambda item: item[1][1].words[B_LAST])
        self._add_to_former(place, version.words)
        self._clear(place)
        del self._versions[number]
        return place

    def _add_to_former(self, place: int, gone: memoryview) -> None:
        words = self._words
        valid = words[STATE] & 1
        old, spare = block_at(valid), block_at(1 - valid)
        for word in range(B_ROWS, BLOCK):
            words[spare + word] = words[old + word] + gone[word]
        words[spare + B_LAST] = max(words[old + B_LAST], gone[B_LAST])
        # The one store by which the spare block becomes the valid one, and the other void.
        void = (place - FORMER + 1) << layout.VOID_SHIFT
        words[STATE] = (words[STATE] | void) ^ 1

    def _clear(self, place: int) -> None:
        words, at = self._words, block_at(place)
        for word in range(BLOCK):
            words[at + word] = 0
        words[STATE] = (words[STATE] & ~(layout.VOID_MASK << layout.VOID_SHIFT)) + layout.CHANGE
