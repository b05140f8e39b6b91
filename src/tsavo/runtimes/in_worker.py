"""Has a job done by a worker process, and tells people what became of it."""

from __future__ import annotations

import signal
import stat
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

from tsavo.runtimes.jobs import ErrorParts, WorkerAnswer, WorkerLimits
from tsavo.runtimes.orders import ANSWER, JOB, WorkerOrder
from tsavo.runtimes.score_jobs import ScoreAnswer
from tsavo.runtimes.starting import Ended, run_worker
from tsavo.runtimes.verify_jobs import VerifyAnswer
from tsavo.vocabulary import Refused, TsavoError, Unreadable

__all__ = ["in_worker", "is_plain_file", "no_answer"]

_MAX_ANSWER: Final = 64 << 20

A = TypeVar("A", WorkerAnswer, VerifyAnswer, ScoreAnswer)


def in_worker(order: WorkerOrder, folder: Path, kind: type[A], *, remote: int | None = None) -> A:
    """The worker's answer, which may be as wrong as the model likes; blocks until the worker is done.

    Parameters
    ----------
    folder
        The job's own folder, the only one that the worker may write into.
    remote
        A descriptor that the worker gets under the same number.

    Raises
    ------
    TsavoError
        What the worker reports; or that it ended without an answer, or went beyond its limits.
    """
    (folder / JOB).write_bytes(msgspec.json.encode(order, enc_hook=str))
    ended = run_worker(folder, order.limits.wall_seconds, remote)
    answer = _read_answer(folder, ended, order.limits, kind)
    if answer.error is not None:
        raise _rebuilt(answer.error)
    return answer


def _read_answer(folder: Path, ended: Ended, limits: WorkerLimits, kind: type[A]) -> A:
    if ended.code is None:
        raise Refused(
            "reading the model took too long and was stopped",
            field="source",
            expected=f"at most {limits.wall_seconds:g} seconds",
            next_step="try a smaller reference, or look at what the model does when it is loaded",
        )
    if ended.code < 0:
        raise _killed(-ended.code, ended.words, limits)
    path = folder / ANSWER
    if ended.code != 0 or not is_plain_file(path, _MAX_ANSWER):
        raise no_answer(ended)
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (msgspec.MsgspecError, RecursionError, OSError) as error:
        raise no_answer(ended) from error


def is_plain_file(path: Path, most: int) -> bool:
    """Whether it is an ordinary file of its own: a link could lead to what the worker must not hand out."""
    try:
        found = path.lstat()
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and found.st_size <= most


def _killed(number: int, words: str, limits: WorkerLimits) -> TsavoError:
    if number == signal.SIGXCPU:
        return Refused(
            "reading the model used too much processor time and was stopped",
            field="source",
            expected=f"at most {limits.cpu_seconds} seconds",
        )
    if number == signal.SIGXFSZ:
        return Refused(
            "reading the model wrote too large a file and was stopped",
            field="source",
            expected=f"at most {limits.file_bytes} bytes",
        )
    name = signal.Signals(number).name if number in set(signal.Signals) else f"signal {number}"
    return Unreadable(
        f"the process that read the model died of {name}",
        field="source",
        found=_last_line(words),
        expected=f"a model that can be read within {limits.memory_bytes >> 20} MiB",
        next_step="check that the file is complete; nothing else was affected",
    )


def no_answer(ended: Ended = Ended(0, "")) -> Unreadable:
    """What to say when a worker ended without an answer that makes sense."""
    return Unreadable(
        f"the process that read the model ended with code {ended.code} and without an answer",
        field="source",
        found=_last_line(ended.words),
        expected="a model file that loads without ending the process",
        next_step="look at what the model does when it is loaded; nothing else was affected",
    )


def _last_line(words: str) -> str:
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "it said nothing"


def _rebuilt(parts: ErrorParts) -> TsavoError:
    known = _classes(TsavoError)
    return known.get(parts.kind, TsavoError)(
        parts.reason,
        field=parts.field,
        found=parts.found,
        expected=parts.expected,
        next_step=parts.next_step,
        retry_after=parts.retry_after,
        details=parts.details,
    )


def _classes(root: type[TsavoError]) -> dict[str, type[TsavoError]]:
    found: dict[str, Any] = {root.kind: root}
    for child in root.__subclasses__():
        found.update(_classes(child))
    return found
