"""A model in an environment of its own, asked from another process over the frames of a Python worker."""

from __future__ import annotations

import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy.typing as npt

from tsavo.formats.originals import Original
from tsavo.runtimes.python_worker.frames import (
    PREFIX_BYTES,
    Answer,
    ArrayHeader,
    BadFrame,
    Buffer,
    Describe,
    FrameLimits,
    Load,
    Predict,
    arrays_of,
    encode,
    read_answer,
    sizes_of,
)
from tsavo.runtimes.python_worker.launching import (
    ProcessLimits,
    WorkFolder,
    command,
    environment,
    kill_group,
)
from tsavo.vocabulary import (
    Columns,
    Field,
    Hints,
    Invalid,
    SourceFormat,
    TsavoError,
    Unavailable,
    Unreadable,
    Untrusted,
)

__all__ = ["RemoteFailure", "RemoteOriginal", "holding"]

KEY: Final = "model"
_LIMITS: Final = FrameLimits(header=16 << 20, body=1 << 30)
_START: Final = FrameLimits(header=64 << 10, body=0)
_DEFAULT_LIMITS: Final = ProcessLimits()
_KINDS: Final[dict[str, type[TsavoError]]] = {
    kind.kind: kind for kind in (Unreadable, Invalid, Untrusted, Unavailable)
}


class RemoteFailure(Exception):
    """The model raised this in its own process."""


class RemoteOriginal(Original):
    """A model that another process holds under the key ``model``.

    Parameters
    ----------
    connection
        A socket as `holding` gives it: the order to load the model is on its way, its answer not yet read.

    Raises
    ------
    Unreadable, Invalid, Unavailable
        When the model could not be loaded there; the reason is what was said there.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        loaded, _ = _receive(connection, _LIMITS)
        if loaded.error:
            raise _refusal(loaded)
        _send(connection, encode(lambda _none: Describe(KEY)))
        answer, _ = _receive(connection, _LIMITS)
        description = answer.description
        if description is None:
            raise _refusal(answer)
        self.framework = description.framework
        self.names = description.names
        self.columns = description.columns
        self.task = description.task
        self.classes = description.classes
        self.declared = description.declared
        self.wants_text = description.wants_text

    def predict(self, fields: Sequence[Field], columns: Columns) -> dict[str, npt.NDArray[Any]]:
        """Its outputs by public name.

        Raises
        ------
        RemoteFailure
            When the model raises.
        MemoryError
            When it needs more memory than it may use.
        Unavailable
            When its process is gone.
        """

        def order(arrays: tuple[ArrayHeader, ...]) -> Predict:
            return Predict(KEY, arrays, tuple(fields))

        _send(self._connection, encode(order, [(field.name, columns[field.name]) for field in fields]))
        answer, body = _receive(self._connection, _LIMITS)
        if answer.kind == "memory":
            raise MemoryError(answer.error)
        if answer.error:
            raise RemoteFailure(answer.error)
        try:
            return arrays_of(answer.arrays, body)
        except BadFrame as error:
            raise _gone(str(error)) from error


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
            _send(connection, encode(lambda _none: begin))
            answer, _ = _receive(connection, _START)
            if answer.error:
                raise _refusal(answer)
            connection.settimeout(None)
            load = Load(KEY, str(folder.hand_in(source, KEY)), source_format, trusted, hints)
            _send(connection, encode(lambda _none: load))
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
            raise _gone(f"it cannot be started ({error.strerror})") from error
        theirs.close()
        try:
            yield ours
        finally:
            kill_group(process.pid)
            process.wait()


def _send(connection: socket.socket, pieces: Sequence[Buffer]) -> None:
    try:
        for piece in pieces:
            connection.sendall(piece)
    except OSError as error:
        raise _gone(error.strerror or "the connection is broken") from error


def _receive(connection: socket.socket, limits: FrameLimits) -> tuple[Answer, bytearray]:
    try:
        header, body, _ = sizes_of(_exactly(connection, PREFIX_BYTES), limits)
        return read_answer(_exactly(connection, header)), _exactly(connection, body)
    except TimeoutError as error:
        raise _gone("it did not answer in time") from error
    except (BadFrame, OSError) as error:
        raise _gone(str(error)) from error


def _exactly(connection: socket.socket, size: int) -> bytearray:
    buffer = bytearray(size)
    view = memoryview(buffer)
    while view:
        received = connection.recv_into(view)
        if not received:
            raise BadFrame("its process ended")
        view = view[received:]
    return buffer


def _refusal(answer: Answer) -> TsavoError:
    if answer.kind == "memory":
        raise MemoryError(answer.error)
    return _KINDS.get(answer.kind, Invalid)(
        f"the model cannot be loaded in its own environment: {answer.error}"[:600],
        field="source",
        next_step="check its requirements, and that the file is complete",
    )


def _gone(why: str) -> Unavailable:
    return Unavailable(
        f"the model's own process did not answer: {why}"[:400],
        field="source",
        next_step="look at what the model does when it is loaded and asked",
    )
