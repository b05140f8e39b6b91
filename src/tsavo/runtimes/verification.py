"""Has versions asked again in a worker process, as `preparation` has models read in one."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Final

import msgspec

from tsavo.runtimes.in_worker import in_worker
from tsavo.runtimes.jobs import WorkerLimits
from tsavo.runtimes.orders import WorkerOrder
from tsavo.runtimes.verify_jobs import VerifyAnswer, VerifyItem, VerifyJob

__all__ = ["ask_again"]

_DEFAULT_LIMITS: Final = WorkerLimits()


def ask_again(job: VerifyJob, work: Path, limits: WorkerLimits = _DEFAULT_LIMITS) -> VerifyAnswer:
    """Ask the models of `job` for their golden rows again; blocks until the worker is done.

    Parameters
    ----------
    work
        An existing folder for files that are gone afterwards.

    Raises
    ------
    TsavoError
        When the worker ended without an answer, or went beyond its limits.
    """
    items = tuple(_absolute(item) for item in job.items)
    job = msgspec.structs.replace(job, items=items)
    read = tuple(str(path) for item in items for path in (item.model, item.golden))
    with tempfile.TemporaryDirectory(prefix="verify-", dir=work) as name:
        order = WorkerOrder(limits, read, verify=job)
        return in_worker(order, Path(name).resolve(), VerifyAnswer, remote=job.remote)


def _absolute(item: VerifyItem) -> VerifyItem:
    return msgspec.structs.replace(item, model=item.model.resolve(), golden=item.golden.resolve())
