"""A request whose rows are not all answered by the same version: how it is divided, and put together again."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from tsavo.endpoints.inputs import InputTensor
from tsavo.endpoints.lanes import Lane
from tsavo.endpoints.splitting import assign, assign_many
from tsavo.vocabulary import (
    NUMPY_DTYPES,
    Batch,
    Field,
    Invalid,
    Role,
    Segments,
    Signature,
    VersionRef,
)

__all__ = [
    "Given",
    "Part",
    "divide",
    "is_missing",
    "key_texts",
    "merge",
    "spoken_signature",
    "take_key",
    "take_rows",
]

_EXACT: Final = 2**53
_MOST_NAMED: Final = 10


class Part(msgspec.Struct, frozen=True, gc=False):
    """Rows that one version is to answer.

    Attributes
    ----------
    places
        Which rows of the request, in order; ``None`` for all.
    off
        Why the version may not answer (``plug``), else empty.
    flags
        What is said of these rows before anybody has answered.
    lacking
        Columns of which these rows lack values: who needs them cannot answer.
    refusal
        What the caller is told where nobody can answer, when that is the caller's doing.
    """

    ref: VersionRef
    role: Role
    places: npt.NDArray[np.int64] | None = None
    segment: str = ""
    off: str = ""
    flags: tuple[str, ...] = ()
    lacking: frozenset[str] = frozenset()
    refusal: Invalid | None = None


class Given(msgspec.Struct, frozen=True, gc=False):
    """What a part was answered, and by whom; outputs in the order of `signature`."""

    ref: VersionRef
    role: Role
    signature: Signature
    outputs: tuple[npt.NDArray[Any], ...]
    flags: tuple[str, ...]


def spoken_signature(signature: Signature, segments: Segments | None) -> Signature:
    """What callers of an endpoint send: the champion's inputs, and the key of a family where it is none of them."""
    if segments is None or any(field.name == segments.key for field in signature.inputs):
        return signature
    key = Field(segments.key, segments.dtype, nullable=segments.dtype == "string")
    return msgspec.structs.replace(signature, inputs=(*signature.inputs, key))


def take_key(
    tensors: Sequence[InputTensor], segments: Segments, signature: Signature
) -> tuple[Sequence[InputTensor], InputTensor | None]:
    """The tensors for the version, and that of the key where the version does not take it.

    Raises
    ------
    Invalid
        When the key is not there, or is there twice.
    """
    if any(field.name == segments.key for field in signature.inputs):
        return tensors, None
    keys = [tensor for tensor in tensors if tensor.name == segments.key]
    if len(keys) == 1:
        return [tensor for tensor in tensors if tensor.name != segments.key], keys[0]
    raise Invalid(
        f"the column '{segments.key}' chooses the segment: it must be there once",
        field=f"inputs.{segments.key}",
        found=[tensor.name for tensor in tensors][:_MOST_NAMED],
        expected=f"one tensor '{segments.key}' of {segments.dtype}, beside the model's inputs",
    )


def key_texts(key: InputTensor | None, segments: Segments, signature: Signature, batch: Batch) -> list[str]:
    """The segment of each row as text; empty where it is missing.

    Raises
    ------
    Invalid
        Where the key is of another type, or does not have a value a row.
    """
    if key is None:
        at = next(place for place, field in enumerate(signature.inputs) if field.name == segments.key)
        values = (batch.columns[at] if batch.matrix is None else batch.matrix[:, at]).tolist()
    else:
        flat = key.data.reshape(-1).tolist() if isinstance(key.data, np.ndarray) else key.data
        values = [one for part in flat for one in part] if flat and isinstance(flat[0], list) else flat
        if len(values) != batch.rows:
            raise Invalid(
                "all columns must have the same number of rows",
                field=f"inputs.{segments.key}",
                found=f"{len(values)} rows",
                expected=f"{batch.rows}",
            )
    return [_key_text(value, row, segments) for row, value in enumerate(values)]


