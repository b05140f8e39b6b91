"""Counting what a gateway worker does: a few additions in memory for each request.

See `statistics_file` for where the numbers live, and `figures` for how those of all workers are added up.
"""

from __future__ import annotations

import asyncio
import os
import threading
import time
import weakref
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from tsavo.endpoints import statistics_file as layout
from tsavo.endpoints.counters import EndpointCounters, row_of_its_own
from tsavo.endpoints.figures import Figures, FiguresReader
from tsavo.endpoints.statistics_file import (
    HEADER,
    ROW,
    CounterFile,
    unavailable,
)
from tsavo.journal import Standing
from tsavo.vocabulary import NotFound, Overloaded, TsavoError, VersionRef

__all__ = ["Gauges", "Statistics"]

_FIRST_ROWS: Final = 64
_PULSE_SECONDS: Final = 1.0
# Growing succeeds at once, or the disk is full.
_TRIES: Final = 3


class Gauges(NamedTuple):
    """What a worker says of itself once a second.

    Attributes
    ----------
    journal_pending
        Records that wait for the disk.
    loaded_versions
        Versions in memory.
    loaded_bytes
        What they take, or ``None`` when nobody knows.
    revision
        Of the newest route that it follows.
    turned_away
        Requests that were not even read, because too many were there already.
    evictions
        Versions that were let go of to make room for others.
    journal
        How the journal is doing.
    """

    journal_pending: int = 0
    loaded_versions: int = 0
    loaded_bytes: int | None = None
    revision: int = 0
    turned_away: int = 0
    evictions: int = 0
    journal: Standing = Standing()


