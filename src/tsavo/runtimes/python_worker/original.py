"""A model in an environment of its own, asked from another process over the frames of a Python worker."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any, Final

import numpy.typing as npt

from tsavo.formats.originals import Original
from tsavo.runtimes.python_worker.exchange import KEY, gone, receive, refusal, send
from tsavo.runtimes.python_worker.frames import (
    ArrayHeader,
    BadFrame,
    Describe,
    FrameLimits,
    Predict,
    arrays_of,
    encode,
)
from tsavo.vocabulary import Columns, Field

__all__ = ["RemoteFailure", "RemoteOriginal"]

_LIMITS: Final = FrameLimits(header=16 << 20, body=1 << 30)


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
        loaded, _ = receive(connection, _LIMITS)
        if loaded.error:
            raise refusal(loaded)
        send(connection, encode(lambda _none: Describe(KEY)))
        answer, _ = receive(connection, _LIMITS)
        description = answer.description
        if description is None:
            raise refusal(answer)
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

        send(self._connection, encode(order, [(field.name, columns[field.name]) for field in fields]))
        answer, body = receive(self._connection, _LIMITS)
        if answer.kind == "memory":
            raise MemoryError(answer.error)
        if answer.error:
            raise RemoteFailure(answer.error)
        try:
            return arrays_of(answer.arrays, body)
        except BadFrame as error:
            raise gone(str(error)) from error
