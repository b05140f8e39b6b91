"""Records that were read from the journals and wait for their turn to be committed to Delta.

A commit costs the same for one row as for a thousand, and makes a file. So rows of quiet endpoints wait until there
are more of them, the longer the more endpoints wait: with `commits_per_second` commits a second and E endpoints
waiting, each gets one every E / `commits_per_second` seconds. Ten endpoints do not wait at all; ten thousand make
as many commits a second as twenty. What waits lies in the journals still, where every reader sees it; its age and its
size are bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final, Literal, NamedTuple, TypeAlias

from tsavo.lake.rows import Decided, Resolved

__all__ = ["Kind", "Patience", "Queue", "Waiting"]

Kind: TypeAlias = Literal["decisions", "outcomes"]

# So many rows make a file of a size that is worth its commit.
_ENOUGH_ROWS: Final = 2_000
# Readers decode what waits: about half a second's work.
_MOST_BYTES: Final = 32 << 20


class Patience(NamedTuple):
    """How many commits a second are made, and how long rows may wait at most."""

    commits_per_second: float = 20.0
    most_seconds: float = 600.0


class Queue:
    """What waits for one table, in the order of each journal."""

    def __init__(self, kind: Kind, endpoint: str, since: float) -> None:
        self.kind = kind
        self.endpoint = endpoint
        self.since = since
        self.entries: dict[str, list[Decided | Resolved]] = {}
        self.payloads: dict[tuple[str, int], bytes] = {}
        self.rows = 0
        self.bytes = 0

    def add(self, entry: Decided | Resolved, payload: bytes) -> None:
        """Let `entry` wait; entries of one journal come in the order of their numbers."""
        self.entries.setdefault(entry.journal, []).append(entry)
        self.payloads[entry.journal, entry.seq] = payload
        self.rows += entry.record.rows if isinstance(entry, Decided) else len(entry.record.decisions)
        self.bytes += len(payload)


class Waiting:
    """All queues, and how far each journal was read.

    Parameters
    ----------
    seconds
        A clock that never goes back, in seconds.
    """

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds = seconds
        self._queues: dict[tuple[Kind, str], Queue] = {}
        self._read: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._queues)

    def __iter__(self) -> Iterator[Queue]:
        return iter(self._queues.values())

    def upto(self, journal: str) -> int:
        """The last record of `journal` that was taken in; 0 when none was."""
        return self._read.get(journal, 0)

    def take_in(self, entry: Decided | Resolved, payload: bytes) -> None:
        """Put `entry` into the queue of its table."""
        kind: Kind = "decisions" if isinstance(entry, Decided) else "outcomes"
        key = (kind, entry.record.endpoint)
        if key not in self._queues:
            self._queues[key] = Queue(*key, self._seconds())
        self._queues[key].add(entry, payload)

    def read(self, journal: str, upto: int) -> None:
        """All records of `journal` up to this one were taken in or set aside."""
        self._read[journal] = upto

    def due(self, patience: Patience | None) -> list[Queue]:
        """Whose turn it is, those who wait longest first; without `patience`, everybody's."""
        queues = sorted(self._queues.values(), key=lambda queue: queue.since)
        if patience is None:
            return queues
        # Those that a second's commits are enough for do not wait at all, not even for the next round.
        excess_commits = max(0.0, len(queues) - patience.commits_per_second)
        wait = min(patience.most_seconds, excess_commits / patience.commits_per_second)
        latest = self._seconds() - wait
        excess = sum(queue.bytes for queue in queues) - _MOST_BYTES
        due = []
        for queue in queues:
            if queue.since <= latest or queue.rows >= _ENOUGH_ROWS or excess > 0:
                due.append(queue)
                excess -= queue.bytes
        return due

    def done(self, queue: Queue) -> None:
        """What waited in `queue` is in its table."""
        del self._queues[queue.kind, queue.endpoint]

    def floors(self) -> dict[str, int]:
        """By journal, the last record that nobody needs to read from it again."""
        floors = dict(self._read)
        for queue in self._queues.values():
            for journal, entries in queue.entries.items():
                floors[journal] = min(floors[journal], entries[0].seq - 1)
        return floors
