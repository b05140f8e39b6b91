"""The worker process: ``python -m tsavo.runtimes.python_worker.harness DESCRIPTOR``.

It takes orders from a socket one after another: confine yourself, load a model, score rows with it. It runs in whatever
environment a model needs, so it imports no more than the standard library, numpy, msgspec and this package's cheap
modules; what else a model needs is imported when it is loaded, after the process has confined itself. Nobody believes
what it says, and whoever started it may kill it at any moment.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import resource
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tsavo.formats.opening import open_source, original_in
from tsavo.formats.originals import Original
from tsavo.runtimes.confinement import Confinement, confine
from tsavo.runtimes.python_worker.frames import (
    PREFIX_BYTES,
    Answer,
    ArrayHeader,
    BadFrame,
    Begin,
    Buffer,
    Describe,
    Description,
    FrameLimits,
    Load,
    Order,
    Ping,
    Predict,
    Unload,
    arrays_of,
    encode,
    numbered,
    read_order,
    sizes_of,
)
from tsavo.vocabulary import Field, TsavoError

__all__ = ["main"]

_LIMITS: Final = FrameLimits(header=16 << 20, body=2 << 30)
_LONGEST_ERROR: Final = 1_000
# Below this one call to the kernel costs more than a copy.
_JOINED: Final = 64 << 10
_PR_SET_PDEATHSIG: Final = 1


class _Resident:
    """A model that is loaded; `folder` has what was in it, when it came as a bundle."""

    def __init__(self, original: Original, fields: tuple[Field, ...], folder: Path) -> None:
        self.original = original
        self.fields = fields
        self.folder = folder


class _Harness:
    """Does the orders, one at a time."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._models: dict[str, _Resident] = {}
        self._pid = os.getpid()
        self._scratch = Path.cwd()
        self._peak = _peak_kib()

    def serve(self) -> None:
        """Until the other side is gone."""
        while (received := self._receive()) is not None:
            number, order, body = received
            pieces = numbered(self._answered(order, body), number)
            if os.getpid() != self._pid:
                # A model forked, and this is the copy: it must not answer a second time.
                os._exit(0)
            _send(self._connection, pieces)

    def _receive(self) -> tuple[int, Order, bytearray] | None:
        prefix = _exactly(self._connection, PREFIX_BYTES)
        if prefix is None:
            return None
        header, body, number = sizes_of(prefix, _LIMITS)
        text, content = _exactly(self._connection, header), _exactly(self._connection, body)
        return None if text is None or content is None else (number, read_order(text), content)

    def _answered(self, order: Order, body: bytearray) -> list[Buffer]:
        try:
            return self._do(order, body)
        except TsavoError as error:
            return self._failed(error.kind, str(error))
        except MemoryError:
            # What is left of the room goes to saying so.
            self._models.clear()
            gc.collect()
            return self._failed("memory", "it needs more memory than it may use")
        except BaseException as error:  # a model fails in any way it likes, SystemExit among them
            return self._failed("model", f"{type(error).__name__}: {_words(error)}")

    def _do(self, order: Order, body: bytearray) -> list[Buffer]:
        match order:
            case Predict():
                return self._predict(order, body)
            case Load():
                self._models[order.key] = self._open(order)
                return self._done()
            case Describe():
                return self._done(description=_described(self._resident(order.key).original))
            case Unload():
                self._unload(order.key)
                return self._done()
            case Begin():
                self._scratch = Path(order.write[0])
                return self._done(confined=_confine(order))
            case Ping():
                return self._done()

    def _predict(self, order: Predict, body: bytearray) -> list[Buffer]:
        resident = self._resident(order.key)
        fields = resident.fields if order.fields is None else order.fields
        columns = _columns(fields, order.arrays, body)
        outputs = resident.original.predict(fields, columns)
        plain = [(str(name), _plain(str(name), values)) for name, values in outputs.items()]
        grown = self._grown()
        return encode(lambda arrays: Answer(arrays=arrays, grown_kib=grown), plain)

    def _open(self, order: Load) -> _Resident:
        folder = Path(tempfile.mkdtemp(prefix="model-", dir=self._scratch))
        opened = open_source(Path(order.path), order.format, folder, trusted=order.trusted, hints=order.hints)
        original = original_in(opened, trusted=order.trusted)
        return _Resident(original, order.fields, folder)

    def _unload(self, key: str) -> None:
        resident = self._models.pop(key, None)
        if resident is not None:
            shutil.rmtree(resident.folder, ignore_errors=True)
        gc.collect()

    def _resident(self, key: str) -> _Resident:
        resident = self._models.get(key)
        if resident is None:
            raise LookupError(f"the model '{key}' is not loaded here")
        return resident

    def _grown(self) -> int:
        peak = _peak_kib()
        grown, self._peak = peak - self._peak, peak
        return grown

    def _done(self, **parts: Any) -> list[Buffer]:
        grown = self._grown()
        return encode(lambda _none: Answer(grown_kib=grown, **parts))

    def _failed(self, kind: str, error: str) -> list[Buffer]:
        grown = self._grown()
        return encode(lambda _none: Answer(error[:_LONGEST_ERROR] or kind, kind, grown_kib=grown))


