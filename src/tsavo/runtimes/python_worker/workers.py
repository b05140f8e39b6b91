"""One worker of the pool: a process, the versions that live in it, and the requests that wait for it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, Final, Literal, TypeVar

import msgspec

from tsavo.runtimes.python_worker.frames import Answer, Buffer, FrameLimits, Unload, encode
from tsavo.runtimes.python_worker.process import SHORT, Ended, Reply, WorkerProcess
from tsavo.runtimes.python_worker.residents import Resident
from tsavo.vocabulary import Overloaded, TsavoError, Unavailable

if TYPE_CHECKING:
    from tsavo.runtimes.python_worker.pool import WorkerPool

__all__ = ["Job", "Worker", "closing"]

T = TypeVar("T")

# They are held in the gateway's own memory.
_MOST_WAITING_BYTES: Final = 256 << 20
_NOTHING: Final = Reply(Answer(), b"")


class Job:
    """Something to be done for a resident."""

    def __init__(
        self,
        kind: Literal["score", "load", "unload"],
        resident: Resident,
        pieces: Sequence[Buffer] = (),
        limits: FrameLimits = SHORT,
    ) -> None:
        self.kind = kind
        self.resident = resident
        self.pieces = pieces
        self.limits = limits
        self.size = sum(map(len, pieces))
        self.reply: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self.process: WorkerProcess | None = None
        self.timer: asyncio.TimerHandle | None = None

    def succeed(self, reply: Reply) -> None:
        """Hand the reply to who waits for it."""
        if not self.reply.done():
            self.reply.set_result(reply)

    def fail(self, error: TsavoError) -> None:
        """Tell who waits for it."""
        if not self.reply.done():
            self.reply.set_exception(error)
            if self.kind == "unload":
                self.reply.exception()  # nobody waits for this one

    def expire(self, seconds: float) -> None:
        """Its time is over: who does not answer is stopped, who only waited is told so."""
        if self.process is not None:
            self.process.stop(f"{self.resident.key} did not answer within {seconds:g} s and was stopped")
            return
        loading = self.resident.state.name == "loading" and self.resident.worker is not None
        why = "is still being loaded" if loading else "has too much to do"
        self.fail(
            Unavailable(
                f"{self.resident.key} {why}",
                field="version",
                found=self.resident.key,
                expected=f"an answer within {seconds:g} s",
                retry_after=1.0,
                next_step="try again in a moment",
            )
        )


class Worker:
    """A process that is started when it is needed, and its queue.

    Attributes
    ----------
    residents
        The versions whose requests come here.
    loaded
        Keys of those that the process has in memory.
    alone
        Nobody else is to move in.
    """

    def __init__(self, pool: WorkerPool, environment: str, *, alone: bool) -> None:
        self.environment = environment
        self.alone = alone
        self.residents: list[Resident] = []
        self.loaded: set[str] = set()
        self.waiting: deque[Job] = deque()
        self.process: WorkerProcess | None = None
        self.current: Job | None = None
        self.phase: Literal["starting", "loading", "scoring"] = "starting"
        self.since = 0.0
        self.last_used = 0.0
        self._pool = pool
        self._limits = pool.limits
        self._task: asyncio.Task[None] | None = None
        self._blamed: Resident | None = None
        self._last: Resident | None = None
        self._closed = False

    @property
    def busy(self) -> bool:
        """Whether it has anything to do."""
        return self.current is not None or bool(self.waiting)

    def in_use(self, seconds: float) -> bool:
        """Whether somebody who is loaded was asked within the last `seconds`."""
        recent = asyncio.get_running_loop().time() - self.last_used < seconds
        return bool(self.loaded) and (self.busy or recent)

    async def ask(self, resident: Resident, pieces: Sequence[Buffer], limits: FrameLimits) -> Reply:
        """Queue an order and wait for its reply, at most as long as a request may take."""
        waiting = sum(job.size for job in self.waiting)
        if len(self.waiting) >= self._limits.waiting or waiting > _MOST_WAITING_BYTES:
            raise Overloaded(
                f"{len(self.waiting)} requests of {waiting >> 20} MiB wait for this worker process already",
                field="version",
                found=resident.key,
                retry_after=1.0,
                next_step="send fewer at once, or several rows in one request",
            )
        job = Job("score", resident, pieces, limits)
        seconds = self._limits.seconds
        job.timer = asyncio.get_running_loop().call_later(seconds, job.expire, seconds)
        self.put(job)
        try:
            return await job.reply
        finally:
            # In flight and given up by its caller, it still has to end in time.
            if job.process is None or not job.reply.cancelled():
                job.timer.cancel()

    async def load(self, resident: Resident) -> None:
        """Have the version in memory."""
        job = Job("load", resident)
        self.put(job)
        await job.reply

    def put(self, job: Job) -> None:
        """Queue a job."""
        self.waiting.append(job)
        self.go()

    def go(self) -> None:
        """Get on with what waits."""
        if self._task is None and self.waiting:
            self._task = asyncio.get_running_loop().create_task(self._work())

    def part_with(self, resident: Resident) -> None:
        """`resident` lives here no more."""
        self.residents.remove(resident)
        resident.worker = None
        if not self.residents:
            self.rest()
            self._pool.drop(self)
        elif resident.key in self.loaded:
            self.loaded.discard(resident.key)
            if self.process is not None:
                self.process.folder.take_back(resident.key)
                key = resident.key
                self.put(Job("unload", resident, encode(lambda _none: Unload(key))))

    def rest(self) -> None:
        """Stop the process; the next request starts another."""
        process, self.process = self.process, None
        self.loaded.clear()
        if process is not None:
            process.stop("")

    def close(self) -> None:
        """Stop for good."""
        self._closed = True
        for job in [*self.waiting, *([] if self.current is None else [self.current])]:
            job.fail(closing(job.resident))
        self.waiting.clear()
        self.rest()

    def stop_for_memory(self) -> None:
        """It uses too much: the version that it grew most with answers for it."""
        self._blamed = max(self.residents, key=lambda resident: resident.grown_kib)
        if self.process is not None:
            self.process.stop(self._too_much_memory(self._blamed))

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self.waiting:
                job = self.waiting.popleft()
                if job.reply.done():
                    continue
                self.current = job
                self.since = loop.time()
                try:
                    await self._do(job)
                finally:
                    self.current = None
                    self._last = job.resident
                    self.last_used = loop.time()
        finally:
            self._task = None

    async def _do(self, job: Job) -> None:
        try:
            if job.kind == "unload":
                if self.process is not None:
                    await self.process.exchange(job.pieces, SHORT)
                job.succeed(_NOTHING)
                return
            process = await self._ready_for(job.resident)
            if job.kind == "load" or job.reply.done():
                job.succeed(_NOTHING)
                return
            self.phase = "scoring"
            self.since = asyncio.get_running_loop().time()
            job.process = process
            reply = await process.exchange(job.pieces, job.limits)
        except Ended as ended:
            self._broke(job, str(ended))
        except TsavoError as error:
            job.fail(error)
        except Exception as error:  # its file is gone, the disk is full: who waits must hear of it
            job.resident.failed(f"{job.resident.key} cannot be given to a worker process: {error}"[:500])
            job.fail(job.resident.refusal())
        else:
            self._replied(job, reply)
        finally:
            job.process = None
            if job.timer is not None and job.reply.done():
                job.timer.cancel()

    def _replied(self, job: Job, reply: Reply) -> None:
        resident = job.resident
        resident.grown_kib += max(reply.answer.grown_kib, 0)
        if reply.answer.kind == "memory":
            self._blamed = max(self.residents, key=lambda one: one.grown_kib, default=resident)
            self.rest()
            self._broke(job, self._too_much_memory(self._blamed))
            return
        resident.went_well()
        job.succeed(reply)

    async def _ready_for(self, resident: Resident) -> WorkerProcess:
        loop = asyncio.get_running_loop()
        process = self.process
        if process is None:
            self.phase = "starting"
            process = await self._start(resident)
        if resident.key in self.loaded:
            return process
        self.phase = "loading"
        self.since = loop.time()
        path = await loop.run_in_executor(None, process.folder.hand_in, resident.source, resident.key)
        order = msgspec.structs.replace(resident.order, path=str(path))
        reply = await self._in_time(process, process.exchange(encode(lambda _none: order), SHORT), resident)
        resident.grown_kib += max(reply.answer.grown_kib, 0)
        if reply.answer.kind == "memory":
            self.rest()
            raise Ended(self._too_much_memory(resident))
        if reply.answer.error:
            resident.failed(f"{resident.key} cannot be loaded: {reply.answer.error}"[:500])
            raise resident.refusal()
        self.loaded.add(resident.key)
        return process

    async def _start(self, resident: Resident) -> WorkerProcess:
        loop = asyncio.get_running_loop()
        try:
            python = await loop.run_in_executor(None, self._pool.python_of, resident.environment)
        except TsavoError as error:
            resident.failed(f"the environment of {resident.key} cannot be made: {error.reason}")
            raise resident.refusal() from error
        if self._closed:
            raise closing(resident)
        self._pool.make_room()
        process = WorkerProcess(self._pool.new_folder(), lambda reason: self._ended(process, reason))
        self.process = process
        self._pool.watch()
        try:
            await self._in_time(process, process.start(python, self._limits.process), resident)
        except OSError:
            self.rest()
            raise
        finally:
            self._pool.in_background(process.ended())
        return process

    async def _in_time(self, process: WorkerProcess, doing: Awaitable[T], resident: Resident) -> T:
        seconds = self._limits.start_seconds
        late = f"{resident.key} could not be loaded within {seconds:g} s and was stopped"
        timer = asyncio.get_running_loop().call_later(seconds, process.stop, late)
        try:
            return await doing
        finally:
            timer.cancel()

    def _ended(self, process: WorkerProcess, reason: str) -> None:
        """The process ended. When it was asked something, whoever waits for the reply sees to it."""
        if self.process is not process or self.current is not None:
            return
        self.rest()
        guilty, self._blamed = self._blamed, None
        if guilty is None and process.out_of_turn and self._last in self.residents:
            guilty = self._last
        if guilty is None and len(self.residents) == 1:
            guilty = self.residents[0]
        if guilty is not None:
            self._pool.move_out(self, guilty, reason)
        else:
            self._separate(self.residents)

    def _broke(self, job: Job, reason: str) -> None:
        """The process ended over a job: who is to blame moves out, all others go on."""
        process = self.process
        self.rest()
        if self._closed or job.kind == "unload":
            job.fail(closing(job.resident))
            return
        guilty, self._blamed = self._blamed or job.resident, None
        # An innocent's job is done again; what waits for the guilty one fails with it.
        self.waiting.appendleft(job)
        others = process is not None and process.out_of_turn and self._last is not job.resident
        if others and self._last in self.residents:
            self._separate([job.resident, self._last])
        else:
            self._pool.move_out(self, guilty, reason)

    def _separate(self, suspects: Sequence[Resident]) -> None:
        """Nobody can say which of them it was: the next time it will be known."""
        for resident in list(suspects):
            self._pool.move_out(self, resident, "")

    def take_jobs_of(self, resident: Resident) -> list[Job]:
        """What waits for `resident`, and waits here no more."""
        jobs = [job for job in self.waiting if job.resident is resident]
        self.waiting = deque(job for job in self.waiting if job.resident is not resident)
        return jobs

    def _too_much_memory(self, resident: Resident) -> str:
        most = self._limits.process.memory_bytes >> 20
        return f"{resident.key} went beyond {most} MiB of memory and was stopped"


def closing(resident: Resident) -> Unavailable:
    """What is said while the pool stops."""
    return Unavailable("this gateway is stopping", field="version", found=resident.key, retry_after=1.0)
