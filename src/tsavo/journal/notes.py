"""What a writer knows and a kill must not take away, while the disk takes nothing.

A page of memory that is mapped to a small file beside the journal. The file has its room from the start, so that
writing to it does not ask the disk for anything; after a kill the next writer finds what was noted last. A process
that starts on a disk that is read-only cannot map it, and notes on the machine's memory file system meanwhile. A power
cut may take what was noted since the disk went bad.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple

__all__ = ["Gap", "Notes"]

_SUFFIX: Final = "-notes"
_BYTES: Final = 4096
_MAGIC: Final = int.from_bytes(b"TSAVOJN1", "big")
_WORDS: Final = 8
_MAGIC_AT, _LAST_SEQ, _ANSWERS, _DECISIONS, _FIRST, _LAST = range(6)
_IDENTITY: Final = slice(_WORDS * 8, _WORDS * 8 + 36)


class Gap(NamedTuple):
    """Answers that were given and are not recorded: how many, with how many decisions, and from when to when.

    Times are in nanoseconds since 1970 UTC.
    """

    answers: int
    decisions: int
    first: int
    last: int


class Notes:
    """The notes of the writer of the journal at `path`.

    Where no file can be made they are kept in this process alone, which the next one then does not find.
    """

    def __init__(self, path: Path) -> None:
        own, elsewhere = path.with_name(path.name + _SUFFIX), _elsewhere(path)
        beside = _mapped(own)
        # Whether they are where the next process looks first.
        self.beside = beside is not None
        self._map: mmap.mmap | bytearray = beside or _mapped(elsewhere) or bytearray(_BYTES)
        self._view = memoryview(self._map)
        self._words = self._view[: _WORDS * 8].cast("q")
        if self._words[_MAGIC_AT] != _MAGIC:
            self._view[: _IDENTITY.stop] = bytes(_IDENTITY.stop)
            self._words[_MAGIC_AT] = _MAGIC
        if beside is not None:
            self._take_over(elsewhere)

    def committed(self, seq: int) -> None:
        """Note the number of the last record that is on disk for good."""
        self._words[_LAST_SEQ] = seq

    def last_seq(self, journal_id: str) -> int:
        """What `committed` noted of this journal; 0 when nothing is known of it."""
        return self._words[_LAST_SEQ] if bytes(self._view[_IDENTITY]) == journal_id.encode() else 0

    @property
    def journal_id(self) -> str:
        """The journal that `last_seq` is of; empty when there is none yet."""
        return bytes(self._view[_IDENTITY]).rstrip(b"\0").decode("ascii", "replace")

    def begin(self, journal_id: str) -> None:
        """Note what belongs to this journal from now on."""
        if self.journal_id != journal_id:
            self._words[_LAST_SEQ] = 0
            self._view[_IDENTITY] = journal_id.encode().ljust(36, b"\0")[:36]

    @property
    def gap(self) -> Gap | None:
        """What was not recorded since the last `closed`."""
        words = self._words
        if not words[_ANSWERS]:
            return None
        return Gap(words[_ANSWERS], words[_DECISIONS], words[_FIRST], words[_LAST])

    def unrecorded(self, answers: int, decisions: int, now: int) -> None:
        """Note answers that are about to be given unrecorded."""
        words = self._words
        if not words[_ANSWERS]:
            words[_FIRST] = now
        words[_LAST] = max(now, words[_LAST])
        words[_DECISIONS] += decisions
        words[_ANSWERS] += answers

    def closed(self) -> None:
        """The gap is on disk."""
        words = self._words
        words[_ANSWERS] = words[_DECISIONS] = words[_FIRST] = words[_LAST] = 0

    def _take_over(self, elsewhere: Path) -> None:
        """Add what was noted elsewhere while the file beside the journal could not be mapped."""
        try:
            file = os.open(elsewhere, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except OSError:
            return
        try:
            if os.fstat(file).st_uid != os.getuid():
                return
            words = memoryview(os.read(file, _WORDS * 8).ljust(_WORDS * 8, b"\0")).cast("q")
            if words[_MAGIC_AT] == _MAGIC and words[_ANSWERS]:
                first = min(words[_FIRST], self._words[_FIRST] or words[_FIRST])
                self.unrecorded(words[_ANSWERS], words[_DECISIONS], words[_LAST])
                self._words[_FIRST] = first
            elsewhere.unlink(missing_ok=True)
        finally:
            os.close(file)

    def close(self) -> None:
        """Let go of the file; what is noted stays in it."""
        self._words.release()
        self._view.release()
        if isinstance(self._map, mmap.mmap):
            self._map.close()


def _elsewhere(path: Path) -> Path:
    """A name of this journal's own where a kill takes nothing and the disk is not asked."""
    memory = Path("/dev/shm")  # noqa: S108 -- opened without following links, and only if it is ours
    folder = memory if memory.is_dir() else Path(tempfile.gettempdir())
    return folder / f"tsavo-notes-{sha256(os.fsencode(path.absolute())).hexdigest()[:24]}"


def _mapped(path: Path) -> mmap.mmap | None:
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError:
        return None
    try:
        state = os.fstat(file)
        if state.st_uid != os.getuid():
            return None
        if state.st_size < _BYTES:
            os.posix_fallocate(file, 0, _BYTES)
        return mmap.mmap(file, _BYTES)
    except OSError:
        return None
    finally:
        os.close(file)
