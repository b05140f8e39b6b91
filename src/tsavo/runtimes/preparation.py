"""Prepares a version in a worker process: no secrets, few rights, and an end whatever happens."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

import msgspec

from tsavo.formats import check_trust
from tsavo.runtimes.in_worker import in_worker, is_plain_file, no_answer
from tsavo.runtimes.jobs import NeedsEnvironment, Prepared, PrepareJob, WorkerAnswer, WorkerLimits
from tsavo.runtimes.orders import WorkerOrder

__all__ = ["prepare"]

_DEFAULT_LIMITS: Final = WorkerLimits()


def prepare(job: PrepareJob, work: Path, limits: WorkerLimits = _DEFAULT_LIMITS) -> Prepared:
    """Read, describe, compile and check a model file; blocks until the worker is done.

    Parameters
    ----------
    work
        An existing folder; the files of the result are in a private folder under it and belong to the caller.
    limits
        What the worker may use.

    Raises
    ------
    Untrusted
        For a file that can carry code, unless the job says that somebody vouched for it.
    Unreadable, Invalid, TooLarge
        For a file or reference data that are not what they should be.
    Disagreement
        When the compiled model does not answer as the original does.
    Refused
        When the model cannot be compiled, or the worker went beyond its limits.
    NeedsEnvironment
        When the model has to be asked in an environment of its own.
    """
    check_trust(job.format, trusted=job.trusted)
    folder = Path(tempfile.mkdtemp(prefix="prepare-", dir=work)).resolve()
    job = _absolute(job)
    read = [job.source] if job.reference is None else [job.source, job.reference]
    order = WorkerOrder(limits, tuple(str(path) for path in read), prepare=job)
    answer = in_worker(order, folder, WorkerAnswer, remote=job.remote)
    if answer.needs:
        raise NeedsEnvironment(answer.needs, answer.requirements, answer.wanted_python)
    if answer.signature is None:
        raise no_answer()
    artifact = folder / "artifact.onnx" if answer.runtime == "onnx" else None
    reference = folder / "reference.parquet" if answer.reference_rows else None
    golden = folder / "golden.parquet" if answer.golden_rows else None
    for path in (artifact, reference, golden):
        if path is not None and not is_plain_file(path, limits.file_bytes):
            raise no_answer()
    return Prepared(
        runtime=answer.runtime,
        artifact=artifact,
        signature=answer.signature,
        reference=reference,
        reference_rows=answer.reference_rows,
        checks=answer.checks,
        libraries=answer.libraries,
        python=answer.python,
        framework=answer.framework,
        golden=golden,
        golden_rows=answer.golden_rows,
        reason=answer.reason,
        requirements=answer.requirements,
        wanted_python=answer.wanted_python,
    )


def _absolute(job: PrepareJob) -> PrepareJob:
    return msgspec.structs.replace(
        job,
        source=job.source.resolve(),
        reference=None if job.reference is None else job.reference.resolve(),
    )
