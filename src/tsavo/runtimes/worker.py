"""The process that reads a hostile model file: a copy of the fork server, or ``python -m tsavo.runtimes.worker DIR``.

It takes ``job.json`` from the job folder, gives up whatever the work does not need, does the work, and leaves
``answer.json`` with the artifact and the reference beside it. It talks to nobody, and whoever started it may kill it at
any moment.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path
from typing import Any, Final

import msgspec

from tsavo.runtimes.confinement import Confinement, confine, mapped_bytes
from tsavo.runtimes.jobs import ErrorParts, WorkerAnswer, WorkerLimits
from tsavo.runtimes.orders import ANSWER, JOB, WorkerOrder
from tsavo.runtimes.score_jobs import ScoreAnswer
from tsavo.runtimes.verify_jobs import VerifyAnswer
from tsavo.vocabulary import Refused, TsavoError

__all__ = ["main"]

# Others go first when there are not enough processors.
_NICENESS: Final = 10


def main(folder: Path) -> int:
    """Do the job in `folder`; 0 when an answer was written, be it an error."""
    order = msgspec.json.decode((folder / JOB).read_bytes(), type=WorkerOrder, dec_hook=_decode_path)
    _stand_back()
    _confine(order, folder)
    try:
        answer: WorkerAnswer | VerifyAnswer | ScoreAnswer = _do(order, folder)
    except TsavoError as error:
        answer = WorkerAnswer(error=_parts(error))
    except ImportError as error:
        from tsavo.formats.estimators import missing_libraries

        answer = WorkerAnswer(error=_parts(missing_libraries(error)))
    except MemoryError:
        answer = WorkerAnswer(error=_parts(_out_of_memory(order.limits)))
    (folder / ANSWER).write_bytes(msgspec.json.encode(answer, enc_hook=repr))
    return 0


def _do(order: WorkerOrder, folder: Path) -> WorkerAnswer | VerifyAnswer | ScoreAnswer:
    # These bring the model libraries, which nobody needs to load a job.
    if order.verify is not None:
        from tsavo.runtimes.verifying import verify_items

        return verify_items(order.verify)
    if order.score is not None:
        from tsavo.runtimes.score_items import score_items

        return score_items(order.score, folder)
    from tsavo.runtimes.preparing import do

    assert order.prepare is not None  # noqa: S101 -- there is always one of the three
    return do(order.prepare, folder)


def _stand_back() -> None:
    """Leave the processors to those who serve."""
    with contextlib.suppress(OSError):
        os.nice(_NICENESS)
    # Where the kernel shares time between sessions, this session has to stand back as a whole.
    with contextlib.suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(_NICENESS))


def _confine(order: WorkerOrder, folder: Path) -> None:
    limits = order.limits
    confine(
        Confinement(
            read=order.read,
            write=(str(folder),),
            # The libraries of a copied process are mapped already, and say nothing about the model.
            memory_bytes=limits.memory_bytes + mapped_bytes(),
            cpu_seconds=limits.cpu_seconds,
            open_files=limits.open_files,
            file_bytes=limits.file_bytes,
            processes=limits.processes,
        )
    )


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