def _peak_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _words(error: BaseException) -> str:
    """What an exception of a model says of itself, in text that can be sent."""
    try:
        return str(error).encode(errors="replace").decode()
    except Exception:  # its __str__ is the model's code as well
        return ""


def _exactly(connection: socket.socket, size: int) -> bytearray | None:
    """`size` bytes, or ``None`` when the other side is gone."""
    buffer = bytearray(size)
    view = memoryview(buffer)
    while view:
        received = connection.recv_into(view)
        if not received:
            return None
        view = view[received:]
    return buffer


def _send(connection: socket.socket, pieces: Sequence[Buffer]) -> None:
    if sum(map(len, pieces)) <= _JOINED:
        connection.sendall(b"".join(pieces))
        return
    for piece in pieces:
        connection.sendall(piece)


def _columns(
    fields: Sequence[Field], headers: Sequence[ArrayHeader], body: bytearray
) -> dict[str, npt.NDArray[Any]]:
    arrays = list(arrays_of(headers, body).values())
    if len(headers) == 1 and arrays[0].ndim == 2:
        matrix = arrays[0]
        if matrix.shape[1] != len(fields):
            raise BadFrame(f"a matrix of {matrix.shape[1]} columns came for {len(fields)} inputs")
        return {field.name: matrix[:, at] for at, field in enumerate(fields)}
    return {field.name: array for field, array in zip(fields, arrays, strict=True)}


def _plain(name: str, values: Any) -> npt.NDArray[Any]:
    """An output in one of the few types that a frame has."""
    array = np.asarray(values)
    kind = array.dtype.kind
    if array.ndim not in {1, 2}:
        raise ValueError(f"the output '{name}' has the shape {list(array.shape)} and is no table")
    if kind == "f":
        return array if array.dtype.itemsize in {4, 8} else array.astype(np.float64)
    if kind in "iu":
        if kind == "u" and array.size and array.max() > np.iinfo(np.int64).max:
            raise ValueError(f"the output '{name}' has numbers that are too large")
        return array if array.dtype in (np.int64, np.int32) else array.astype(np.int64)
    if kind == "b":
        return array
    if kind == "U":
        return array.astype(object)
    if kind == "O":
        return _plain_objects(name, array)
    raise ValueError(f"the output '{name}' is of {array.dtype}, which is neither numbers, booleans nor text")


def _plain_objects(name: str, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    values = array.ravel().tolist()
    if all(value is None or type(value) is str for value in values):
        return array
    if any(isinstance(value, str) for value in values):
        plain = np.empty(len(values), dtype=object)
        plain[:] = [value if value is None else str(value) for value in values]
        return plain.reshape(array.shape)
    numbers = np.array(values)
    if numbers.dtype.kind == "O" or numbers.shape != (len(values),):
        raise ValueError(f"the output '{name}' holds objects that are neither numbers, booleans nor text")
    return _plain(name, numbers.reshape(array.shape))


def _described(original: Original) -> Description:
    return Description(
        original.framework,
        original.names,
        original.columns,
        original.task,
        original.classes,
        original.declared,
        original.wants_text,
    )


def _confine(order: Begin) -> tuple[str, ...]:
    """Give up what a model does not need, for good."""
    _end_with(order.parent)
    return confine(
        Confinement(
            read=order.read,
            write=order.write,
            memory_bytes=order.memory_bytes,
            cpu_seconds=None,
            open_files=order.open_files,
            file_bytes=order.file_bytes,
            processes=order.processes,
        )
    )


def _end_with(parent: int) -> None:
    """End when the process that started this one does, even in the middle of a model's endless loop."""
    if sys.platform != "linux":
        return
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() not in (parent, 0):
        os._exit(0)


def main(descriptor: int) -> None:
    """Serve the socket `descriptor` until it closes."""
    # Ctrl-C in a terminal is for those who started this; they will end it in their own time.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with socket.socket(fileno=descriptor) as connection, contextlib.suppress(ConnectionError):
        _Harness(connection).serve()
    # Threads that a model left behind are no reason to stay.
    os._exit(0)


if __name__ == "__main__":
    main(int(sys.argv[1]))
