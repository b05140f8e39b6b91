"""Prepares a version in a worker process: no secrets, few rights, and an end whatever happens."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tempfile
import threading
from collections import deque
from pathlib import Path
from typing import IO, Any, Final

import msgspec

import tsavo
from tsavo.formats import check_trust
from tsavo.runtimes.jobs import ErrorParts, Prepared, PrepareJob, WorkerAnswer, WorkerLimits
from tsavo.vocabulary import Refused, TsavoError, Unreadable

__all__ = ["prepare"]

_KEPT_VARIABLES: Final = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH")
_THREAD_VARIABLES: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "ARROW_IO_THREADS")
_DEFAULT_LIMITS: Final = WorkerLimits()
_MAX_ANSWER: Final = 64 << 20
_TAIL_BYTES: Final = 8192
# How long to wait for the last words once the worker has ended; they are in the pipe already.
_LISTEN_SECONDS: Final = 1.0


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
    """
    check_trust(job.format, trusted=job.trusted)
    folder = Path(tempfile.mkdtemp(prefix="prepare-", dir=work)).resolve()
    order = {"job": _absolute(job), "limits": limits}
    (folder / "job.json").write_bytes(msgspec.json.encode(order, enc_hook=str))
    code, words = _run(folder, limits)
    answer = _read_answer(folder, code, words, limits)
    if answer.error is not None:
        raise _rebuilt(answer.error)
    if answer.signature is None:
        raise _no_answer(code, words)
    artifact = folder / "artifact.onnx" if answer.runtime == "onnx" else None
    reference = folder / "reference.parquet" if answer.reference_rows else None
    golden = folder / "golden.parquet" if answer.golden_rows else None
    for path in (artifact, reference, golden):
        if path is not None and not _is_plain_file(path, limits.file_bytes):
            raise _no_answer(code, words)
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


def _environment(folder: Path) -> dict[str, str]:
    """An allow-list: nothing of the console's environment that is not on it reaches the worker."""
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    return {
        **kept,
        **dict.fromkeys(_THREAD_VARIABLES, "1"),
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "PYTHONPATH": str(Path(tsavo.__path__[0]).resolve().parent),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
    }


def _run(folder: Path, limits: WorkerLimits) -> tuple[int | None, str]:
    """The worker's exit code (``None`` when its time was over) and its last words."""
    process = subprocess.Popen(
        # -P: the job folder is not a place to import from.
        [sys.executable, "-P", "-m", "tsavo.runtimes.worker", str(folder)],
        cwd=folder,
        env=_environment(folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    tail: deque[bytes] = deque(maxlen=2)
    listener = threading.Thread(target=_listen, args=(process.stdout, tail), daemon=True)
    listener.start()
    try:
        code: int | None = process.wait(limits.wall_seconds)
    except subprocess.TimeoutExpired:
        code = None
    finally:
        # Also after a good end: whatever it started ends with it.
        _kill_group(process.pid)
        process.wait()
        listener.join(timeout=_LISTEN_SECONDS)
    return code, b"".join(tail)[-_TAIL_BYTES:].decode(errors="replace")


def _listen(pipe: IO[bytes], tail: deque[bytes]) -> None:
    """Keep reading, so that a talkative worker does not block; keep only the end of it.

    The pipe belongs to this thread: a process that left the worker's group may hold the other end open for as long
    as it likes, and nobody else must wait for that.
    """
    with pipe:
        while chunk := pipe.read1(_TAIL_BYTES):  # type: ignore[attr-defined]
            tail.append(chunk)


def _kill_group(pid: int) -> None:
    try:
        os.killpg(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _read_answer(folder: Path, code: int | None, words: str, limits: WorkerLimits) -> WorkerAnswer:
    if code is None:
        raise Refused(
            "reading the model took too long and was stopped",
            field="source",
            expected=f"at most {limits.wall_seconds:g} seconds",
            next_step="try a smaller reference, or look at what the model does when it is loaded",
        )
    if code < 0:
        raise _killed(-code, words, limits)
    path = folder / "answer.json"
    if code != 0 or not _is_plain_file(path, _MAX_ANSWER):
        raise _no_answer(code, words)
    try:
        return msgspec.json.decode(path.read_bytes(), type=WorkerAnswer)
    except msgspec.MsgspecError as error:
        raise _no_answer(code, words) from error


def _is_plain_file(path: Path, most: int) -> bool:
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


def _no_answer(code: int | None, words: str) -> TsavoError:
    return Unreadable(
        f"the process that read the model ended with code {code} and without an answer",
        field="source",
        found=_last_line(words),
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
