"""A version's place in the pool: who it is, how it is doing, and when it may be tried again."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tsavo.runtimes.python_worker.frames import Buffer, FrameLimits, Load
from tsavo.runtimes.python_worker.process import Reply
from tsavo.runtimes.python_worker.states import RuntimeState
from tsavo.vocabulary import Environment, TsavoError, Unavailable

if TYPE_CHECKING:
    from tsavo.runtimes.python_worker.pool import WorkerPool
    from tsavo.runtimes.python_worker.workers import Worker

__all__ = ["FIRST_PAUSE", "LONGEST_PAUSE", "Resident"]

FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 60.0
# After so many seconds without a failure the earlier ones are forgotten.
_HEALTHY_SECONDS: Final = 60.0


class Resident:
    """One version in the pool. Made anywhere, used on the event loop only.

    Parameters
    ----------
    key
        ``model@number``.
    source
        The model file.
    order
        How it is loaded; its path is filled in by the worker that does.
    environment
        What it runs in; ``None`` for our own.
    """

    def __init__(
        self, pool: WorkerPool, key: str, source: Path, order: Load, environment: Environment | None
    ) -> None:
        self.key = key
        self.source = source
        self.order = order
        self.environment = environment
        self.worker: Worker | None = None
        self.alone = False
        self.grown_kib = 0
        self.pending = 0
        self._pool = pool
        self._failures = 0
        self._reason = ""
        self._failed_at = 0.0
        self._until = 0.0
        self._on_trial = False
        self._wanted = False
        self._again: asyncio.TimerHandle | None = None
        self._released = False

    async def ask(self, pieces: Sequence[Buffer], limits: FrameLimits) -> Reply:
        """The reply to an order.

        Raises
        ------
        Unavailable
            When it failed not long ago, or fails now, or does not answer in time.
        Overloaded
            When too many wait already.
        """
        loop = asyncio.get_running_loop()
        if (pause := self._until - loop.time()) > 0:
            self._wanted = True
            raise self.refusal(retry_after=pause)
        if self._on_trial and self.pending:
            # After a failure one request finds out whether all is well again; the others need not wait for that.
            raise self.refusal(retry_after=1.0)
        self.pending += 1
        try:
            return await self._pool.place(self).ask(self, pieces, limits)
        finally:
            self.pending -= 1
            self._leave_when_done()

    async def warm(self) -> None:
        """Load it now; what goes wrong is in its state afterwards."""
        if self._until > asyncio.get_running_loop().time():
            return
        self.pending += 1
        try:
            await self._pool.place(self).load(self)
        except TsavoError:
            return
        finally:
            self.pending -= 1
            self._leave_when_done()

    def release(self) -> None:
        """Let go of it when what was begun is done."""
        self._released = True
        self._leave_when_done()

    def went_well(self) -> None:
        """It has answered."""
        self._on_trial = False
        if self._failures and asyncio.get_running_loop().time() - self._failed_at > _HEALTHY_SECONDS:
            self._failures = 0
            self._reason = ""

    def failed(self, reason: str) -> None:
        """It broke: nobody asks it again before a pause that doubles with every failure."""
        loop = asyncio.get_running_loop()
        self._failures += 1
        self._reason = reason
        pause = min(FIRST_PAUSE * 2.0 ** min(self._failures - 1, 20), LONGEST_PAUSE)
        self._failed_at = loop.time()
        self._until = self._failed_at + pause
        self._on_trial = True
        self._wanted = self.pending > 1
        self._forget_timer()
        self._again = loop.call_later(pause, self._try_again)

    def refusal(self, *, retry_after: float | None = None) -> Unavailable:
        """What callers are told while it does not answer."""
        return Unavailable(
            self._reason or f"{self.key} does not answer",
            field="version",
            found=self.key,
            retry_after=max(retry_after or self._until - asyncio.get_running_loop().time(), 0.1),
            next_step="it is tried again by itself; see what it does when it is loaded and asked",
        )

    @property
    def state(self) -> RuntimeState:
        """How it is doing."""
        worker = self.worker
        process = worker.process if worker is not None else None
        pause = self._until - asyncio.get_running_loop().time()
        known = {
            "failures": self._failures,
            "reason": self._reason,
            "alone": self.alone,
            "process": process.pid if process is not None else None,
        }
        if pause > 0:
            return RuntimeState("backing-off", **known, retry_after=round(pause, 3))  # type: ignore[arg-type]
        if worker is not None and self.key in worker.loaded:
            return RuntimeState("ready", **known)  # type: ignore[arg-type]
        current = worker.current if worker is not None else None
        at_it = self.pending or (current is not None and current.resident is self)
        return RuntimeState("loading" if at_it else "idle", **known)  # type: ignore[arg-type]

    def _try_again(self) -> None:
        self._again = None
        if self._wanted and not self._released:
            self._pool.in_background(self.warm())

    def _forget_timer(self) -> None:
        if self._again is not None:
            self._again.cancel()
            self._again = None

    def _leave_when_done(self) -> None:
        if self._released and not self.pending:
            self._forget_timer()
            if self.worker is not None:
                self.worker.part_with(self)
