"""How far a journal has been kept elsewhere, and who removes it.

Readers *release* records: a small file beside the journal says up to which number they are no longer needed. From
then on reading starts behind it. The records themselves are removed by the journal's own writer, a few after each
group: two processes that write to one SQLite file make each other wait (measured at 13,000 appends a second: one
append in a thousand took 10 to 19 ms while another process removed records, and 3 ms while the writer did). A
lock on a file tells whether a writer lives; when none does, the reader removes the records itself.
"""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from tsavo.storage import write_atomically

__all__ = ["Presence", "released", "reserve_release", "write_release"]

_RELEASE: Final = "-released"
# Each release has this length, so that a later one fits where an earlier one is.
_BYTES: Final = 128
_LOCK: Final = "-writer"


class _Release(msgspec.Struct, frozen=True):
    journal: str
    upto: int


def write_release(path: Path, journal: str, upto: int) -> None:
    """Say that the records of `path` up to `upto` are no longer needed; raise `OSError` when that cannot be written."""
    content = msgspec.json.encode(_Release(journal, upto)).ljust(_BYTES)
    try:
        write_atomically(_beside(path, _RELEASE), content)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        # A full disk takes what makes no file longer; and who could make room on it, but what is released here?
        _overwrite(_beside(path, _RELEASE), content)


def reserve_release(path: Path) -> None:
    """See that `write_release` finds a file with room; where that fails it is tried again at the next start."""
    if not _beside(path, _RELEASE).exists():
        with suppress(OSError):
            write_release(path, "", 0)


def released(path: Path, journal: str) -> int:
    """Up to which number the records of `path` are no longer needed; 0 when nothing was released of this journal."""
    try:
        release = msgspec.json.decode(_beside(path, _RELEASE).read_bytes(), type=_Release)
    except (OSError, msgspec.MsgspecError):
        # Not knowing is safe: released records are read once more, and what keeps them elsewhere knows them.
        return 0
    return release.upto if release.journal == journal else 0


def _overwrite(path: Path, content: bytes) -> None:
    # Torn, it is not JSON, which is the same as not knowing.
    file = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.pwrite(file, content, 0)
        os.fsync(file)
    finally:
        os.close(file)


class Presence:
    """A lock that shows other processes that a writer lives; the kernel lets go of it when the process ends."""

    def __init__(self, path: Path) -> None:
        self._path = _beside(path, _LOCK)
        self._file: int | None = None

    def enter(self) -> None:
        """Show that a writer lives; waits while another process removes records, a few milliseconds."""
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_SH)

    def claim(self) -> bool:
        """Take the writer's place if no writer lives; `leave` gives it back."""
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.leave()
            return False
        return True

    def leave(self) -> None:
        """Show it no longer."""
        if self._file is not None:
            os.close(self._file)
            self._file = None


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