class Statistics:
    """The counters of one gateway worker.

    Parameters
    ----------
    path
        The worker's file, taken over when it is there; ``None`` keeps the counters in this process alone.

    Raises
    ------
    Unavailable
        When the file cannot be made.
    """

    def __init__(self, path: Path | None = None) -> None:
        self.path = path
        self.in_flight = 0
        self._gauges: Callable[[], Gauges] = Gauges
        # The failure that was counted last; weakly, because it holds on to the request that failed.
        self._counted: Callable[[], TsavoError | None] = lambda: None
        self._known: dict[str, EndpointCounters] = {}
        # Rows of the worker before this one whose endpoints had no request here yet.
        self._taken_over: dict[str, int] = {}
        # Endpoints that came while the file was too small; they are counted, and not seen by other workers yet.
        self._waiting: dict[str, EndpointCounters] = {}
        self._growing: threading.Thread | None = None
        self._larger: memoryview | None = None
        # Routes that are known and not followed yet: revision -> its place in the header.
        self._waiting_at: dict[int, int] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._reader = FiguresReader()
        # One thread: who asks often waits for himself.
        self.threads = ThreadPoolExecutor(1, thread_name_prefix="statistics")
        self._file = CounterFile(path)
        try:
            # The whole file, where there is one already.
            self._words = self._file.map(_FIRST_ROWS)
        except OSError as error:
            raise unavailable(path, error) from error
        self._take_over()

    def of(self, endpoint: str) -> EndpointCounters:
        """The counters of `endpoint`, which must be one that there is: a row once taken is kept."""
        return self._known.get(endpoint) or self._new(endpoint)

    def unknown(self, error: NotFound) -> None:
        """Count a request to an endpoint that there is not."""
        self._words[layout.H_UNKNOWN] += 1
        self._counted = weakref.ref(error)

    def failed(self, endpoint: str, champion: VersionRef, error: Exception, started: int, ended: int) -> None:
        """Count a request that got no answer; see `EndpointCounters.failed`."""
        self.of(endpoint).failed(champion, error, started, ended)
        if isinstance(error, TsavoError):
            self._counted = weakref.ref(error)

    def refused(self, error: TsavoError) -> None:
        """Count a request that a door refused, unless it got as far as an endpoint, where it was counted already."""
        if self._counted() is not error and not isinstance(error, Overloaded):
            self._words[layout.H_REFUSED] += 1

    def reserve(self, endpoints: int) -> None:
        """Make room for so many endpoints; blocking, and meant for the start."""
        # Where that cannot be had now, room is made for each when it comes.
        with suppress(OSError):
            self._words = self._file.map(endpoints + max(endpoints // 4, _FIRST_ROWS))

    def follows(self, revision: int, waiting: Collection[int]) -> None:
        """Write down now, on the loop's thread, which routes are followed, for whoever changed one and waits for it.

        Parameters
        ----------
        revision
            Of the newest route that is known.
        waiting
            Revisions of routes up to it that are not followed yet.
        """
        words, places = self._words, self._waiting_at
        for gone in places.keys() - set(waiting):
            words[layout.H_WAITING + places.pop(gone)] = 0
        free = sorted(set(range(layout.WAITING)) - set(places.values()))
        coming = [known for known in waiting if known not in places]
        words[layout.H_WAITING_MORE] = max(0, len(coming) - len(free))
        # The other way round somebody could see the revision, and not yet that one of its routes waits.
        for known, place in zip(coming, free, strict=False):
            places[known] = place
            words[layout.H_WAITING + place] = known
        words[layout.H_REVISION] = revision

    def watch(self, gauges: Callable[[], Gauges]) -> None:
        """Ask this, on the loop's thread, how the worker is doing."""
        self._gauges = gauges

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Write down how the worker is doing once a second from now on."""
        self._loop = loop
        self.pulse()
        self._timer = loop.call_later(_PULSE_SECONDS, self.start, loop)

    def pulse(self) -> None:
        """Write down now how the worker is doing, for whoever reads."""
        told, words = self._gauges(), self._words
        words[layout.H_IN_FLIGHT] = self.in_flight
        words[layout.H_JOURNAL] = told.journal_pending
        words[layout.H_LOADED] = told.loaded_versions
        words[layout.H_BYTES] = -1 if told.loaded_bytes is None else told.loaded_bytes
        words[layout.H_REVISION] = told.revision
        # Counters, which go on where the worker before this one stopped.
        words[layout.H_TURNED_AWAY] = self._turned_away_before + told.turned_away
        words[layout.H_EVICTIONS] = self._evictions_before + told.evictions
        journal = told.journal
        words[layout.H_J_STATE] = layout.JOURNAL_STATES.index(journal.state)
        words[layout.H_J_BYTES] = journal.bytes
        words[layout.H_J_MOST] = journal.most_bytes
        words[layout.H_J_FREE] = journal.free_bytes
        words[layout.H_J_OLDEST] = journal.oldest
        words[layout.H_J_SPILLED] = self._spilled_before + journal.spilled
        words[layout.H_J_UNRECORDED] = self._unrecorded_before + journal.unrecorded
        words[layout.H_J_ANSWERS] = self._answers_before + journal.answers
        words[layout.H_PULSE] = time.time_ns()
        self._settle()

    def stop(self) -> None:
        """Write down the last state and stop doing so; the file stays, and requests are counted all the same."""
        if self._timer is not None:
            self._timer.cancel()
        self._loop = None
        growing = self._growing
        if growing is not None:
            growing.join()
        self.pulse()

    async def figures(self) -> Figures:
        """What all workers of this home counted up to now, read in a thread."""
        self.pulse()
        loop = asyncio.get_running_loop()
        for _ in range(_TRIES):
            growing = self._growing
            if self._waiting and growing is not None:
                await loop.run_in_executor(self.threads, growing.join)
                self._settle()
        return await loop.run_in_executor(self.threads, self._read)

    def _read(self) -> Figures:
        if self.path is None:
            return self._reader.read([self._file])
        paths = sorted(self.path.parent.iterdir())
        return self._reader.read([CounterFile(path, read_only=True) for path in paths])

    def _take_over(self) -> None:
        """Go on where the worker before this one stopped."""
        words = self._words
        words[layout.H_ROW] = ROW
        words[layout.H_MAGIC] = layout.MAGIC
        rows = layout.rows_in(words)[: words[layout.H_USED]]
        for at, name in enumerate(layout.names_in(rows)):
            if name is not None:
                self._taken_over[name] = at
        self._turned_away_before = words[layout.H_TURNED_AWAY]
        self._evictions_before = words[layout.H_EVICTIONS]
        self._spilled_before = words[layout.H_J_SPILLED]
        self._unrecorded_before = words[layout.H_J_UNRECORDED]
        self._answers_before = words[layout.H_J_ANSWERS]
        # What the one before waited for, this one reads before it answers.
        words[layout.H_REVISION] = 0
        words[layout.H_WAITING : layout.H_WAITING + layout.WAITING] = memoryview(
            bytes(layout.WAITING * 8)
        ).cast("q")
        words[layout.H_WAITING_MORE] = 0
        words[layout.H_PID] = os.getpid()
        words[layout.H_STARTED] = time.time_ns()
        words[layout.H_STARTS] += 1

    def _new(self, endpoint: str) -> EndpointCounters:
        at = self._taken_over.pop(endpoint, None)
        if at is not None:
            counters = EndpointCounters(layout.row_of(self._words, at))
        else:
            counters = self._waiting[endpoint] = EndpointCounters(row_of_its_own())
            self._settle()
        self._known[endpoint] = counters
        return counters

    def _settle(self) -> None:
        """Give rows to those who wait for one, and see that the next ones need not wait."""
        if self._larger is not None:
            self._words, self._larger, self._growing = self._larger, None, None
        words = self._words
        capacity = (len(words) - HEADER) // ROW
        while self._waiting and words[layout.H_USED] < capacity:
            endpoint, counters = self._waiting.popitem()
            row = layout.row_of(words, words[layout.H_USED])
            name = endpoint.encode()[: layout.NAME_BYTES]
            row[layout.NAME : layout.STATE] = memoryview(name.ljust(layout.NAME_BYTES, b"\0")).cast("q")
            counters.copy_to(row)
            row[layout.CHECK] = layout.check_word(name)
            words[layout.H_USED] += 1
        wanted = words[layout.H_USED] + len(self._waiting)
        if capacity - wanted < capacity // 8 and self._growing is None:
            self._growing = threading.Thread(target=self._grow, args=(2 * wanted,), daemon=True)
            self._growing.start()

    def _grow(self, capacity: int) -> None:
        """Map a larger file, off the loop's thread; rows in the old mapping are the same memory."""
        try:
            self._larger = self._file.map(capacity)
        except OSError:
            # The disk is full: whoever waits for a row is still counted, and the next new endpoint tries again.
            self._growing = None
            return
        loop = self._loop
        if loop is not None:
            with suppress(RuntimeError):  # the loop closed meanwhile
                loop.call_soon_threadsafe(self._settle)
