"""What goes into the worker process that prepares a version, and what comes back."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec

from tsavo.vocabulary import Check, Hints, RuntimeName, Signature, SourceFormat

__all__ = [
    "AskedVersion",
    "ErrorParts",
    "NeedsEnvironment",
    "PrepareJob",
    "Prepared",
    "WorkerAnswer",
    "WorkerLimits",
]

_GIB = 1 << 30


class AskedVersion(msgspec.Struct, frozen=True):
    """A version as a worker process gets it.

    Attributes
    ----------
    runtime
        Who is asked: the compiled artifact, or the original in its own framework.
    model
        The artifact, or the source. It is read in the worker process only.
    trusted
        Somebody vouched for the source when it was registered.
    """

    runtime: RuntimeName
    model: Path
    format: SourceFormat
    trusted: bool
    hints: Hints
    signature: Signature


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
    hints
        What the person says about the model where the file does not.
    runtime
        ``auto`` compiles where that is possible; ``onnx`` refuses what cannot be compiled; ``python`` does not compile.
    remote
        File descriptor of a socket to a Python worker that holds the model in an environment of its own; the model is
        then asked there and not read here.
    """

    source: Path
    format: SourceFormat
    reference: Path | None = None
    target: str | None = None
    trusted: bool = False
    hints: Hints = Hints()
    runtime: Literal["auto", "onnx", "python"] = "auto"
    remote: int | None = None


class Prepared(msgspec.Struct, frozen=True):
    """A version in the making; its files are in the work folder and belong to the caller.

    Attributes
    ----------
    runtime
        Which runtime serves it.
    artifact
        The ONNX file that `OnnxRuntime` loads, or ``None`` when a Python worker runs the source itself.
    reference
        Parquet as `vocabulary.Reference` describes, when reference rows were given.
    libraries, python
        Distribution name -> version, and the Python version, of the process that read the model.
    framework
        What the model was made with, such as ``scikit-learn 1.9.1``.
    golden, golden_rows
        Parquet as `vocabulary.Golden` describes.
    reason
        Why it is not compiled.
    requirements, wanted_python
        The environment of its own that it needs; empty when ours serves.
    """

    runtime: RuntimeName
    artifact: Path | None
    signature: Signature
    reference: Path | None
    reference_rows: int
    checks: tuple[Check, ...]
    libraries: dict[str, str]
    python: str
    framework: str
    golden: Path | None = None
    golden_rows: int = 0
    reason: str = ""
    requirements: tuple[str, ...] = ()
    wanted_python: str | None = None


class NeedsEnvironment(Exception):
    """The model cannot be asked beside our own libraries: it needs an environment of its own.

    Parameters
    ----------
    lacking
        Which of its requirements ours does not satisfy.
    requirements, python
        What it needs in all, and the Python version that it was made with.
    """

    def __init__(self, lacking: tuple[str, ...], requirements: tuple[str, ...], python: str | None) -> None:
        super().__init__(", ".join(lacking))
        self.lacking = lacking
        self.requirements = requirements
        self.python = python


class WorkerLimits(msgspec.Struct, frozen=True):
    """What the worker may use before it is stopped.

    Attributes
    ----------
    memory_bytes
        Address space, beside what the libraries of the worker have mapped before it begins.
    cpu_seconds, wall_seconds
        Processor time, and time on the clock.
    open_files, file_bytes
        Files open at once, and the size of any file it writes.
    processes
        Processes and threads, where the platform can count them.
    """

    memory_bytes: int = 4 * _GIB
    cpu_seconds: int = 300
    wall_seconds: float = 300.0
    open_files: int = 256
    file_bytes: int = 2 * _GIB
    processes: int = 64


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
    """What the worker writes into its job folder: an error, or the need of another environment, or all the rest.

    Attributes
    ----------
    needs
        What our environment lacks of the model's requirements: the model has to be asked in one of its own, which
        `requirements` and `wanted_python` describe.
    """

    error: ErrorParts | None = None
    needs: tuple[str, ...] = ()
    requirements: tuple[str, ...] = ()
    wanted_python: str | None = None
    runtime: RuntimeName = "onnx"
    reason: str = ""
    golden_rows: int = 0
    signature: Signature | None = None
    reference_rows: int = 0
    checks: tuple[Check, ...] = ()
    libraries: dict[str, str] = {}
    python: str = ""
    framework: str = ""
