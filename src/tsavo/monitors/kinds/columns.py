"""Columns of Arrow tables as numpy arrays, without a loop over rows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tsavo.vocabulary import Damaged, Role, VersionRef

__all__ = ["category_codes", "child", "decode", "flat", "minutes", "numbers", "of_role", "times_us"]


def flat(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """One array, whatever it was cut into, and plain values for dictionary-encoded ones."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return array.dictionary_decode() if isinstance(array, pa.DictionaryArray) else array


def child(table: pa.Table, struct: str, name: str) -> pa.Array | None:
    """Field `name` of the struct column `struct`, or ``None`` when there is no such field."""
    kind = table.schema.field(struct).type
    if not pa.types.is_struct(kind) or kind.get_field_index(name) < 0:
        return None
    return flat(pc.struct_field(flat(table.column(struct)), name))


def of_role(table: pa.Table, role: Role, version: VersionRef | None = None) -> pa.Table:
    """The rows of one role, and of one version where it is given."""
    wanted = pc.equal(table.column("role"), role)
    if version is not None:
        wanted = pc.and_(wanted, pc.equal(table.column("model"), version.model))
        wanted = pc.and_(wanted, pc.equal(table.column("version"), version.number))
    return table.filter(wanted)


def numbers(column: pa.Array | pa.ChunkedArray) -> npt.NDArray[np.float64]:
    """As float64 [n]; missing is NaN, text that is no number too."""
    array = flat(column)
    if pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        return np.array([_number(text) for text in array.to_pylist()], dtype=np.float64)
    if not pa.types.is_float64(array.type):
        array = pc.cast(array, pa.float64(), safe=False)
    values: npt.NDArray[np.float64] = array.to_numpy(zero_copy_only=False)
    return values


def category_codes(column: pa.Array | pa.ChunkedArray, names: pa.Array) -> npt.NDArray[np.int64]:
    """The place of each value in `names` [n]; ``len(names)`` when it is not there, -1 when missing."""
    array = pc.cast(flat(column), pa.string())
    codes = pc.fill_null(pc.index_in(array, value_set=names), len(names)).to_numpy(zero_copy_only=False)
    return np.where(array.is_null().to_numpy(zero_copy_only=False), -1, codes).astype(np.int64)


def times_us(table: pa.Table) -> npt.NDArray[np.int64]:
    """The rows' times [n], microseconds since 1970 UTC."""
    array = pc.cast(flat(table.column("time")), pa.timestamp("us", tz="UTC"), safe=False)
    times: npt.NDArray[np.int64] = pc.cast(array, pa.int64()).to_numpy(zero_copy_only=False)
    return times


def minutes(times: npt.NDArray[np.int64]) -> Iterator[tuple[int, npt.NDArray[np.int64]]]:
    """Each minute since 1970 that has rows, with the places of its rows in order."""
    if times.size == 0:
        return
    minute = times // 60_000_000
    order = np.argsort(minute, kind="stable")
    cuts = np.flatnonzero(np.diff(minute[order])) + 1
    for places in np.split(order, cuts):
        yield int(minute[places[0]]), places


def decode(state: bytes, kind: type[Any], monitor: str) -> Any:
    """Read a monitor's state; raise `Damaged` when it is not one."""
    try:
        return msgspec.msgpack.decode(state, type=kind)
    except (msgspec.MsgspecError, ValueError) as error:
        raise Damaged("a monitor's state cannot be read", field=monitor, found=str(error)) from error


def _number(text: str | None) -> float:
    try:
        return float(text) if text is not None else np.nan
    except ValueError:
        return np.nan
