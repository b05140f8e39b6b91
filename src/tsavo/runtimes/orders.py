"""What those who want work done and the processes that do it say to each other. Neither side's code is here."""

from __future__ import annotations

from typing import Final

import msgspec

from tsavo.runtimes.jobs import PrepareJob, WorkerLimits
from tsavo.runtimes.score_jobs import ScoreJob
from tsavo.runtimes.verify_jobs import VerifyJob

__all__ = ["ANSWER", "JOB", "ForkOrder", "WorkerOrder"]

JOB: Final = "job.json"
ANSWER: Final = "answer.json"
"""What a worker finds in its job folder, and what it leaves there."""


class WorkerOrder(msgspec.Struct, frozen=True):
    """What is in the job file: one of the three jobs.

    Attributes
    ----------
    read
        Files outside the job folder that the work needs.
    """

    limits: WorkerLimits
    read: tuple[str, ...]
    prepare: PrepareJob | None = None
    verify: VerifyJob | None = None
    score: ScoreJob | None = None


class ForkOrder(msgspec.Struct, frozen=True):
    """One job; with it come the descriptors of its output, of a socket for its state, and perhaps of `remote`.

    Attributes
    ----------
    remote
        The number under which the job expects the third descriptor.
    """

    folder: str
    remote: int | None = None
