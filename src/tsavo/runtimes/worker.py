"""The process that reads a hostile model file: ``python -m tsavo.runtimes.worker JOBDIR``.

It takes ``job.json`` from the job folder, puts limits on itself, does the work, and leaves ``answer.json`` with the
artifact and the reference beside it. It talks to nobody, and whoever started it may kill it at any moment.
"""

from __future__ import annotations

import resource
import sys
from pathlib import Path
from typing import Any, Final

import msgspec

from tsavo.formats.estimators import missing_libraries
from tsavo.runtimes.jobs import ErrorParts, PrepareJob, WorkerAnswer, WorkerLimits
from tsavo.runtimes.preparing import do
from tsavo.vocabulary import Refused, TsavoError

__all__ = ["ANSWER", "JOB", "WorkerOrder", "main"]

JOB: Final = "job.json"
ANSWER: Final = "answer.json"


class WorkerOrder(msgspec.Struct, frozen=True):
    """What is in ``job.json``."""

    job: PrepareJob
    limits: WorkerLimits


def main(folder: Path) -> int:
    """Do the job in `folder`; 0 when an answer was written, be it an error."""
    order = msgspec.json.decode((folder / JOB).read_bytes(), type=WorkerOrder, dec_hook=_decode_path)
    _limit(order.limits)
    try:
        answer = do(order.job, folder)
    except TsavoError as error:
        answer = WorkerAnswer(error=_parts(error))
    except ImportError as error:
        answer = WorkerAnswer(error=_parts(missing_libraries(error)))
    except MemoryError:
        answer = WorkerAnswer(error=_parts(_out_of_memory(order.limits)))
    (folder / ANSWER).write_bytes(msgspec.json.encode(answer, enc_hook=repr))
    return 0


def _limit(limits: WorkerLimits) -> None:
    for what, value in (
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_AS, limits.memory_bytes),
        (resource.RLIMIT_CPU, limits.cpu_seconds + 1),
        (resource.RLIMIT_NOFILE, limits.open_files),
        (resource.RLIMIT_FSIZE, limits.file_bytes),
    ):
        hard = resource.getrlimit(what)[1]
        allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
        # Beyond the soft limit on processor time comes a signal that says so, beyond the hard one a bare kill.
        soft = max(allowed - 1, 1) if what == resource.RLIMIT_CPU else allowed
        resource.setrlimit(what, (soft, allowed))


def _parts(error: TsavoError) -> ErrorParts:
    return ErrorParts(
        error.kind,
        error.reason,
        error.field,
        error.found,
        error.expected,
        error.next_step,
        error.retry_after,
        error.details,
    )


def _out_of_memory(limits: WorkerLimits) -> Refused:
    return Refused(
        "reading the model needs more memory than it may use",
        field="source",
        expected=f"at most {limits.memory_bytes >> 20} MiB",
    )


def _decode_path(kind: type, value: Any) -> Any:
    if issubclass(kind, Path):
        return Path(value)
    raise NotImplementedError(kind)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
