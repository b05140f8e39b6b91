"""Which keys are being worked on, among all processes that write journals to one folder.

A reservation is a lock on one byte of a file, at a place that the key gives. The kernel lets go of it when its process
ends, however it ends, so that nobody has to find out whether an owner still lives; and it costs one system call that
does not wait.
"""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Final

__all__ = ["Reservations"]

# Offsets in a file are 63 bits.
_PLACES: Final = 1 << 62


class Reservations:
    """Reserves keys for this process; within it, the caller must not ask twice for the same key.

    Two keys at the same place exclude each other, which costs the later one a wait and happens once in 10^18 pairs.

    Parameters
    ----------
    path
        A file that all processes open; one object a process, because closing it lets go of all.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def take(self, key: bytes) -> bool:
        """Reserve `key` (8 bytes or more, spread evenly); return whether it was free."""
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _place(key))
        except (BlockingIOError, PermissionError):  # which of the two is the system's choice
            return False
        return True

    def free(self, key: bytes) -> None:
        """Give `key` back."""
        fcntl.lockf(self._file, fcntl.LOCK_UN, 1, _place(key))

    def close(self) -> None:
        """Give all back."""
        os.close(self._file)


def _place(key: bytes) -> int:
    return int.from_bytes(key[:8], "big") % _PLACES
