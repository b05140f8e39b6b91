"""Registering: a model file becomes an immutable version, if it passes its checks."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal

import msgspec

from tsavo.actions.control_plane import ControlPlane
from tsavo.formats import CODE_CARRYING, sniff_file
from tsavo.governance import Principal, Right, audit, require
from tsavo.registry import add_model, add_version, find_by_digest, find_model, update_brief, version_digest
from tsavo.runtimes import (
    Lock,
    NeedsEnvironment,
    Prepared,
    PrepareJob,
    VerifyItem,
    VerifyJob,
    ask_again,
    holding,
    prepare,
)
from tsavo.storage import file_digest
from tsavo.vocabulary import (
    Brief,
    Check,
    Disagreement,
    Environment,
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

# An MLflow folder may hold a pickle, or code of its author's; which it does, the worker sees.
_VOUCHED_FOR: Final = CODE_CARRYING | {"mlflow"}


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
    owner
        Who answers for the model, when it is new; by default who registers it.
    why
        Kept in the audit trail.
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
    owner: str | None = None
    why: str = ""


class Registered(msgspec.Struct, frozen=True):
    """The version, and whether it is new (the same content is never kept twice)."""

    version: Version
    new: bool


def register(
    plane: ControlPlane, who: Principal, order: Registration, say: Callable[[str], None] = lambda line: None
) -> Registered:
    """Check, compile and keep a model file as the next version of its model.

    Takes seconds: the file is read in a worker process of its own. An environment that has to be built takes longer.

    Parameters
    ----------
    say
        Told what is being done, in one line each.

    Raises
    ------
    Untrusted, Disagreement, Unreadable, Invalid
        As the worker finds; nothing is kept then.
    """
    require(who, Right.REGISTER)
    check_name(order.model, "model")
    source_format = sniff_file(order.source, order.source_name)
    if order.trusted and source_format in _VOUCHED_FOR:
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
    say(f"reading the {source_format} file")
    with tempfile.TemporaryDirectory(dir=plane.work) as folder:
        prepared, lock = _prepared(plane, job, Path(folder), say)
        draft = _draft(plane, who, order, source_format, prepared, lock)
    return _keep(plane, who, order, draft)


def _prepared(
    plane: ControlPlane, job: PrepareJob, work: Path, say: Callable[[str], None]
) -> tuple[Prepared, Lock | None]:
    """The version in the making; with the lock of the environment that it needs, when ours does not do."""
    try:
        return _served(prepare(job, work), job, work, say), None
    except NeedsEnvironment as need:
        say(f"it needs {', '.join(need.lacking)}, which Tsavo's own environment does not have")
        environments = plane.environments.telling(say)
        lock = environments.lock(need.requirements, need.python)
        for note in lock.notes:
            say(note)
        python = environments.ensure(lock)
    say("asking the model in its own environment")
    with holding(
        python, job.source.resolve(), job.format, job.hints, trusted=job.trusted, work=work
    ) as connection:
        return prepare(msgspec.structs.replace(job, remote=connection.fileno()), work), lock


def _served(prepared: Prepared, job: PrepareJob, work: Path, say: Callable[[str], None]) -> Prepared:
    """A version that is not compiled, once the kind of process that will serve it has given the same answers."""
    if prepared.runtime == "onnx" or prepared.golden is None:
        return prepared
    say("asking the Python worker that will serve it")
    item = VerifyItem(
        runtime="python",
        model=job.source,
        format=job.format,
        trusted=job.trusted,
        hints=job.hints,
        signature=prepared.signature,
        golden=prepared.golden,
    )
    ours = Path(sys.executable)
    with holding(
        ours, job.source.resolve(), job.format, job.hints, trusted=job.trusted, work=work
    ) as connection:
        found = ask_again(VerifyJob((item,), remote=connection.fileno()), work).found[0]
    if found.verdict not in {"same", "within-tolerance"}:
        raise Disagreement(
            "the model does not answer the same in the Python worker that would serve it",
            field="source",
            found=found.summary,
            expected="the answers that it gave when it was described",
            next_step="look at what it reads besides its own file: a Python worker has no network and few folders",
            details={"rows": list(found.first)},
        )
    check = Check(
        "worker", True, f"in the Python worker that serves it, {found.summary}", {"rows": found.rows}
    )
    return msgspec.structs.replace(prepared, checks=(*prepared.checks, check))


def _environment(plane: ControlPlane, lock: Lock) -> Environment:
    kept = plane.artifacts.put(lock.text.encode())
    return Environment(lock.digest, lock.python, kept, lock.requirements)


def _draft(
    plane: ControlPlane,
    who: Principal,
    order: Registration,
    source_format: SourceFormat,
    prepared: Prepared,
    lock: Lock | None,
) -> Version:
    environment = None if lock is None else _environment(plane, lock)
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
        digest=version_digest(source_digest, artifact, prepared.signature, reference, environment),
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
            trusted_by=who.name if order.trusted and source_format in _VOUCHED_FOR else None,
        ),
        checks=prepared.checks,
        created=plane.clock.now(),
        reference=reference,
        reason=prepared.reason,
        environment=environment,
        golden=golden,
        hints=order.hints,
    )


def _keep(plane: ControlPlane, who: Principal, order: Registration, draft: Version) -> Registered:
    with plane.database.begin() as connection:
        model = find_model(connection, order.model)
        if model is None:
            owner = order.owner or who.name
            model = Model(order.model, owner=owner, created=draft.created, brief=order.brief or Brief())
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
            why=order.why,
            after={"digest": version.digest, "trusted_by": version.lineage.trusted_by},
        )
    return Registered(version, new=True)
