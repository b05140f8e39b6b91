"""What an Arrow IPC message says about itself, read before anything of it is decoded.

A few bytes can stand for very many rows or for very much text, so rows are counted, and compression is seen, in the
message's own header. It is a FlatBuffers table (``Message.fbs``); a reader of three fields of it needs no library.

Specification: Apache Arrow, "Columnar Format", section "Serialization and Interprocess Communication (IPC)".
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

__all__ = ["BatchHeader", "read_batch_header"]

_DICTIONARY: Final = 2
_RECORDS: Final = 3


class BatchHeader(NamedTuple):
    """Rows of a record batch, or entries of a dictionary; which of the two it is; and whether it is compressed."""

    rows: int
    dictionary: bool
    compressed: bool


def read_batch_header(metadata: memoryview) -> BatchHeader | None:
    """What the metadata of a message say; ``None`` for a message that is no batch, such as the schema.

    Raises
    ------
    ValueError
        When an offset in them points to nowhere.
    """
    try:
        message = _follow(metadata, 0)
        kind_at = _field(metadata, message, 1)
        kind = metadata[kind_at] if kind_at else 0
        header_at = _field(metadata, message, 2)
        if kind not in {_DICTIONARY, _RECORDS} or not header_at:
            return None
        batch = _follow(metadata, header_at)
        if kind == _DICTIONARY:
            data_at = _field(metadata, batch, 1)
            if not data_at:
                return None
            batch = _follow(metadata, data_at)
        rows_at = _field(metadata, batch, 0)
        rows = _number("<q", metadata, rows_at) if rows_at else 0
        return BatchHeader(rows, kind == _DICTIONARY, _field(metadata, batch, 3) != 0)
    except (IndexError, struct.error) as error:
        raise ValueError("an offset in a message's header points to nowhere") from error


def _number(form: str, buffer: memoryview, at: int) -> int:
    if at < 0:
        raise IndexError(at)
    value: int = struct.unpack_from(form, buffer, at)[0]
    return value


def _follow(buffer: memoryview, at: int) -> int:
    """Where the table is to which the offset at `at` points."""
    return at + _number("<I", buffer, at)


def _field(buffer: memoryview, table: int, index: int) -> int:
    """Where field `index` of a table is; 0 when the table does not have it."""
    directory = table - _number("<i", buffer, table)
    slot = 4 + 2 * index
    if slot + 2 > _number("<H", buffer, directory):
        return 0
    offset = _number("<H", buffer, directory + slot)
    return table + offset if offset else 0
