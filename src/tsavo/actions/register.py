"""Registering: a model file becomes an immutable version, if it passes its checks."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Literal

import msgspec

from tsavo.actions.control_plane import ControlPlane
from tsavo.formats import CODE_CARRYING, sniff
from tsavo.governance import Principal, Right, audit, require
from tsavo.registry import add_model, add_version, find_by_digest, find_model, update_brief, version_digest
from tsavo.runtimes import Prepared, PrepareJob, prepare
from tsavo.storage import file_digest
from tsavo.vocabulary import (
    Brief,
    Golden,
    Hints,
    Lineage,
    Model,
    Reference,
    SourceFormat,
    Version,
    check_name,
)

__all__ = ["Registered", "Registration", "register"]


class Registration(msgspec.Struct, frozen=True):
    """What a person hands in.

    Attributes
    ----------
    source, reference
        Files on this machine, put there by a door under names of its own.
    source_name
        What the person calls the source; kept for lineage and never used as a path.
    target
        The reference column that holds what really happened.
    trusted
        The person vouches for a source that can carry code.
    hints
        What the person says about the model where the file does not.
    runtime
        ``auto``, or the one that the person insists on.
    """

    model: str
    source: Path
    source_name: str
    reference: Path | None = None
    target: str | None = None
    trusted: bool = False
    code_commit: str | None = None
    brief: Brief | None = None
    hints: Hints = Hints()
    runtime: Literal["auto", "onnx", "python"] = "auto"


class Registered(msgspec.Struct, frozen=True):
    """The version, and whether it is new (the same content is never kept twice)."""

    version: Version
    new: bool


def register(plane: ControlPlane, who: Principal, order: Registration) -> Registered:
    """Check, compile and keep a model file as the next version of its model.

    Takes seconds: the file is read in a worker process of its own.

    Raises
    ------
    Untrusted, Disagreement, Unreadable, Invalid
        As the worker finds; nothing is kept then.
    """
    require(who, Right.REGISTER)
    check_name(order.model, "model")
    with order.source.open("rb") as file:
        source_format = sniff(file.read(8192))
    if order.trusted and source_format in CODE_CARRYING:
        require(who, Right.TRUST)
    job = PrepareJob(
        source=order.source,
        format=source_format,
        reference=order.reference,
        target=order.target,
        trusted=order.trusted,
        hints=order.hints,
        runtime=order.runtime,
    )
    with tempfile.TemporaryDirectory(dir=plane.work) as folder:
        prepared = prepare(job, Path(folder))
        draft = _draft(plane, who, order, source_format, prepared)
    return _keep(plane, who, order, draft)


def _draft(
    plane: ControlPlane, who: Principal, order: Registration, source_format: SourceFormat, prepared: Prepared
) -> Version:
    source_digest = plane.artifacts.put(order.source.read_bytes())
    # A Python worker runs the source as it is.
    compiled = prepared.artifact
    artifact = source_digest if compiled is None else plane.artifacts.put(compiled.read_bytes())
    golden = None
    if prepared.golden is not None:
        golden = Golden(plane.artifacts.put(prepared.golden.read_bytes()), prepared.golden_rows)
    reference = None
    if prepared.reference is not None:
        digest = plane.artifacts.put(prepared.reference.read_bytes())
        reference = Reference(digest=digest, rows=prepared.reference_rows, target=order.target)
    return Version(
        model=order.model,
        number=0,
        digest=version_digest(source_digest, artifact, prepared.signature, reference),
        artifact=artifact,
        artifact_bytes=(order.source if compiled is None else compiled).stat().st_size,
        runtime=prepared.runtime,
        signature=prepared.signature,
        lineage=Lineage(
            registered_by=who.name,
            source_name=order.source_name,
            source_format=source_format,
            source_digest=source_digest,
            framework=prepared.framework,
            data_digest=None if order.reference is None else file_digest(order.reference),
            code_commit=order.code_commit,
            libraries=prepared.libraries,
            python=prepared.python,
            trusted_by=who.name if order.trusted and source_format in CODE_CARRYING else None,
        ),
        checks=prepared.checks,
        created=plane.clock.now(),
        reference=reference,
        reason=prepared.reason,
        golden=golden,
        hints=order.hints,
    )


def _keep(plane: ControlPlane, who: Principal, order: Registration, draft: Version) -> Registered:
    with plane.database.begin() as connection:
        model = find_model(connection, order.model)
        if model is None:
            model = Model(order.model, owner=who.name, created=draft.created, brief=order.brief or Brief())
            add_model(connection, model)
        elif order.brief is not None and order.brief != model.brief:
            update_brief(connection, order.model, order.brief)
            audit(
                connection,
                time=draft.created,
                who=who.name,
                action="model.brief",
                subject=f"model:{order.model}",
                before=model.brief,
                after=order.brief,
            )
        present = find_by_digest(connection, order.model, draft.digest)
        if present is not None:
            return Registered(present, new=False)
        version = add_version(connection, draft)
        audit(
            connection,
            time=version.created,
            who=who.name,
            action="version.register",
            subject=f"version:{version.ref}",
            after={"digest": version.digest, "trusted_by": version.lineage.trusted_by},
        )
    return Registered(version, new=True)
