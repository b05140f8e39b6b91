"""What every runtime is, and which one runs a version."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy.typing as npt

from tsavo.runtimes.onnx_runtime import OnnxRuntime
from tsavo.vocabulary import Batch, Signature, Version

__all__ = ["Runtime", "load"]


@runtime_checkable
class Runtime(Protocol):
    """Scores batches. Safe to call from several threads at once."""

    @property
    def signature(self) -> Signature:
        """The typed contract it was loaded with."""
        ...

    def predict(self, batch: Batch) -> tuple[npt.NDArray[Any], ...]:
        """Outputs in the order of ``signature.outputs``: [n], or [n, width] for wide ones."""
        ...


def load(version: Version, path: Path) -> Runtime:
    """The runtime of `version`, with its artifact at `path`.

    Raises
    ------
    Damaged
        When the artifact cannot be loaded.
    """
    # `vocabulary.RuntimeName` has one member today; the type checker holds this line to it.
    runtime: type[OnnxRuntime] = {"onnx": OnnxRuntime}[version.runtime]
    return runtime(path, version.signature)
