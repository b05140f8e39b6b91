"""A worker process for the time of one preparation or verification: it holds one model for another process to ask."""

from __future__ import annotations

import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tsavo.runtimes.python_worker.exchange import KEY, gone, receive, refusal, send
from tsavo.runtimes.python_worker.frames import FrameLimits, Load, encode
from tsavo.runtimes.python_worker.launching import (
    ProcessLimits,
    WorkFolder,
    command,
    environment,
    kill_group,
)
from tsavo.vocabulary import Hints, SourceFormat

__all__ = ["holding"]

_START: Final = FrameLimits(header=64 << 10, body=0)
_DEFAULT_LIMITS: Final = ProcessLimits()


@contextmanager
def holding(
    python: Path,
    source: Path,
    source_format: SourceFormat,
    hints: Hints,
    *,
    trusted: bool,
    work: Path,
    limits: ProcessLimits = _DEFAULT_LIMITS,
    start_seconds: float = 60.0,
) -> Iterator[socket.socket]:
    """A process under `python` that is about to load `source`, and ends with the block.

    Parameters
    ----------
    work
        An existing folder; the process has one of its own in it.

    Yields
    ------
    socket
        For a `RemoteOriginal`, here or in a process that inherits it. The model itself is not waited for.

    Raises
    ------
    Unavailable
        When the process does not start.
    """
    folder = WorkFolder(Path(tempfile.mkdtemp(prefix="holding-", dir=work)))
    try:
        with _started(python, folder) as connection:
            connection.settimeout(start_seconds)
            begin = folder.begin(limits)
            send(connection, encode(lambda _none: begin))
            answer, _ = receive(connection, _START)
            if answer.error:
                raise refusal(answer)
            connection.settimeout(None)
            load = Load(KEY, str(folder.hand_in(source, KEY)), source_format, trusted, hints)
            send(connection, encode(lambda _none: load))
            yield connection
    finally:
        folder.remove()


@contextmanager
def _started(python: Path, folder: WorkFolder) -> Iterator[socket.socket]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        try:
            process = subprocess.Popen(
                command(python, theirs.fileno()),
                cwd=folder.scratch,
                env=environment(folder),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        except OSError as error:
            raise gone(f"it cannot be started ({error.strerror})") from error
        theirs.close()
        try:
            yield ours
        finally:
            kill_group(process.pid)
            process.wait()
