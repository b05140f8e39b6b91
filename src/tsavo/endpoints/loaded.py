"""Versions that are loaded and ready to score."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tsavo.endpoints.inputs import InputReader
from tsavo.runtimes import PythonRuntime, Runtime, RuntimeState
from tsavo.vocabulary import NUMPY_DTYPES, Batch, Signature, TsavoError, Version, VersionRef

__all__ = ["LoadedVersion", "VersionShelf", "project"]

# A prediction that is expected to take longer than this goes to a thread, so that others are not kept waiting.
_INLINE_MICROSECONDS: Final = 2_000.0
_RETRY_SECONDS: Final = 10.0
_READY: Final = RuntimeState("ready")


class LoadedVersion:
    """One version with its runtime, its input reader and what its predictions cost.

    Parameters
    ----------
    runtime
        What scores, or why it could not be loaded: inputs can be read and recorded all the same.
    threads
        Where long predictions of compiled models run.
    """

    def __init__(
        self,
        version: Version,
        runtime: Runtime | PythonRuntime | TsavoError,
        *,
        max_rows: int,
        threads: Executor,
    ) -> None:
        self.version = version
        self.ref = version.ref
        self.label = str(version.ref)
        self.signature = version.signature
        self.reader = InputReader(version.signature, max_rows=max_rows)
        self.failure = runtime if isinstance(runtime, TsavoError) else None
        self.since = time.monotonic()
        self._worker = runtime if isinstance(runtime, PythonRuntime) else None
        self._predict = runtime.predict if isinstance(runtime, Runtime) else self._fail
        self._threads = threads
        # Unknown at first, and then taken to be slow.
        self._microseconds_per_row = _INLINE_MICROSECONDS + 1

    async def predict(self, batch: Batch) -> tuple[npt.NDArray[Any], ...]:
        """Outputs in signature order: on the event loop when that is quick, else in a thread or a worker process."""
        if self._worker is not None:
            return await self._worker.answer(batch)
        started = time.perf_counter_ns()
        if batch.rows * self._microseconds_per_row <= _INLINE_MICROSECONDS:
            outputs = self._predict(batch)
        else:
            loop = asyncio.get_running_loop()
            outputs = await loop.run_in_executor(self._threads, self._timed, batch)
            return outputs
        self._learn(started, batch.rows)
        return outputs

    def _fail(self, _batch: Batch) -> tuple[npt.NDArray[Any], ...]:
        assert self.failure is not None  # noqa: S101 -- what has no runtime has a reason
        raise self.failure

    @property
    def state(self) -> RuntimeState:
        """How it is doing in this process."""
        if self._worker is not None:
            return self._worker.state
        if self.failure is not None:
            return RuntimeState("failed", reason=self.failure.reason)
        return _READY

    async def warm(self) -> None:
        """Have it in memory, as far as that is possible; how that went is in its state."""
        if self._worker is not None:
            await self._worker.warm()

    def release(self) -> None:
        """Let go of it once what was begun is done."""
        if self._worker is not None:
            self._worker.release()

    def _timed(self, batch: Batch) -> tuple[npt.NDArray[Any], ...]:
        started = time.perf_counter_ns()
        outputs = self._predict(batch)
        self._learn(started, batch.rows)
        return outputs

    def _learn(self, started: int, rows: int) -> None:
        measured = (time.perf_counter_ns() - started) / 1000 / rows
        known = self._microseconds_per_row
        # The first measurement counts whole, later ones for an eighth.
        self._microseconds_per_row = (
            measured if known > _INLINE_MICROSECONDS else known + (measured - known) / 8
        )


class VersionShelf:
    """Loads each version once, however many requests ask for it at the same time.

    Parameters
    ----------
    load
        Reads a version from the registry and the artifacts; blocking, so it runs in a thread.
    """

    def __init__(self, load: Callable[[VersionRef], LoadedVersion], threads: Executor) -> None:
        self._load = load
        self._threads = threads
        self._ready: dict[VersionRef, LoadedVersion] = {}
        self._loading: dict[VersionRef, asyncio.Future[LoadedVersion]] = {}

    def ready(self, ref: VersionRef) -> LoadedVersion | None:
        """The version when it is loaded, else ``None``; one that failed to load is tried again after a while."""
        loaded = self._ready.get(ref)
        if (
            loaded is not None
            and loaded.failure is not None
            and time.monotonic() - loaded.since > _RETRY_SECONDS
        ):
            return None
        return loaded

    async def get(self, ref: VersionRef) -> LoadedVersion:
        """The version, loaded now when it is not yet."""
        loaded = self.ready(ref)
        if loaded is not None:
            return loaded
        loading = self._loading.get(ref)
        if loading is None:
            loading = asyncio.ensure_future(
                asyncio.get_running_loop().run_in_executor(self._threads, self._load, ref)
            )
            self._loading[ref] = loading
            loading.add_done_callback(lambda done: self._keep(ref, done))
        # One caller who gives up must not cancel the loading that others wait for.
        return await asyncio.shield(loading)

    async def warm(self, ref: VersionRef) -> None:
        """Have the version in memory, also where that is a worker process."""
        await (await self.get(ref)).warm()

    def keep_only(self, wanted: set[VersionRef]) -> None:
        """Forget versions that no route names any more."""
        for ref in self._ready.keys() - wanted:
            self._ready.pop(ref).release()

    def _keep(self, ref: VersionRef, done: asyncio.Future[LoadedVersion]) -> None:
        self._loading.pop(ref, None)
        if not done.cancelled() and done.exception() is None:
            self._ready[ref] = done.result()


def project(batch: Batch, given: Signature, wanted: Signature) -> Batch:
    """The same rows in the column order and types of another signature (see `vocabulary.misfits`)."""
    if given.inputs == wanted.inputs or [(f.name, f.dtype) for f in given.inputs] == [
        (f.name, f.dtype) for f in wanted.inputs
    ]:
        return batch
    position = {field.name: at for at, field in enumerate(given.inputs)}
    columns = []
    for field in wanted.inputs:
        at = position[field.name]
        column = batch.columns[at] if batch.matrix is None else batch.matrix[:, at]
        columns.append(column.astype(NUMPY_DTYPES[field.dtype], copy=False))
    if wanted.matrix_dtype is not None:
        return Batch(batch.rows, np.ascontiguousarray(np.stack(columns, axis=1)))
    return Batch(batch.rows, None, tuple(columns))
