"""Runs a version in the worker pool: a batch in, outputs out that are what the signature says, or a reason."""

from __future__ import annotations

import math
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tsavo.runtimes.python_worker.frames import BadFrame, FrameLimits, Load, Predict, arrays_of, encode
from tsavo.runtimes.python_worker.pool import WorkerPool
from tsavo.runtimes.python_worker.residents import Resident
from tsavo.runtimes.python_worker.states import RuntimeState
from tsavo.vocabulary import NUMPY_DTYPES, Batch, Output, Signature, Unavailable, Version

__all__ = ["PythonRuntime"]

_HEADER_BYTES: Final = 64 << 10
_OUTPUT_HEADER_BYTES: Final = 512
# Outputs that nobody asked for, and what their padding adds.
_SPARE_BYTES: Final = 64 << 10
_TEXT_BYTES: Final = 1 << 10
_MOST_BYTES: Final = 256 << 20


class PythonRuntime:
    """One version in the worker pool of this gateway.

    Parameters
    ----------
    path
        The model file as it was handed in. It is read in a worker process only.
    """

    def __init__(self, version: Version, path: Path, pool: WorkerPool) -> None:
        self.signature: Signature = version.signature
        self._key = str(version.ref)
        lineage = version.lineage
        order = Load(
            key=self._key,
            path="",
            format=lineage.source_format,
            trusted=lineage.trusted_by is not None,
            hints=version.hints,
            fields=version.signature.inputs,
        )
        self._resident = Resident(pool, self._key, path, order, version.environment)
        self._names = [field.name for field in version.signature.inputs]
        self._header_bytes = _HEADER_BYTES + _OUTPUT_HEADER_BYTES * len(version.signature.outputs)
        self._row_bytes = sum(_bytes_of(output) for output in version.signature.outputs)

    @property
    def state(self) -> RuntimeState:
        """How it is doing."""
        return self._resident.state

    def warm(self) -> Coroutine[Any, Any, None]:
        """Load it now; what goes wrong is in its state afterwards."""
        return self._resident.warm()

    def release(self) -> None:
        """Let go of it once what was begun is done."""
        self._resident.release()

    async def answer(self, batch: Batch) -> tuple[npt.NDArray[Any], ...]:
        """Outputs in signature order: [n], or [n, width] for wide ones.

        Raises
        ------
        Unavailable
            When the worker process cannot answer, the model raises, or its outputs are not what the signature says.
        Overloaded
            When too many requests wait already.
        """
        pieces = encode(lambda arrays: Predict(self._key, arrays), self._arrays(batch))
        most = min(_SPARE_BYTES + 2 * self._row_bytes * batch.rows, _MOST_BYTES)
        reply = await self._resident.ask(pieces, FrameLimits(self._header_bytes, most))
        if reply.answer.error:
            raise self._unfit(f"the model raised {reply.answer.error[:400]}")
        try:
            arrays = arrays_of(reply.answer.arrays, reply.body)
        except BadFrame as error:
            raise self._unfit(f"its answer cannot be read: {error}") from error
        return tuple(self._output(output, arrays, batch.rows) for output in self.signature.outputs)

    def _arrays(self, batch: Batch) -> list[tuple[str, npt.NDArray[Any]]]:
        if batch.matrix is not None:
            return [("", batch.matrix)]
        return list(zip(self._names, batch.columns, strict=True))

    def _output(self, output: Output, arrays: dict[str, npt.NDArray[Any]], rows: int) -> npt.NDArray[Any]:
        values = arrays.get(output.name)
        if values is None:
            raise self._unfit(f"it gave no output '{output.name}', only {sorted(arrays)[:20]}")
        shape = (rows,) if output.width is None else (rows, output.width)
        if values.shape != shape:
            raise self._unfit(
                f"the output '{output.name}' has the shape {list(values.shape)} instead of {list(shape)}"
            )
        wanted = NUMPY_DTYPES[output.dtype]
        if values.dtype == wanted:
            return values
        if object in (values.dtype, wanted) or not np.can_cast(values.dtype, wanted, "same_kind"):
            given = "text" if values.dtype == object else values.dtype.name
            raise self._unfit(f"the output '{output.name}' is {given} instead of {output.dtype}")
        return values.astype(wanted)

    def _unfit(self, reason: str) -> Unavailable:
        return Unavailable(
            f"{self._key} gave no answer to use: {reason}"[:600], field="version", found=self._key
        )


def _bytes_of(output: Output) -> int:
    width = 1 if output.width is None else output.width
    dtype = NUMPY_DTYPES[output.dtype]
    return math.ceil(width * (_TEXT_BYTES if dtype.hasobject else max(dtype.itemsize, 8)))
