"""Shadow challengers: they score what the champion scored, after the answer went out."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, TypeAlias

import msgspec
import numpy.typing as npt

from tsavo.endpoints.loaded import LoadedVersion, VersionShelf, project
from tsavo.vocabulary import Batch, Challenger, Signature

__all__ = ["ShadowQueue", "ShadowWork"]

# Rows that may wait: enough for a burst, little enough that memory stays bounded.
_MOST_ROWS: Final = 100_000


class ShadowWork(msgspec.Struct, frozen=True, gc=False):
    """A scored request that challengers are to score as well."""

    request: str
    time: int
    endpoint: str
    signature: Signature
    batch: Batch
    caller: str


_Record: TypeAlias = Callable[
    [ShadowWork, LoadedVersion, Batch, tuple[npt.NDArray[Any], ...], int], Awaitable[None]
]


class ShadowQueue:
    """A bounded queue with one consumer; what does not fit is skipped and counted.

    Parameters
    ----------
    record
        Keeps a shadow's outputs: work, version, batch as that version saw it, outputs, microseconds.
    """

    def __init__(self, shelf: VersionShelf, record: _Record) -> None:
        self._shelf = shelf
        self._record = record
        self._waiting: deque[tuple[ShadowWork, Challenger]] = deque()
        self._rows = 0
        self._consumer: asyncio.Task[None] | None = None
        self.skipped = 0

    def offer(self, work: ShadowWork, challengers: Sequence[Challenger]) -> None:
        """Queue `work` for each challenger, or skip it when too much is waiting."""
        for challenger in challengers:
            if self._rows + work.batch.rows > _MOST_ROWS and self._waiting:
                self.skipped += 1
                continue
            self._waiting.append((work, challenger))
            self._rows += work.batch.rows
        if self._consumer is None and self._waiting:
            self._consumer = asyncio.get_running_loop().create_task(self._consume())

    async def close(self) -> None:
        """Wait until all that was queued is scored and recorded."""
        while self._consumer is not None:
            await asyncio.wait([self._consumer])

    async def _consume(self) -> None:
        try:
            while self._waiting:
                # Callers first: everything that is ready on the loop runs before the next shadow.
                await asyncio.sleep(0)
                work, challenger = self._waiting.popleft()
                self._rows -= work.batch.rows
                try:
                    await self._score(work, challenger)
                except Exception:  # a shadow may fail in any way; it only loses its own record
                    self.skipped += 1
        finally:
            self._consumer = None

    async def _score(self, work: ShadowWork, challenger: Challenger) -> None:
        shadow = await self._shelf.get(challenger.version)
        batch = project(work.batch, work.signature, shadow.signature)
        started = time.perf_counter_ns()
        outputs = await shadow.predict(batch)
        await self._record(work, shadow, batch, outputs, (time.perf_counter_ns() - started) // 1000)
