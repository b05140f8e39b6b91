"""Shadow challengers: they score what the champion scored, after the answer went out."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeAlias

import msgspec
import numpy.typing as npt

from tsavo.endpoints.loaded import LoadedVersion, project
from tsavo.endpoints.origins import Origin
from tsavo.endpoints.sealing import OPEN, Sealing
from tsavo.endpoints.shelf import VersionShelf
from tsavo.vocabulary import Batch, Challenger, Signature, VersionRef

__all__ = ["ShadowQueue", "ShadowWork"]

# Rows that may wait for one challenger: enough for a burst, little enough that memory stays bounded.
_MOST_ROWS: Final = 100_000


class ShadowWork(msgspec.Struct, frozen=True, gc=False):
    """A scored request that challengers are to score as well."""

    request: str
    time: int
    endpoint: str
    signature: Signature
    batch: Batch
    origin: Origin
    sealing: Sealing = OPEN


_Record: TypeAlias = Callable[
    [ShadowWork, LoadedVersion, Batch, tuple[npt.NDArray[Any], ...], int], Awaitable[None]
]


class ShadowQueue:
    """A bounded queue for each challenger: a slow one delays no other, and what does not fit is skipped and counted.

    Parameters
    ----------
    record
        Keeps a shadow's outputs: work, version, batch as that version saw it, outputs, microseconds.
    skip
        Told the endpoint of each request that a challenger did not score.
    """

    def __init__(
        self, shelf: VersionShelf, record: _Record, skip: Callable[[str], None] = lambda _: None
    ) -> None:
        self._shelf = shelf
        self._tell_skipped = skip
        self._record = record
        self._lines: dict[VersionRef, _Line] = {}
        self.skipped = 0

    def offer(self, work: ShadowWork, challengers: Sequence[Challenger]) -> None:
        """Queue `work` for each challenger, or skip it when too much is waiting."""
        for challenger in challengers:
            line = self._lines.get(challenger.version)
            if line is None:
                line = self._lines[challenger.version] = _Line()
                line.consumer = asyncio.get_running_loop().create_task(
                    self._consume(challenger.version, line)
                )
            if line.rows + work.batch.rows > _MOST_ROWS and line.waiting:
                self._skip(work)
                continue
            line.waiting.append(work)
            line.rows += work.batch.rows

    async def close(self) -> None:
        """Wait until all that was queued is scored and recorded."""
        while consumers := [line.consumer for line in self._lines.values() if line.consumer is not None]:
            await asyncio.wait(consumers)

    async def _consume(self, version: VersionRef, line: _Line) -> None:
        try:
            while line.waiting:
                # Callers first: everything that is ready on the loop runs before the next shadow.
                await asyncio.sleep(0)
                work = line.waiting.popleft()
                line.rows -= work.batch.rows
                try:
                    await self._score(work, version)
                except Exception:  # a shadow may fail in any way; it only loses its own record
                    self._skip(work)
        finally:
            del self._lines[version]

    def _skip(self, work: ShadowWork) -> None:
        self.skipped += 1
        self._tell_skipped(work.endpoint)

    async def _score(self, work: ShadowWork, version: VersionRef) -> None:
        shadow = await self._shelf.get(version)
        batch = project(work.batch, work.signature, shadow.signature)
        started = time.perf_counter_ns()
        outputs = await shadow.predict(batch)
        await self._record(work, shadow, batch, outputs, (time.perf_counter_ns() - started) // 1000)


class _Line:
    """What waits for one challenger."""

    def __init__(self) -> None:
        self.waiting: deque[ShadowWork] = deque()
        self.rows = 0
        self.consumer: asyncio.Task[None] | None = None
