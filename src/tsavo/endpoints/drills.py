"""Fire drills: every step of a fallback chain tried on copies of live requests, behind the answers.

The data plane makes one `DrillBook`, hands it every route that it begins to follow (`DrillBook.follow`), and after an
answer went to its caller does no more than::

    drill = self.drills.of(endpoint)
    if drill is not None:
        drill.offer(signature, batch, answer)

with the signature that `batch` is in (the champion's), all rows of the request, and the answer as the caller got it;
``None`` where no step answered. An endpoint without a drill costs a look into a dictionary. Nothing that a drill does
is recorded as a decision or counted in the statistics, and no answer waits for it. At the end `DrillBook.close`.

Each worker writes what it found into a file of its own, ``<folder>/<endpoint>/<worker>.json``, whole or not at all and
at most once a second, in a thread.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy.typing as npt

from tsavo.endpoints.answers import Answer, constant_outputs
from tsavo.endpoints.differences import compare
from tsavo.endpoints.loaded import project
from tsavo.endpoints.rules import rule_outputs
from tsavo.endpoints.shelf import VersionShelf
from tsavo.vocabulary import (
    Batch,
    ConstantFallback,
    Drill,
    Fallback,
    Route,
    RulesFallback,
    Signature,
    StepTried,
    TsavoError,
    VersionFallback,
    WorkerDrill,
)

__all__ = ["DrillBook", "RunningDrill"]

# What may wait for one drill: little, because a drill may leave out requests, and memory stays bounded.
_MOST_ROWS: Final = 20_000
_MOST_WAITING: Final = 64
# Where the endpoint has no time limit of its own.
_STEP_SECONDS: Final = 10.0
# Who has not answered after so long beyond the limit is taken to hang, and not tried again.
_HANGS_SECONDS: Final = 5.0
# Between two requests of a drill, so that a slow step does not make it last.
_MOST_REST_SECONDS: Final = 0.01
_MOST_REASONS: Final = 5
_REASON_CHARACTERS: Final = 300
_NS: Final = 1_000_000_000


class DrillBook:
    """The drills that are under way in one gateway worker.

    Parameters
    ----------
    shelf
        Loads the versions of chains.
    nanoseconds
        Source of time, by which drills end.
    folder
        Where reports are written; ``None`` for nowhere.
    worker
        Which worker this is: the name of its files.
    """

    def __init__(
        self,
        shelf: VersionShelf,
        nanoseconds: Callable[[], int],
        folder: Path | None = None,
        worker: str = "0",
    ) -> None:
        self._shelf = shelf
        self._nanoseconds = nanoseconds
        self._folder = folder
        self._worker = worker
        self._running: dict[str, RunningDrill] = {}

    def follow(self, route: Route) -> None:
        """Begin the drill that a route asks for, and end one that it no longer asks for."""
        running = self._running.get(route.endpoint)
        drill = route.drill
        if running is not None:
            if drill is not None and running.goes_on(route, drill):
                return
            del self._running[route.endpoint]
            running.stop()
        if drill is not None and drill.until.timestamp() * _NS > self._nanoseconds():
            path = None if self._folder is None else self._folder / route.endpoint / f"{self._worker}.json"
            self._running[route.endpoint] = RunningDrill(
                route, drill, self._shelf, self._nanoseconds, path, self._worker
            )

    def of(self, endpoint: str) -> RunningDrill | None:
        """The drill of an endpoint; ``None`` where there is none, or where it takes no more requests."""
        running = self._running.get(endpoint)
        return None if running is None or running.over() else running

    async def close(self) -> None:
        """Give up what is under way; what was found until now is on disk when this returns."""
        running, self._running = list(self._running.values()), {}
        for drill in running:
            drill.stop()
        for drill in running:
            await drill.finish()


class RunningDrill:
    """One drill in one gateway worker."""

    def __init__(
        self,
        route: Route,
        drill: Drill,
        shelf: VersionShelf,
        nanoseconds: Callable[[], int],
        path: Path | None,
        worker: str,
    ) -> None:
        self._route = route
        self._drill = drill
        self._until = round(drill.until.timestamp() * _NS)
        self._shelf = shelf
        self._nanoseconds = nanoseconds
        limit = route.limits.milliseconds
        self._seconds = _STEP_SECONDS if limit is None else limit / 1000
        self._waiting: deque[tuple[Signature, Batch, Answer | None]] = deque()
        self._waiting_rows = 0
        self._taken = 0
        self._task: asyncio.Task[None] | None = None
        self._writer = _ReportWriter(path)
        steps = [StepTried(at, _what(step)) for at, step in enumerate(route.fallback, start=1)]
        if route.plug is None:
            # It is tried for comparison. Where its plug is pulled it is off, for whatever reason that was.
            steps.insert(0, StepTried(0, str(route.champion)))
        self.found = WorkerDrill(drill.id, worker, steps=steps)

    def goes_on(self, route: Route, drill: Drill) -> bool:
        """Whether what a newer route asks for is this drill on this chain."""
        mine = self._route
        return drill.id == self._drill.id and (mine.champion, mine.fallback, mine.plug is None) == (
            route.champion,
            route.fallback,
            route.plug is None,
        )

    def over(self) -> bool:
        """Whether it takes no more requests."""
        return self._taken >= self._drill.requests or self._nanoseconds() > self._until

    def stop(self) -> None:
        """Take no more requests, and forget those that wait."""
        self._until = 0
        self._waiting.clear()
        if self._task is not None:
            self._task.cancel()

    async def finish(self) -> None:
        """Wait until everything is done, and what was found is written."""
        if self._task is not None:
            await asyncio.wait([self._task])
        await self._writer.finish()

    def offer(self, signature: Signature, batch: Batch, answer: Answer | None) -> None:
        """Queue a copy of a request, or leave it out when too much is waiting; returns at once."""
        if self.over():
            return
        full = self._waiting_rows + batch.rows > _MOST_ROWS and self._waiting
        if full or len(self._waiting) >= _MOST_WAITING:
            self.found.skipped += 1
            return
        self._taken += 1
        self._waiting.append((signature, batch, answer))
        self._waiting_rows += batch.rows
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._work())

    async def _work(self) -> None:
        try:
            while self._waiting:
                signature, batch, answer = self._waiting.popleft()
                self._waiting_rows -= batch.rows
                started = time.perf_counter()
                for tried, step in self._steps():
                    # Callers first: everything that is ready on the loop runs before the next step.
                    await asyncio.sleep(0)
                    await self._try(tried, step, signature, batch, answer)
                self.found.requests += 1
                self.found.rows += batch.rows
                self._writer.offer(self.found)
                # A busy endpoint has four fifths of the time to itself.
                await asyncio.sleep(min(4 * (time.perf_counter() - started), _MOST_REST_SECONDS))
        finally:
            self._task = None

    def _steps(self) -> Iterator[tuple[StepTried, Fallback]]:
        chain: Sequence[Fallback] = (VersionFallback(self._route.champion), *self._route.fallback)
        for tried in self.found.steps:
            # A step that hangs would take up threads that callers need.
            if not tried.given_up:
                yield tried, chain[tried.step]

    async def _try(
        self, tried: StepTried, step: Fallback, signature: Signature, batch: Batch, answer: Answer | None
    ) -> None:
        tried.requests += 1
        tried.rows += batch.rows
        started = time.perf_counter_ns()
        asked = asyncio.ensure_future(self._outputs_of(step, signature, batch))
        # What comes after the time limit, nobody asks for.
        asked.add_done_callback(lambda done: done.cancelled() or done.exception())
        try:
            await asyncio.wait([asked], timeout=self._seconds)
            if not asked.done():
                _failed(tried, f"no answer within {self._seconds:g} s")
                await asyncio.wait([asked], timeout=_HANGS_SECONDS)
                tried.given_up = not asked.done()
                return
        finally:
            asked.cancel()
        try:
            given, outputs = asked.result()
        except Exception as error:  # a step may fail in any way: that is what a drill is to find out
            said = error.reason if isinstance(error, TsavoError) else f"{type(error).__name__}: {error}"
            _failed(tried, said)
            return
        tried.answered += 1
        tried.latencies_us.append((time.perf_counter_ns() - started) // 1000)
        if answer is not None:
            compare(tried, given, outputs, answer.signature, answer.outputs)

    async def _outputs_of(
        self, step: Fallback, signature: Signature, batch: Batch
    ) -> tuple[Signature, tuple[npt.NDArray[Any], ...]]:
        if isinstance(step, ConstantFallback):
            return signature, constant_outputs(signature, step, batch.rows)
        if isinstance(step, RulesFallback):
            return signature, rule_outputs(signature, step, batch)
        version = await self._shelf.get(step.version)
        if version.failure is not None:
            raise version.failure
        return version.signature, await version.predict(project(batch, signature, version.signature))


class _ReportWriter:
    """Writes the newest report that it was offered: in a thread, and at most once a second."""

    _PAUSE_SECONDS: Final = 1.0

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._newest: WorkerDrill | None = None
        self._task: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()

    def offer(self, report: WorkerDrill) -> None:
        if self._path is None:
            return
        self._newest = report
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._write(self._path))

    async def finish(self) -> None:
        """Wait until the newest is written."""
        self._hurry.set()
        if self._task is not None:
            await self._task

    async def _write(self, path: Path) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._newest is not None:
                content = msgspec.json.encode(self._newest)
                self._newest = None
                await loop.run_in_executor(None, _write_report, path, content)
                try:
                    await asyncio.wait_for(self._hurry.wait(), timeout=self._PAUSE_SECONDS)
                except TimeoutError:
                    continue
        finally:
            self._task = None


def _write_report(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Whole or not at all for who reads it, but not forced to the disk: that would hold up the journal.
        part = path.with_suffix(".part")
        part.write_bytes(content)
        part.replace(path)
    except OSError:
        # A full disk stops the journal first, which says so; a drill that cannot be written shows no requests.
        return


def _what(step: Fallback) -> str:
    if isinstance(step, VersionFallback):
        return str(step.version)
    return "constant" if isinstance(step, ConstantFallback) else "rule table"


def _failed(tried: StepTried, reason: str) -> None:
    tried.failed += 1
    said = reason[:_REASON_CHARACTERS]
    if said in tried.reasons or len(tried.reasons) < _MOST_REASONS:
        tried.reasons[said] = tried.reasons.get(said, 0) + 1
