"""Identifiers: UUID version 7 (RFC 9562, section 5.7), which sort by the time they were made.

Python's own `uuid.uuid7` comes with 3.14; until then this is the one place that makes them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from tsavo.storage.clock import Clock

__all__ = ["IdSource"]

_BLOCK: Final = 4096


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

    def new(self) -> str:
        """A new id, as 36 characters."""
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
        return (
            f"{stamp >> 28:08x}-{stamp >> 12 & 0xFFFF:04x}-7{stamp & 0xFFF:03x}-"
            f"{0x8000 | tail >> 48 & 0x3FFF:04x}-{tail & 0xFFFF_FFFF_FFFF:012x}"
        )
