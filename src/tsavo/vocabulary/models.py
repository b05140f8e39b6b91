"""Models and their versions: what was registered, by whom, from what, and how it was checked."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal, TypeAlias

import msgspec

from tsavo.vocabulary.names import VersionRef
from tsavo.vocabulary.signature import Signature

__all__ = ["Brief", "Check", "Lineage", "Model", "Reference", "RuntimeName", "SourceFormat", "Version"]

SourceFormat: TypeAlias = Literal["skops", "pickle", "joblib", "cloudpickle", "onnx"]
RuntimeName: TypeAlias = Literal["onnx"]


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
        SHA-256 of the file that the runtime loads.
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

    @property
    def ref(self) -> VersionRef:
        """``model@number``."""
        return VersionRef(self.model, self.number)
