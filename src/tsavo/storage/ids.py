"""Identifiers: UUID version 7 (RFC 9562, section 5.7), which sort by the time they were made.

Python's own `uuid.uuid7` comes with 3.14; until then this is the one place that makes them. An id may carry a
*mark*: 16 bits of a name's digest in place of its last random bits. Who knows many names then looks first
behind the one in 65,536 that fits, and needs no index from ids to names.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import lru_cache
from hashlib import blake2b
from typing import Final

from tsavo.storage.clock import Clock

__all__ = ["IdSource", "mark_of", "name_mark"]

_BLOCK: Final = 4096
_MARK_DIGITS: Final = 4
_LENGTH: Final = 36


@lru_cache(maxsize=1 << 16)
def name_mark(name: str) -> str:
    """The mark of a name: four hexadecimal digits.

    >>> name_mark("credit-risk")
    '4aed'
    """
    return blake2b(name.encode(), digest_size=_MARK_DIGITS // 2).hexdigest()


def mark_of(made: str) -> str | None:
    """Where an id has the mark of a name, if it was made with one; ``None`` for what is no id.

    >>> mark_of("017f22e2-79b0-7cc3-98c4-dc0c0c07398f")
    '398f'
    """
    return made[-_MARK_DIGITS:].lower() if len(made) == _LENGTH else None


class IdSource:
    """Makes UUIDv7 texts, unique across processes and increasing within one.

    The 12 bits after the millisecond hold its fraction in 1/4096 ms (method 3 of RFC 9562, section 6.2), so ids
    made in one process sort in order; 62 random bits make them unique across processes.

    Parameters
    ----------
    clock
        Where the time comes from.
    random_bytes
        Source of randomness, ``os.urandom`` unless a test wants otherwise. It is asked for 4 KiB at a time.
    """

    def __init__(self, clock: Clock, random_bytes: Callable[[int], bytes] = os.urandom) -> None:
        self._clock = clock
        self._random_bytes = random_bytes
        self._last = 0
        self._pool = b""
        self._at = 0

    def new(self, name: str = "") -> str:
        """A new id, as 36 characters; with a `name`, the last four are its mark.

        46 random bits are left then. Two processes make the same id only when they make ids of the same mark within
        the same 244 ns, and then once in 7e13 times.
        """
        # One unit is 1/4096 ms: 1,000,000 ns / 4096 is about 244 ns.
        stamp = (self._clock.nanoseconds() << 12) // 1_000_000
        if stamp <= self._last:
            stamp = self._last + 1
        self._last = stamp
        if self._at >= len(self._pool):
            self._pool = self._random_bytes(_BLOCK)
            self._at = 0
        tail = int.from_bytes(self._pool[self._at : self._at + 8], "big")
        self._at += 8
        made = (
            f"{stamp >> 28:08x}-{stamp >> 12 & 0xFFFF:04x}-7{stamp & 0xFFF:03x}-"
            f"{0x8000 | tail >> 48 & 0x3FFF:04x}-{tail & 0xFFFF_FFFF_FFFF:012x}"
        )
        return made[:-_MARK_DIGITS] + name_mark(name) if name else made
