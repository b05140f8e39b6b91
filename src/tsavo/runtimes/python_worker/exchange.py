"""One order and one answer over a blocking socket, between a process of ours and a worker process."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Final

from tsavo.runtimes.python_worker.frames import (
    PREFIX_BYTES,
    Answer,
    BadFrame,
    Buffer,
    FrameLimits,
    read_answer,
    sizes_of,
)
from tsavo.vocabulary import Invalid, TsavoError, Unavailable, Unreadable, Untrusted

__all__ = ["KEY", "gone", "receive", "refusal", "send"]

KEY: Final = "model"
"""The only model of a process that is asked in this way."""

_KINDS: Final[dict[str, type[TsavoError]]] = {
    kind.kind: kind for kind in (Unreadable, Invalid, Untrusted, Unavailable)
}


def send(connection: socket.socket, pieces: Sequence[Buffer]) -> None:
    """Send a frame; raise `Unavailable` when the other side is gone."""
    try:
        for piece in pieces:
            connection.sendall(piece)
    except OSError as error:
        raise gone(error.strerror or "the connection is broken") from error


def receive(connection: socket.socket, limits: FrameLimits) -> tuple[Answer, bytearray]:
    """An answer and its body; raise `Unavailable` when there is none in time, or none that is one."""
    try:
        header, body, _ = sizes_of(_exactly(connection, PREFIX_BYTES), limits)
        return read_answer(_exactly(connection, header)), _exactly(connection, body)
    except TimeoutError as error:
        raise gone("it did not answer in time") from error
    except (BadFrame, OSError) as error:
        raise gone(str(error)) from error


def _exactly(connection: socket.socket, size: int) -> bytearray:
    buffer = bytearray(size)
    view = memoryview(buffer)
    while view:
        received = connection.recv_into(view)
        if not received:
            raise BadFrame("its process ended")
        view = view[received:]
    return buffer


def refusal(answer: Answer) -> TsavoError:
    """What to say when the model could not be loaded; raise `MemoryError` when that was for want of memory."""
    if answer.kind == "memory":
        raise MemoryError(answer.error)
    return _KINDS.get(answer.kind, Invalid)(
        f"the model cannot be loaded in its own environment: {answer.error}"[:600],
        field="source",
        next_step="check its requirements, and that the file is complete",
    )


def gone(why: str) -> Unavailable:
    """What to say when there is no answer, and why."""
    return Unavailable(
        f"the model's own process did not answer: {why}"[:400],
        field="source",
        next_step="look at what the model does when it is loaded and asked",
    )
