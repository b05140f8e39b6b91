"""Which gateway workers do not follow a change of a route yet, as their own files say.

A worker writes down which revision it follows in the moment in which it does (`Statistics.follows`), so that whoever
changed a route can wait until every worker answers by it, and nobody has to ask a worker. A worker that is killed is
none of them: the one that takes its place reads all routes before it answers anybody.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final, Literal, NamedTuple

import numpy as np

from tsavo.endpoints import statistics_file as layout

__all__ = ["Laggard", "laggards"]

# A worker says once a second how it is doing. One that has not done so for so long is stopped, or hangs.
_SILENT_SECONDS: Final = 10.0


class Laggard(NamedTuple):
    """A worker that does not follow a revision yet.

    Attributes
    ----------
    why
        ``behind``: it has not read it, or still loads what it needs; ``loading``: a worker process loads the new
        champion, and the earlier one answers until then; ``silent``: it has said nothing for seconds.
    silent_seconds
        How long ago it last said how it is doing.
    """

    worker: str
    why: Literal["behind", "loading", "silent"]
    silent_seconds: float

    def __str__(self) -> str:
        words = {
            "behind": "has not taken it over yet",
            "loading": "still loads the new champion, and the earlier one answers until then",
            "silent": f"has said nothing for {self.silent_seconds:.0f} s",
        }
        return f"{self.worker} {words[self.why]}"


def laggards(statistics: Path, revision: int, nanoseconds: int) -> list[Laggard]:
    """The living workers that do not follow `revision` yet.

    Parameters
    ----------
    statistics
        The folder of the workers' counters.
    nanoseconds
        The time now, since 1970 UTC.
    """
    found = []
    for path in sorted(statistics.glob("gateway-*")):
        try:
            followed, header = _read(path)
        except OSError:
            continue
        if not header or header[layout.H_MAGIC] != layout.MAGIC:
            continue
        waiting = followed >= revision and _waits(header, revision)
        if (followed >= revision and not waiting) or not _lives(header[layout.H_PID]):
            continue
        silent = max(0.0, (nanoseconds - max(header[layout.H_PULSE], header[layout.H_STARTED])) / 1e9)
        if silent > _SILENT_SECONDS:
            found.append(Laggard(path.name, "silent", silent))
        else:
            found.append(Laggard(path.name, "loading" if waiting else "behind", silent))
    return found


def _read(path: Path) -> tuple[int, list[int]]:
    """The revision, and then the header: what waits is written down before the revision that it belongs to."""
    with path.open("rb", buffering=0) as file:
        number = file.fileno()
        first = os.pread(number, layout.WORD, layout.H_REVISION * layout.WORD)
        rest = os.pread(number, layout.HEADER * layout.WORD, 0)
    if len(rest) < layout.HEADER * layout.WORD:
        return 0, []
    return int.from_bytes(first, sys.byteorder, signed=True), np.frombuffer(rest, np.int64).tolist()


def _waits(header: list[int], revision: int) -> bool:
    """Whether the route of `revision` is known, and not followed yet. With too many to list, nobody can tell."""
    slots = header[layout.H_WAITING : layout.H_WAITING + layout.WAITING]
    return revision in slots or header[layout.H_WAITING_MORE] > 0


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True