def _key_text(value: Any, row: int, segments: Segments) -> str:
    if is_missing(value):
        return ""
    if segments.dtype == "string":
        if isinstance(value, str):
            return value
    elif isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    elif isinstance(value, float) and value.is_integer() and abs(value) <= _EXACT:
        return str(int(value))
    raise Invalid(
        f"a wrong type in column '{segments.key}'",
        field=f"inputs.{segments.key}[{row}]",
        found=value,
        expected="a string" if segments.dtype == "string" else "a whole number",
    )


def divide(
    lane: Lane,
    request: str,
    batch: Batch,
    signature: Signature,
    segments: Sequence[str] | None,
    key: str,
    caller: str,
) -> list[Part]:
    """Who is to answer which rows.

    Parameters
    ----------
    signature
        The champion's, in whose order the batch is.
    segments
        Of each row, for a family.
    key, caller
        What came with the request, for splits by them.
    """
    route = lane.route
    if route.plug is not None:
        return [Part(route.champion, "champion", off="plug")]
    if segments is not None:
        return _by_segment(lane, segments)
    if not lane.shares:
        return [Part(route.champion, "champion")]
    if lane.column is None:
        chosen = assign(route.split.seed, lane.split_key(request, key, caller), lane.shares)
        return [_shared(lane, chosen, None)]
    at = next((n for n, field in enumerate(signature.inputs) if field.name == lane.column), None)
    if at is None:  # a later champion has no such column
        return [Part(route.champion, "champion")]
    values = batch.columns[at] if batch.matrix is None else batch.matrix[:, at]
    which = assign_many(route.split.seed, values, lane.shares)
    found = np.unique(which)
    if len(found) == 1:
        return [_shared(lane, int(found[0]), None)]
    return [_shared(lane, int(one), np.flatnonzero(which == one)) for one in found]


def _shared(lane: Lane, chosen: int, places: npt.NDArray[np.int64] | None) -> Part:
    if chosen < 0:
        return Part(lane.route.champion, "champion", places)
    return Part(lane.sharers[chosen], "challenger", places)


def _by_segment(lane: Lane, segments: Sequence[str]) -> list[Part]:
    rows: dict[str, list[int]] = {}
    for row, segment in enumerate(segments):
        rows.setdefault(segment, []).append(row)
    whole = len(rows) == 1
    return [
        _of_segment(lane, segment, None if whole else np.array(places, dtype=np.int64), places[0])
        for segment, places in rows.items()
    ]


def _of_segment(lane: Lane, segment: str, places: npt.NDArray[np.int64] | None, first: int) -> Part:
    route = lane.route
    member = lane.members.get(segment)
    if member is not None and member.version is not None:
        off = "" if member.plug is None else "plug"
        return Part(member.version, "champion", places, segment, off)
    assert route.segments is not None  # noqa: S101 -- only families have segments
    if route.segments.unseen == "refuse":
        raise Invalid(
            f"family '{route.endpoint}' has no version for this segment",
            field=f"inputs.{route.segments.key}[{first}]",
            found=segment or None,
            expected="the segment of one of its members",
            next_step=f"see them with 'tsavo family ls {route.endpoint}'",
        )
    return Part(route.champion, "champion", places, segment, flags=("segment:unseen",))


def is_missing(value: Any) -> bool:
    """Whether a value of a column is not there: null, or not a number."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def take_rows(batch: Batch, places: npt.NDArray[np.int64] | None) -> Batch:
    """These rows of the batch; the batch itself for all."""
    if places is None:
        return batch
    if batch.matrix is not None:
        return Batch(len(places), np.ascontiguousarray(batch.matrix[places]))
    return Batch(len(places), None, tuple(column[places] for column in batch.columns))


def merge(
    signature: Signature, rows: int, parts: Sequence[Part], given: Sequence[Given]
) -> tuple[npt.NDArray[Any], ...]:
    """The outputs of all rows in the order of the request, in the types of `signature`."""
    merged = []
    for output in signature.outputs:
        shape = (rows,) if output.width is None else (rows, output.width)
        array = np.empty(shape, dtype=NUMPY_DTYPES[output.dtype])
        for part, one in zip(parts, given, strict=True):
            at = next(place for place, its in enumerate(one.signature.outputs) if its.name == output.name)
            array[part.places] = one.outputs[at]
        merged.append(array)
    return tuple(merged)
