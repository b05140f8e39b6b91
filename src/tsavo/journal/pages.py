"""Records out of a damaged SQLite file: every page and every frame of its write-ahead log is read by itself.

SQLite gives up what lies behind a page that it cannot read. Here a leaf of the table of records is recognized by its
form, and each record by its CRC-32, wherever it lies; so one bad page costs what is on that page.

Specification: https://www.sqlite.org/fileformat2.html, sections 1.6 (b-tree pages), 2.1 (record format) and 4.1 (the
write-ahead log's format).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from zlib import crc32

__all__ = ["salvaged_records"]

_LEAF: Final = 0x0D
_PAGE_BYTES: Final = 4096
_FILE_HEADER: Final = 100
_LOG_HEADER: Final = 32
_FRAME_HEADER: Final = 24
_MAGIC: Final = (0x377F0682, 0x377F0683)
# Serial types of a record's integers, and how many bytes each has.
_INTEGERS: Final = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8, 8: 0, 9: 0}
_MOST_VARINT: Final = 9


def salvaged_records(path: Path) -> dict[int, bytes]:
    """Every record that can be read in the file at `path` and in its write-ahead log, by number.

    Records without a sum, which earlier releases wrote, are taken as they are.
    """
    images = list(_frames(path.with_name(path.name + "-wal")))
    latest = {**dict(_pages(path)), **dict(images)}
    found: dict[int, bytes] = {}
    # Newest first: a number means what was written under it last.
    for number, page in [*latest.items(), *reversed(images), *_pages(path)]:
        for seq, payload in _records(number, page, latest):
            found.setdefault(seq, payload)
    return found


def _pages(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with path.open("rb") as file:
            number = 1
            while len(page := file.read(_PAGE_BYTES)) == _PAGE_BYTES:
                yield number, page
                number += 1
    except OSError:
        return


def _frames(log: Path) -> Iterator[tuple[int, bytes]]:
    """Pages in a write-ahead log, of its present generation; a frame that is torn has records whose sums are wrong."""
    try:
        content = log.read_bytes()
    except OSError:
        return
    salt = content[16:24]
    if len(content) < _LOG_HEADER or int.from_bytes(content[:4], "big") not in _MAGIC:
        # Without its header the generation is that of the first frame.
        salt = content[_LOG_HEADER + 8 : _LOG_HEADER + 16]
    size = _FRAME_HEADER + _PAGE_BYTES
    for at in range(_LOG_HEADER, len(content) - size + 1, size):
        if content[at + 8 : at + 16] == salt:
            yield (
                int.from_bytes(content[at : at + 4], "big"),
                content[at + _FRAME_HEADER : at + size],
            )


def _records(number: int, page: bytes, latest: dict[int, bytes]) -> Iterator[tuple[int, bytes]]:
    """Records of a page, if it is a leaf with records whose sums are right."""
    start = _FILE_HEADER if number == 1 else 0
    if page[start] != _LEAF:
        return
    cells = int.from_bytes(page[start + 3 : start + 5], "big")
    for index in range(min(cells, _PAGE_BYTES // 4)):
        place = start + 8 + 2 * index
        at = int.from_bytes(page[place : place + 2], "big")
        if not start + 8 <= at < _PAGE_BYTES - 4:
            continue
        try:
            record = _record(page, at, latest)
        except (IndexError, KeyError, struct.error):
            continue
        if record is not None:
            yield record


def _record(page: bytes, at: int, latest: dict[int, bytes]) -> tuple[int, bytes] | None:
    size, at = _varint(page, at)
    seq, at = _varint(page, at)
    content = _content(page, at, size, latest)
    header, place = _varint(content, 0)
    kinds = []
    while place < header:
        kind, place = _varint(content, place)
        kinds.append(kind)
    # The number itself stands in the cell, the column is NULL; then a blob; then the sum, or nothing.
    if len(kinds) not in (2, 3) or kinds[0] != 0 or kinds[1] < 12 or kinds[1] % 2:
        return None
    length = (kinds[1] - 12) // 2
    payload = content[header : header + length]
    if len(payload) != length:
        return None
    if len(kinds) == 3 and kinds[2] in _INTEGERS:
        width = _INTEGERS[kinds[2]]
        rest = content[header + length : header + length + width]
        told = kinds[2] - 8 if width == 0 else int.from_bytes(rest, "big", signed=True)
        if told != crc32(payload):
            return None
    elif len(kinds) == 3 and kinds[2] != 0:
        return None
    return seq, payload


def _content(page: bytes, at: int, size: int, latest: dict[int, bytes]) -> bytes:
    """What a cell holds, the part on overflow pages included."""
    usable = _PAGE_BYTES
    if size <= usable - 35:
        return page[at : at + size]
    least = (usable - 12) * 32 // 255 - 23
    local = least + (size - least) % (usable - 4)
    if local > usable - 35:
        local = least
    parts = [page[at : at + local]]
    rest = size - local
    following = int.from_bytes(page[at + local : at + local + 4], "big")
    while rest > 0:
        overflow = latest[following]
        following = int.from_bytes(overflow[:4], "big")
        parts.append(overflow[4 : 4 + min(rest, usable - 4)])
        rest -= usable - 4
    return b"".join(parts)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A variable-length integer, and where what follows it begins."""
    value = 0
    for index in range(_MOST_VARINT):
        byte = data[at + index]
        if index == _MOST_VARINT - 1:
            return value << 8 | byte, at + index + 1
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + index + 1
    raise IndexError
