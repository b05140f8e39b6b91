"""Decisions and outcomes as they are journalled.

One record is one scored request (a *batch* of one or more rows), or the part of it that one version answered,
because that is what is committed before the answer goes out; a decision is one row of it. A record carries values
only: names and types come from the version's signature, which never changes, so the hot path writes no names.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from tsavo.vocabulary.endpoints import Role
from tsavo.vocabulary.errors import Damaged, Invalid
from tsavo.vocabulary.signature import NUMPY_DTYPES

__all__ = [
    "DecisionRecord",
    "OutcomeRecord",
    "Record",
    "Tensor",
    "decision_id",
    "decode_record",
    "encode_record",
    "input_tensors",
    "parse_decision_id",
]


# numpy works a name out anew each time, which takes longer than all the rest of recording.
_KINDS: Final = {dtype: name for name, dtype in NUMPY_DTYPES.items()}


class Tensor(msgspec.Struct, frozen=True, array_like=True):
    """An array as it is recorded: little-endian bytes for numbers and booleans, a list for strings.

    >>> Tensor.of(np.array([[1.0, 2.0]])).array()
    array([[1., 2.]])
    >>> Tensor.of(np.array(["a", None], dtype=object)).array().tolist()
    ['a', None]
    """

    dtype: str
    shape: tuple[int, ...]
    data: bytes | list[str | None]

    @classmethod
    def of(cls, array: npt.NDArray[Any]) -> Tensor:
        """Record `array`; object arrays are taken as strings with ``None`` for missing."""
        name = _KINDS.get(array.dtype)
        if name is None:
            return cls(array.dtype.name, array.shape, array.tobytes())
        if name == "string":
            return cls(name, array.shape, array.ravel().tolist())
        return cls(name, array.shape, array.tobytes())

    def array(self) -> npt.NDArray[Any]:
        """The array that was recorded, bit for bit."""
        if isinstance(self.data, bytes):
            return np.frombuffer(self.data, dtype=np.dtype(self.dtype)).reshape(self.shape)
        array = np.empty(len(self.data), dtype=object)
        array[:] = self.data
        return array.reshape(self.shape)


class DecisionRecord(msgspec.Struct, frozen=True, tag="d", array_like=True):
    """One scored request, or those of its rows that one version answered.

    Attributes
    ----------
    request
        UUIDv7 text; the decision of row number r is ``<request>:<r>``.
    time
        Nanoseconds since 1970 UTC at which the request was decoded.
    latency_us
        Microseconds from decoded request to prediction.
    inputs
        One matrix [rows, columns] when the signature has a `matrix_dtype`, else one tensor [rows] a column.
    outputs
        One tensor an output of the signature.
    flags
        What applies to all rows, such as ``plug``.
    row_flags
        Place of a row within this record -> what applies to that row, such as ``unseen:carrier``.
    segment
        Of a family, whose version answered.
    row_numbers
        Of these rows within their request; empty when they are all of it, in order.
    trace
        The trace that the request belongs to: 32 hexadecimal digits, or empty.
    digest
        SHA-256 of the request as it came, 32 bytes; empty when not known.
    queue_us, decode_us, predict_us
        Microseconds from the whole request to the beginning of its reading, from there to validated rows, and from
        there to the outputs. How long it then took to be on disk stands in no record: it is what the record waits for.
    runtime
        Digest of what scored: libraries, processor and threads; its document is in the home's folder ``runtimes``.
    hidden
        Places of the inputs that are personal: zeros or nothing in `inputs`, and their values in `sealed`.
    subjects
        The pseudonym of whose data each row is, where the endpoint records personal data; else empty.
    sealed
        The hidden values of each row, as only the subject's key opens them; see the room ``privacy``.
    """

    request: str
    time: int
    endpoint: str
    model: str
    version: int
    role: Role
    rows: int
    latency_us: int
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    flags: tuple[str, ...] = ()
    row_flags: dict[int, list[str]] = {}
    caller: str = ""
    segment: str = ""
    row_numbers: tuple[int, ...] = ()
    trace: str = ""
    digest: bytes = b""
    queue_us: int = 0
    decode_us: int = 0
    predict_us: int = 0
    runtime: str = ""
    hidden: tuple[int, ...] = ()
    subjects: tuple[str, ...] = ()
    sealed: tuple[bytes, ...] = ()

    @property
    def numbers(self) -> Sequence[int]:
        """The number of each row within its request, as decision ids have it."""
        return self.row_numbers or range(self.rows)


class OutcomeRecord(msgspec.Struct, frozen=True, tag="o", array_like=True):
    """What really happened, for some decisions of one endpoint.

    Attributes
    ----------
    time
        Nanoseconds since 1970 UTC at which it was recorded.
    decisions, values
        Decision ids and their outcomes, in step: numbers, booleans or strings as the endpoint's target is.
    observed
        Nanoseconds since 1970 UTC at which each outcome was observed, when the caller knows.
    """

    time: int
    endpoint: str
    decisions: list[str]
    values: list[str | float | int | bool | None]
    observed: list[int | None] = []


Record: TypeAlias = DecisionRecord | OutcomeRecord

_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(Record)


def encode_record(record: Record) -> bytes:
    """The bytes that the journal keeps (MessagePack)."""
    return _ENCODER.encode(record)


def decode_record(payload: bytes) -> Record:
    """Read what `encode_record` wrote; raise `Damaged` on anything else."""
    try:
        record: Record = _DECODER.decode(payload)
    except msgspec.MsgspecError as error:
        raise Damaged("a journal record cannot be read", found=str(error)) from error
    return record


def decision_id(request: str, row: int) -> str:
    """The id of row `row` of a request."""
    return f"{request}:{row}"


def parse_decision_id(text: str) -> tuple[str, int]:
    """Split ``<request UUIDv7>:<row>``; raise `Invalid` when it is not that.

    >>> parse_decision_id("0197f0a0-0000-7000-8000-000000000000:4")
    ('0197f0a0-0000-7000-8000-000000000000', 4)
    """
    request, colon, row = text.rpartition(":")
    if not colon or len(request) != 36 or not row.isascii() or not row.isdigit() or len(row) > 9:
        raise Invalid(
            "not a decision id",
            field="decision_id",
            found=text,
            expected="<request UUIDv7>:<row>, as in the answer's parameters",
        )
    return request, int(row)


def input_tensors(matrix: npt.NDArray[Any] | None, columns: Sequence[npt.NDArray[Any]]) -> tuple[Tensor, ...]:
    """What a record keeps of a batch: the matrix where there is one, else each column in signature order."""
    return (Tensor.of(matrix),) if matrix is not None else tuple(Tensor.of(column) for column in columns)
