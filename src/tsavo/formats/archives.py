"""The names of the files in a zip, read without unpacking anything and without believing its sizes.

References
----------
PKWARE, APPNOTE.TXT 6.3.10: 4.3.7 (local headers), 4.3.12 (central directory), 4.3.14 to 4.3.16 (its end).
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import IO, Final

from tsavo.vocabulary import TooLarge, Unreadable

__all__ = ["MOST_ENTRIES", "first_names", "names_in"]

MOST_ENTRIES: Final = 100_000
"""More files than any model has."""

_MOST_DIRECTORY: Final = 16 << 20
_LOCAL, _CENTRAL, _END, _END64, _LOCATOR64 = (
    b"PK\x03\x04",
    b"PK\x01\x02",
    b"PK\x05\x06",
    b"PK\x06\x06",
    b"PK\x06\x07",
)
_LOCAL_BYTES, _CENTRAL_BYTES, _END_BYTES, _END64_BYTES, _LOCATOR64_BYTES = 30, 46, 22, 56, 20
_LONGEST_COMMENT: Final = 0xFFFF
# Sizes are behind the file, or in 64 bits elsewhere: then the next header cannot be found from here.
_SIZES_BEHIND: Final = 0x8
_ELSEWHERE: Final = 0xFFFFFFFF


def first_names(head: bytes) -> list[str]:
    """The names of the first files, as far as the beginning of a zip tells."""
    found, at = [], 0
    while head[at : at + 4] == _LOCAL and at + _LOCAL_BYTES <= len(head):
        flags, packed = struct.unpack_from("<H", head, at + 6)[0], struct.unpack_from("<I", head, at + 18)[0]
        name, extra = struct.unpack_from("<HH", head, at + 26)
        found.append(_text(head[at + _LOCAL_BYTES : at + _LOCAL_BYTES + name]))
        if flags & _SIZES_BEHIND or packed == _ELSEWHERE:
            break
        at += _LOCAL_BYTES + name + extra + packed
    return found


def names_in(file: IO[bytes]) -> list[str]:
    """The names in a zip's directory.

    Raises
    ------
    Unreadable
        When the directory is not there, or not what its end says.
    TooLarge
        When it has more than `MOST_ENTRIES` entries.
    """
    size = file.seek(0, os.SEEK_END)
    start, length, entries = _directory(file, size)
    if entries > MOST_ENTRIES or length > _MOST_DIRECTORY:
        raise TooLarge(
            "the archive has more files than a model needs",
            field="source",
            found=entries,
            expected=f"at most {MOST_ENTRIES}",
        )
    if start + length > size:
        raise _broken("its directory lies outside of it")
    file.seek(start)
    found = list(_entries(file.read(length)))
    if len(found) != entries:
        raise _broken(f"its directory has {len(found)} entries instead of {entries}")
    return found


def _directory(file: IO[bytes], size: int) -> tuple[int, int, int]:
    """Where the directory starts, how long it is, and how many entries it should have."""
    tail_at = max(size - _END_BYTES - _LONGEST_COMMENT, 0)
    file.seek(tail_at)
    tail = file.read(_END_BYTES + _LONGEST_COMMENT)
    at = tail.rfind(_END)
    if at < 0 or at + _END_BYTES > len(tail):
        raise _broken("its directory is missing")
    entries, length, start = struct.unpack_from("<HII", tail, at + 10)
    if entries != 0xFFFF and _ELSEWHERE not in {length, start}:
        return start, length, entries
    locator = tail_at + at - _LOCATOR64_BYTES
    if locator < 0:
        return start, length, entries
    file.seek(locator)
    found = file.read(_LOCATOR64_BYTES)
    if found[:4] != _LOCATOR64:
        return start, length, entries
    file.seek(min(struct.unpack_from("<Q", found, 8)[0], size))
    end = file.read(_END64_BYTES)
    if len(end) < _END64_BYTES or end[:4] != _END64:
        raise _broken("its directory is missing")
    many, long, first = struct.unpack_from("<QQQ", end, 32)
    return first, long, many


def _entries(directory: bytes) -> Iterator[str]:
    at = 0
    while directory[at : at + 4] == _CENTRAL and at + _CENTRAL_BYTES <= len(directory):
        name, extra, comment = struct.unpack_from("<HHH", directory, at + 28)
        yield _text(directory[at + _CENTRAL_BYTES : at + _CENTRAL_BYTES + name])
        at += _CENTRAL_BYTES + name + extra + comment


def _text(name: bytes) -> str:
    # Names are compared with known ones only; what is no UTF-8 is none of those.
    return name.decode("utf-8", errors="replace")


def _broken(what: str) -> Unreadable:
    return Unreadable(
        f"the archive is damaged: {what}",
        field="source",
        expected="a zip that was written completely",
        next_step="save the model again, and copy it as a binary file",
    )
