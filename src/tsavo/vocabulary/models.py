"""Models and their versions: what was registered, by whom, from what, and how it was checked."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, TypeAlias

import msgspec

from tsavo.vocabulary.names import VersionRef
from tsavo.vocabulary.signature import Signature, Task

__all__ = [
    "Brief",
    "Check",
    "Environment",
    "Golden",
    "Hints",
    "Lineage",
    "Model",
    "Reference",
    "RuntimeName",
    "SourceFormat",
    "Version",
]

SourceFormat: TypeAlias = Literal[
    "skops",
    "pickle",
    "joblib",
    "cloudpickle",
    "onnx",
    "xgboost",
    "lightgbm",
    "catboost",
    "torch-export",
    "torchscript",
    "pmml",
    "scorecard",
    # Bundles: a folder in a zip.
    "mlflow",
    "python",
]
RuntimeName: TypeAlias = Literal["onnx", "python"]
"""``onnx``: compiled, in the gateway's own process. ``python``: as it is, in a worker process."""


class Brief(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a model exists: the problem, the decision it supports, its value, what it assumes."""

    problem: str = ""
    decision: str = ""
    value: str = ""
    assumptions: str = ""


class Model(msgspec.Struct, frozen=True):
    """A named thing that makes decisions."""

    name: str
    owner: str
    created: datetime
    brief: Brief = Brief()


class Reference(msgspec.Struct, frozen=True, omit_defaults=True):
    """The data a version is compared with: a Parquet file in the artifact store.

    Attributes
    ----------
    digest
        SHA-256 of the Parquet file. It has the signature's input columns; the target under its own name; and
        the model's outputs as ``prediction.<output>`` (or ``prediction.<output>.<k>`` for wide outputs).
    target
        The column that holds what really happened, when there is one.
    """

    digest: str
    rows: int
    target: str | None = None


class Golden(msgspec.Struct, frozen=True):
    """Rows whose answers are kept, to see years later whether the version still gives them.

    Attributes
    ----------
    digest
        SHA-256 of a Parquet file in the artifact store. It has the signature's input columns; the original model's
        outputs as ``expected.<output>`` (or ``expected.<output>.<k>`` for wide outputs); and those of the runtime
        that serves it as ``prediction.<output>``.
    """

    digest: str
    rows: int


class Environment(msgspec.Struct, frozen=True):
    """The Python environment that a version runs in, when it is not Tsavo's own.

    Attributes
    ----------
    digest
        SHA-256 over the lock, the Python version and the platform: equal digests share one environment.
    python
        ``major.minor``.
    lock
        SHA-256 of the lock file in the artifact store.
    requirements
        What is in it, as ``name==version``.
    """

    digest: str
    python: str
    lock: str
    requirements: tuple[str, ...] = ()


class Hints(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What the person who registers a model says about it, where the file itself does not.

    Attributes
    ----------
    task
        What it is for.
    classes
        Class labels in the order of the model's probabilities.
    names
        Input columns in the order in which the model takes them.
    units
        Input column -> unit, such as ``{"amount": "EUR"}``.
    requirements
        What the model's own environment needs, as ``name==version``; empty when Tsavo's own environment serves.
    python
        The Python version of that environment, as ``major.minor``.
    """

    task: Task | None = None
    classes: tuple[str | int | bool | float, ...] | None = None
    names: tuple[str, ...] | None = None
    units: dict[str, str] = {}
    requirements: tuple[str, ...] = ()
    python: str | None = None


class Check(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that was verified about a version, with its figures."""

    name: str
    passed: bool
    summary: str
    figures: dict[str, Any] = {}


class Lineage(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a version comes from.

    Attributes
    ----------
    source_digest
        SHA-256 of the model file as it was handed in.
    data_digest
        SHA-256 of the reference data as it was handed in.
    code_commit
        The git commit of the caller's working directory, ``-dirty`` appended when it had changes.
    libraries
        Distribution name -> version, as found in the process that read the model.
    trusted_by
        The person who vouched for a source that can carry code.
    """

    registered_by: str
    source_name: str
    source_format: SourceFormat
    source_digest: str
    framework: str
    data_digest: str | None = None
    code_commit: str | None = None
    libraries: dict[str, str] = {}
    python: str = ""
    trusted_by: str | None = None


class Version(msgspec.Struct, frozen=True, omit_defaults=True):
    """One immutable, content-addressed artifact of a model.

    Attributes
    ----------
    digest
        SHA-256 over the source, the compiled artifact, the signature and the reference: what it *is*.
    artifact
        SHA-256 of the file that the runtime loads: the compiled model, or the source itself when a Python worker
        runs it.
    reason
        Why a Python worker runs it, in words for people; empty for compiled versions.
    environment
        What the Python worker runs it in, when that is not Tsavo's own environment.
    golden
        Rows with the answers that it gave when it was registered.
    hints
        What the person who registered it said about it.
    """

    model: str
    number: int
    digest: str
    artifact: str
    artifact_bytes: int
    runtime: RuntimeName
    signature: Signature
    lineage: Lineage
    checks: tuple[Check, ...]
    created: datetime
    reference: Reference | None = None
    reason: str = ""
    environment: Environment | None = None
    golden: Golden | None = None
    hints: Hints = msgspec.field(default_factory=Hints)

    @property
    def ref(self) -> VersionRef:
        """``model@number``."""
        return VersionRef(self.model, self.number)
