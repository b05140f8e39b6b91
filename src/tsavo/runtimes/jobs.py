"""What goes into the worker process that prepares a version, and what comes back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from tsavo.vocabulary import Check, Signature, SourceFormat, Task

__all__ = ["ErrorParts", "PrepareJob", "Prepared", "WorkerAnswer", "WorkerLimits"]

_GIB = 1 << 30


class PrepareJob(msgspec.Struct, frozen=True):
    """A model file to be read, described, compiled and checked.

    Attributes
    ----------
    source
        The model file. It is read in the worker process only.
    reference
        Rows the model is compared on: Parquet or CSV with the model's input columns.
    target
        The reference column that holds what really happened; it is no input.
    trusted
        Somebody vouches for a file that can carry code.
    task, classes
        Hints for ONNX files, which do not say what their numbers mean.
    """

    source: Path
    format: SourceFormat
    reference: Path | None = None
    target: str | None = None
    trusted: bool = False
    task: Task | None = None
    classes: tuple[str | int | bool | float, ...] | None = None


class Prepared(msgspec.Struct, frozen=True):
    """A version in the making; its files are in the work folder and belong to the caller.

    Attributes
    ----------
    artifact
        The ONNX file that `OnnxRuntime` loads.
    reference
        Parquet as `vocabulary.Reference` describes, when reference rows were given.
    libraries, python
        Distribution name -> version, and the Python version, of the process that read the model.
    framework
        What the model was made with, such as ``scikit-learn 1.9.1``.
    """

    artifact: Path
    signature: Signature
    reference: Path | None
    reference_rows: int
    checks: tuple[Check, ...]
    libraries: dict[str, str]
    python: str
    framework: str


class WorkerLimits(msgspec.Struct, frozen=True):
    """What the worker may use before it is stopped.

    Attributes
    ----------
    memory_bytes
        Address space of the process.
    cpu_seconds, wall_seconds
        Processor time, and time on the clock.
    open_files, file_bytes
        Files open at once, and the size of any file it writes.
    """

    memory_bytes: int = 4 * _GIB
    cpu_seconds: int = 300
    wall_seconds: float = 300.0
    open_files: int = 256
    file_bytes: int = 2 * _GIB


class ErrorParts(msgspec.Struct, frozen=True):
    """A `TsavoError` on its way between processes."""

    kind: str
    reason: str
    field: str | None = None
    found: Any = None
    expected: str | None = None
    next_step: str | None = None
    retry_after: float | None = None
    details: Any = None


class WorkerAnswer(msgspec.Struct, frozen=True):
    """What the worker writes into its job folder: an error, or all the rest."""

    error: ErrorParts | None = None
    signature: Signature | None = None
    reference_rows: int = 0
    checks: tuple[Check, ...] = ()
    libraries: dict[str, str] = {}
    python: str = ""
    framework: str = ""
