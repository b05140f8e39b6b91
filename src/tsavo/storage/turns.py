"""Who may change the lake now: one process at a time, by a lock that the kernel lets go of when the process ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["taking_turns"]


@contextmanager
def taking_turns(path: Path) -> Iterator[None]:
    """Wait until nobody else has `path`, and have it while the block lasts."""
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)
