"""What every runtime is, and which one runs a version."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy.typing as npt

from tsavo.runtimes.onnx_runtime import OnnxRuntime
from tsavo.runtimes.python_worker.pool import WorkerPool
from tsavo.runtimes.python_worker.runtime import PythonRuntime
from tsavo.vocabulary import Batch, Signature, Version

__all__ = ["Runtime", "load"]


@runtime_checkable
class Runtime(Protocol):
    """Scores batches in process. Safe to call from several threads at once."""

    @property
    def signature(self) -> Signature:
        """The typed contract it was loaded with."""
        ...

    def predict(self, batch: Batch) -> tuple[npt.NDArray[Any], ...]:
        """Outputs in the order of ``signature.outputs``: [n], or [n, width] for wide ones."""
        ...


def load(version: Version, path: Path, workers: WorkerPool) -> Runtime | PythonRuntime:
    """The runtime of `version`, with its artifact at `path`.

    Parameters
    ----------
    workers
        Where versions live that are not compiled.

    Raises
    ------
    Damaged
        When a compiled artifact cannot be loaded. What a Python worker has to say comes with the first request.
    """
    if version.runtime == "python":
        return PythonRuntime(version, path, workers)
    return OnnxRuntime(path, version.signature)
