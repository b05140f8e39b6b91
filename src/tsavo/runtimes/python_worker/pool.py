"""The worker processes of one gateway: who lives where, and what happens to a process that misbehaves.

Versions of one environment share a process, up to a number of models and an amount of memory; a new one moves in where
nobody is being asked, as long as there are processes enough. A version that ended its
process, or held up the others in it, moves into a process of its own, so that it cannot do that a second time. Idle
processes stop. All of it runs on the gateway's event loop: no thread waits for a model.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

import msgspec

from tsavo.runtimes.python_worker.launching import ProcessLimits, WorkFolder
from tsavo.runtimes.python_worker.residents import Resident
from tsavo.runtimes.python_worker.workers import Worker, closing
from tsavo.vocabulary import Environment, Overloaded

__all__ = ["PoolLimits", "WorkerPool"]

_LOOK_SECONDS: Final = 0.25
# Who was asked within this time is in use.
_QUIET_SECONDS: Final = 60.0
# So long others in a process wait behind one that is answering, or loading, before they move out.
_PATIENCE: Final = {"scoring": 0.5, "loading": 2.0}


class PoolLimits(msgspec.Struct, frozen=True):
    """What the pool may use.

    Attributes
    ----------
    seconds
        How long a request may take, waiting included.
    start_seconds
        How long a process may take to start, and a model to load.
    idle_seconds
        After so long without a request a process stops.
    models
        Versions in one process.
    processes
        Processes at the same time.
    waiting
        Requests that may wait for one process.
    process
        What each process may use.
    """

    seconds: float = 10.0
    start_seconds: float = 60.0
    idle_seconds: float = 600.0
    models: int = 16
    processes: int = 8
    waiting: int = 64
    process: ProcessLimits = ProcessLimits()


class WorkerPool:
    """Worker processes for versions that are not compiled.

    Parameters
    ----------
    folder
        A folder of the pool's own, emptied now; each process has one in it while it lives.
    python_of
        The Python of an environment (``None``: our own); may take long, and runs in a thread.
    """

    def __init__(
        self,
        folder: Path,
        python_of: Callable[[Environment | None], Path],
        limits: PoolLimits = PoolLimits(),
    ) -> None:
        self.limits = limits
        self.python_of = python_of
        self._folder = folder
        self._workers: list[Worker] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False
        # What a killed gateway left behind.
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def place(self, resident: Resident) -> Worker:
        """The worker of `resident`: the one it has, one with room, or a new one; `Unavailable` once it is closing."""
        if self._closed:
            raise closing(resident)
        if resident.worker is None:
            environment = "" if resident.environment is None else resident.environment.digest
            worker = None if resident.alone else self._with_room(environment)
            if worker is None:
                worker = Worker(self, environment, alone=resident.alone)
                self._workers.append(worker)
            worker.residents.append(resident)
            resident.worker = worker
        return resident.worker

    def _with_room(self, environment: str) -> Worker | None:
        roomy = [
            worker
            for worker in self._workers
            if worker.environment == environment and not worker.alone and self._has_room(worker)
        ]
        # Loading holds up those who live there already: rather not where somebody is asked all the time.
        quiet = [worker for worker in roomy if not worker.in_use(_QUIET_SECONDS)]
        living = sum(worker.process is not None for worker in self._workers)
        if quiet:
            return quiet[0]
        if living < self.limits.processes // 2:
            return None
        return min(roomy, key=lambda worker: len(worker.residents), default=None)

    def _has_room(self, worker: Worker) -> bool:
        if len(worker.residents) >= self.limits.models:
            return False
        return worker.process is None or worker.process.memory() <= self.limits.process.memory_bytes // 2

    def move_out(self, worker: Worker, resident: Resident, reason: str) -> None:
        """`resident` gets a process of its own; with a `reason` it has failed, and what waited for it with it."""
        jobs = worker.take_jobs_of(resident)
        resident.alone = True
        home = worker
        if len(worker.residents) > 1:
            worker.residents.remove(resident)
            worker.loaded.discard(resident.key)
            resident.worker = None
            home = self.place(resident)
        home.alone = True
        if reason:
            resident.failed(reason if resident.key in reason else f"{resident.key}: {reason}")
            for job in jobs:
                job.fail(resident.refusal())
        else:
            home.waiting.extend(jobs)
        home.go()
        worker.go()

    def make_room(self) -> None:
        """See that one more process may start; raise `Overloaded` when all are busy."""
        living = [worker for worker in self._workers if worker.process is not None]
        if len(living) < self.limits.processes:
            return
        idle = [worker for worker in living if not worker.busy]
        if not idle:
            raise Overloaded(
                f"all {len(living)} worker processes are busy",
                field="worker.processes",
                found=len(living),
                retry_after=1.0,
                next_step="try again in a moment, or raise the setting worker.processes",
            )
        min(idle, key=lambda worker: worker.last_used).rest()

    def new_folder(self) -> WorkFolder:
        """A folder for one process."""
        return WorkFolder(Path(tempfile.mkdtemp(prefix="worker-", dir=self._folder)))

    def in_background(self, doing: Coroutine[Any, Any, None]) -> None:
        """Do this beside everything else."""
        task = asyncio.get_running_loop().create_task(doing)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def watch(self) -> None:
        """Look after the processes from now on."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_LOOK_SECONDS, self._look)

    def drop(self, worker: Worker) -> None:
        """Nobody lives in `worker` any more."""
        if worker in self._workers:
            self._workers.remove(worker)

    async def close(self) -> None:
        """Stop every process and wait until none is left."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        for worker in list(self._workers):
            worker.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _look(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        for worker in list(self._workers):
            if worker.process is None:
                continue
            if worker.process.memory() > self.limits.process.memory_bytes:
                worker.stop_for_memory()
            elif not worker.busy and now - worker.last_used > self.limits.idle_seconds:
                worker.rest()
            elif worker.current is not None and now - worker.since > _PATIENCE.get(worker.phase, now):
                self._relieve(worker)
        if any(worker.process is not None for worker in self._workers):
            self.watch()

    def _relieve(self, worker: Worker) -> None:
        """Those who wait behind a slow one go on in another process."""
        assert worker.current is not None  # noqa: S101 -- seen a moment ago
        slow = worker.current.resident
        held_up = {job.resident for job in worker.waiting if job.resident is not slow}
        if worker.phase == "loading":
            # Who is not loaded yet would have to load there as well.
            held_up = {resident for resident in held_up if resident.key in worker.loaded}
        living = sum(other.process is not None for other in self._workers)
        if not held_up or living >= self.limits.processes:
            return
        other = Worker(self, worker.environment, alone=False)
        self._workers.append(other)
        for resident in [one for one in worker.residents if one is not slow]:
            worker.residents.remove(resident)
            worker.loaded.discard(resident.key)
            resident.worker = other
            other.residents.append(resident)
        other.waiting.extend(job for job in worker.waiting if job.resident is not slow)
        own = [job for job in worker.waiting if job.resident is slow]
        worker.waiting.clear()
        worker.waiting.extend(own)
        if worker.phase == "scoring":
            slow.alone = worker.alone = True
        other.go()
