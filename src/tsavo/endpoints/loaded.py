"""A version that is loaded and ready to score."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import Executor
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tsavo.endpoints.inputs import InputReader
from tsavo.runtimes import PythonRuntime, Runtime, RuntimeState, session_bytes
from tsavo.vocabulary import NUMPY_DTYPES, Batch, Signature, TsavoError, Version

__all__ = ["LoadedVersion", "project"]

# A prediction that is expected to take longer than this goes to a thread, so that others are not kept waiting.
_INLINE_MICROSECONDS: Final = 2_000.0
# So many of the threads may be busy with one version; what comes on top waits for its own kind.
_THREADS_OF_ONE: Final = 2
_READY: Final = RuntimeState("ready")
# Of the signature, the reader and the rest; more for many columns and categories.
_OWN_BYTES: Final = 16 << 10
_COLUMN_BYTES: Final = 400
_CATEGORY_BYTES: Final = 150


class LoadedVersion:
    """One version with its runtime, its input reader and what its predictions cost.

    Parameters
    ----------
    runtime
        What scores, or why it could not be loaded: inputs can be read and recorded all the same.
    threads
        Where long predictions of compiled models run.

    Attributes
    ----------
    bytes, shared_bytes
        About what it takes of this process's memory, by itself and with others of the same artifact; nothing when
        it lives in a worker process.
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
        self.bytes = 0 if self._worker is not None else _own_bytes(version.signature)
        self.shared_bytes = session_bytes(version.artifact_bytes) if isinstance(runtime, Runtime) else 0
        self._turns = asyncio.Semaphore(_THREADS_OF_ONE)
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
            async with self._turns:
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


def _own_bytes(signature: Signature) -> int:
    categories = sum(len(field.categories or ()) for field in signature.inputs)
    return _OWN_BYTES + _COLUMN_BYTES * len(signature.inputs) + _CATEGORY_BYTES * categories


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
