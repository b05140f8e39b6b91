"""Frames: what travels between the gateway and a worker process. Columns in, columns out, and no pickling.

A frame is 24 bytes (``TSF1``, four bytes of header length, eight of body length, eight of the frame's number,
little-endian), a JSON header padded with spaces to a multiple of eight bytes, and the body: the arrays' buffers one
after another, each padded to a multiple of eight bytes. An answer has the number of its order. Numbers and booleans
are raw little-endian values in row order. Strings are ``int64`` offsets [n + 1], a byte a value that says whether it is
there, and the UTF-8 text.

Neither side believes the other: a length is checked against a limit before anything of that size is allocated, and a
header must describe its body to the byte.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Literal, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from tsavo.vocabulary import Field, Hints, SourceFormat, Task

__all__ = [
    "PREFIX_BYTES",
    "Answer",
    "ArrayHeader",
    "BadFrame",
    "Begin",
    "Buffer",
    "Describe",
    "Description",
    "FrameLimits",
    "Load",
    "Order",
    "Ping",
    "Predict",
    "Unload",
    "arrays_of",
    "encode",
    "numbered",
    "read_answer",
    "read_order",
    "sizes_of",
]

Buffer: TypeAlias = bytes | bytearray | memoryview
_DTypeName: TypeAlias = Literal["float64", "float32", "int64", "int32", "bool", "string"]

_MAGIC: Final = b"TSF1"
_PREFIX: Final = struct.Struct("<4sIQQ")
PREFIX_BYTES: Final = _PREFIX.size
_ALIGN: Final = 8
_NUMBERS: Final[dict[str, np.dtype[Any]]] = {
    "float64": np.dtype("<f8"),
    "float32": np.dtype("<f4"),
    "int64": np.dtype("<i8"),
    "int32": np.dtype("<i4"),
    "bool": np.dtype("?"),
}


class BadFrame(Exception):
    """What came is no frame, or not one that was to be expected."""


class FrameLimits(msgspec.Struct, frozen=True):
    """How large a frame may be, in bytes."""

    header: int
    body: int


class ArrayHeader(msgspec.Struct, frozen=True, array_like=True):
    """One array of a body; `text` is the number of UTF-8 bytes of a string array."""

    name: str
    dtype: _DTypeName
    shape: tuple[int, ...]
    text: int = 0


class Begin(msgspec.Struct, frozen=True, tag="begin"):
    """The first order to a worker process: its limits, and the folders that it may read and write.

    Attributes
    ----------
    parent
        Process id of who started it; the worker ends when that one does.
    """

    parent: int
    read: tuple[str, ...]
    write: tuple[str, ...]
    memory_bytes: int
    open_files: int
    file_bytes: int
    processes: int


class Load(msgspec.Struct, frozen=True, tag="load"):
    """Read a model file and keep the model under `key`; `fields` are what its inputs will be."""

    key: str
    path: str
    format: SourceFormat
    trusted: bool
    hints: Hints
    fields: tuple[Field, ...] = ()


class Predict(msgspec.Struct, frozen=True, tag="predict", omit_defaults=True):
    """Score rows with the model `key`.

    The body has one array a field, or one matrix [n, fields]. `fields` are given when they are others than those of the
    `Load`.
    """

    key: str
    arrays: tuple[ArrayHeader, ...]
    fields: tuple[Field, ...] | None = None


class Describe(msgspec.Struct, frozen=True, tag="describe"):
    """Say what the model `key` is."""

    key: str


class Unload(msgspec.Struct, frozen=True, tag="unload"):
    """Let go of the model `key`."""

    key: str


class Ping(msgspec.Struct, frozen=True, tag="ping"):
    """Say that you are there."""


Order: TypeAlias = Begin | Load | Predict | Describe | Unload | Ping


class Description(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an `Original` says about itself."""

    framework: str
    names: list[str] | None = None
    columns: int | None = None
    task: Task = "generic"
    classes: tuple[str | int | bool | float, ...] | None = None
    declared: tuple[Field, ...] | None = None
    wants_text: bool = False


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a worker process says to an order.

    Attributes
    ----------
    error
        Why there is no result; empty when there is one.
    kind
        Kind of the error: of the vocabulary's tree, or ``model`` (it raised), ``memory``, ``order``.
    arrays
        Outputs by name.
    grown_kib
        By how much this order raised the greatest memory use of the process so far.
    confined
        What confines the process, in the answer to `Begin`.
    """

    error: str = ""
    kind: str = ""
    arrays: tuple[ArrayHeader, ...] = ()
    grown_kib: int = 0
    confined: tuple[str, ...] = ()
    description: Description | None = None


_TO_JSON: Final = msgspec.json.Encoder()
_ORDERS: Final = msgspec.json.Decoder(Order)
_ANSWERS: Final = msgspec.json.Decoder(Answer)


def encode(
    header: Callable[[tuple[ArrayHeader, ...]], Any],
    arrays: Iterable[tuple[str, npt.NDArray[Any]]] = (),
    number: int = 0,
) -> list[Buffer]:
    """A frame in pieces, ready to be written one after another; the first one has the prefix.

    Parameters
    ----------
    header
        Makes the header's struct, given how its arrays are laid out.
    arrays
        Names with arrays of numbers, booleans, or (object arrays) of `str` and ``None``.

    Raises
    ------
    BadFrame
        For an array that has no place in a frame.
    """
    headers: list[ArrayHeader] = []
    body: list[Buffer] = []
    for name, array in arrays:
        headers.append(_put(name, array, body))
    text = _TO_JSON.encode(header(tuple(headers)))
    text += b" " * (-len(text) % _ALIGN)
    length = sum(map(len, body))
    return [_PREFIX.pack(_MAGIC, len(text), length, number), text, *body]


def numbered(pieces: Sequence[Buffer], number: int) -> list[Buffer]:
    """The same frame with another number."""
    magic, header, body, _ = _PREFIX.unpack(pieces[0])
    return [_PREFIX.pack(magic, header, body, number), *pieces[1:]]


def _put(name: str, array: npt.NDArray[Any], body: list[Buffer]) -> ArrayHeader:
    kind = "string" if array.dtype == object else array.dtype.name
    if kind != "string":
        if kind not in _NUMBERS:
            raise BadFrame(f"an array of {array.dtype} has no place in a frame")
        _append(body, array.astype(_NUMBERS[kind], order="C", copy=False))
        return ArrayHeader(name, kind, array.shape)  # type: ignore[arg-type] # it is one of them
    values = array.ravel().tolist()
    try:
        texts = [b"" if value is None else value.encode() for value in values]
    except (AttributeError, UnicodeEncodeError) as error:
        raise BadFrame(f"an array has something that is neither text nor nothing: {error}") from error
    offsets = np.zeros(len(values) + 1, "<i8")
    np.cumsum([len(text) for text in texts], out=offsets[1:])
    _append(body, offsets)
    _append(body, np.array([value is not None for value in values], "?"))
    joined = b"".join(texts)
    body.append(joined + b"\0" * (-len(joined) % _ALIGN))
    return ArrayHeader(name, "string", array.shape, len(joined))


def _append(body: list[Buffer], array: npt.NDArray[Any]) -> None:
    # An empty array has no buffer that could be cast.
    body.append(array.data.cast("B") if array.size else b"")
    if array.nbytes % _ALIGN:
        body.append(b"\0" * (-array.nbytes % _ALIGN))


def sizes_of(prefix: Buffer, limits: FrameLimits) -> tuple[int, int, int]:
    """Lengths of the header and the body, and the frame's number, from the first `PREFIX_BYTES` bytes.

    Raises
    ------
    BadFrame
        When they are no frame's, or larger than `limits`.
    """
    magic, header, body, number = _PREFIX.unpack(prefix)
    if magic != _MAGIC or header % _ALIGN or not header:
        raise BadFrame("these bytes are no frame")
    if header > limits.header or body > limits.body:
        raise BadFrame(
            f"a frame of {header} + {body} bytes is larger than {limits.header} + {limits.body}, which is all "
            "that was to be expected"
        )
    return header, body, number


def read_order(header: Buffer) -> Order:
    """The order in a header; raise `BadFrame` when there is none."""
    return _decoded(_ORDERS, header)  # type: ignore[no-any-return]


def read_answer(header: Buffer) -> Answer:
    """The answer in a header; raise `BadFrame` when there is none."""
    return _decoded(_ANSWERS, header)  # type: ignore[no-any-return]


def _decoded(decoder: Any, header: Buffer) -> Any:
    try:
        return decoder.decode(header)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise BadFrame(f"a header cannot be read: {error}"[:300]) from error


def arrays_of(headers: Sequence[ArrayHeader], body: Buffer) -> dict[str, npt.NDArray[Any]]:
    """The arrays in a body by name; numbers are views into it, and writable when it is.

    Raises
    ------
    BadFrame
        When the headers do not describe the body to the byte.
    """
    view = memoryview(body)
    found: dict[str, npt.NDArray[Any]] = {}
    at = 0
    for header in headers:
        size = _bytes_of(header)
        if at + size > len(view):
            raise BadFrame("a body is shorter than its header says")
        found[header.name] = _get(header, view[at : at + size])
        at += size
    if at != len(view) or len(found) != len(headers):
        raise BadFrame("a body is not what its header says")
    return found


def _bytes_of(header: ArrayHeader) -> int:
    if not 1 <= len(header.shape) <= 2 or min(header.shape) < 0 or header.text < 0:
        raise BadFrame(f"'{header.name}' has an impossible shape: {header.shape}"[:200])
    items = math.prod(header.shape)
    if header.dtype == "string":
        return _padded((items + 1) * 8) + _padded(items) + _padded(header.text)
    return _padded(items * _NUMBERS[header.dtype].itemsize)


def _padded(size: int) -> int:
    return size + -size % _ALIGN


def _get(header: ArrayHeader, part: memoryview) -> npt.NDArray[Any]:
    items = math.prod(header.shape)
    if header.dtype == "string":
        return _strings(items, header.text, part).reshape(header.shape)
    array: npt.NDArray[Any] = np.frombuffer(part, _NUMBERS[header.dtype], items).reshape(header.shape)
    if header.dtype == "bool" and array.view(np.uint8).max(initial=0) > 1:
        raise BadFrame(f"'{header.name}' has booleans that are neither true nor false"[:200])
    return array


def _strings(items: int, size: int, part: memoryview) -> npt.NDArray[Any]:
    offsets = np.frombuffer(part, "<i8", items + 1)
    there = np.frombuffer(part, np.uint8, items, (items + 1) * 8)
    start = (items + 1) * 8 + _padded(items)
    if offsets[0] != 0 or offsets[-1] != size or (np.diff(offsets) < 0).any():
        raise BadFrame("the offsets of an array of text are not in order")
    text = bytes(part[start : start + size])
    places = offsets.tolist()
    array = np.empty(items, dtype=object)
    try:
        whole = text.decode()
        # Pure ASCII: a byte is a character, and one decoding does for all values.
        cut = whole if len(whole) == size else None
        array[:] = [
            None if not present else cut[first:last] if cut is not None else text[first:last].decode()
            for first, last, present in zip(places, places[1:], there.tolist(), strict=False)
        ]
    except UnicodeDecodeError as error:
        raise BadFrame(f"text is not UTF-8: {error}") from error
    return array
