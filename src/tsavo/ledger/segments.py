"""The entries themselves: one line of canonical JSON each, in numbered files of 4,096.

A segment is called by the number of its first entry (``000000004096.jsonl``). Lines are only ever added to the last.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from tsavo.storage import canonical
from tsavo.vocabulary import Damaged

__all__ = ["SEGMENT_ENTRIES", "Segments", "parse_entry"]

SEGMENT_ENTRIES: Final = 4096


def parse_entry(line: bytes, number: int) -> dict[str, Any] | None:
    """The entry in a line, ``None`` when it is not entry `number` in canonical form."""
    try:
        entry = json.loads(line)
    except ValueError:
        return None
    if not isinstance(entry, dict) or entry.get("number") != number or canonical(entry) != line:
        return None
    return entry


class Segments:
    """The segment files in a folder, which need not be there for reading.

    Parameters
    ----------
    folder
        Where the files lie.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, number: int) -> Path:
        """The file that entry `number` lies in."""
        return self.folder / f"{number - number % SEGMENT_ENTRIES:012}.jsonl"

    def read(self, number: int) -> bytes | None:
        """The line of one entry, without its end; ``None`` when there is no such entry."""
        return next(self.scan(number), None)

    def scan(self, start: int = 0) -> Iterator[bytes]:
        """The lines of the entries from `start` on; an unfinished last line is left out."""
        first = start - start % SEGMENT_ENTRIES
        while True:
            try:
                lines = self.path(first).read_bytes().split(b"\n")[:-1]
            except FileNotFoundError:
                return
            yield from lines[start - first :]
            if len(lines) < SEGMENT_ENTRIES:
                return
            start = first = first + SEGMENT_ENTRIES

    def count(self) -> int:
        """How many complete lines there are; raise `Damaged` when a segment before the last is missing or short."""
        try:
            starts = sorted(int(path.stem) for path in self.folder.glob("*.jsonl"))
        except FileNotFoundError:
            return 0
        if not starts:
            return 0
        if starts != list(range(0, starts[-1] + 1, SEGMENT_ENTRIES)):
            raise Damaged(
                "segments of the log are missing",
                field=str(self.folder),
                found=f"{len(starts)} files",
                expected=f"{starts[-1] // SEGMENT_ENTRIES + 1} files",
                next_step="run 'tsavo verify-log', and restore the folder from a backup",
            )
        return starts[-1] + self.path(starts[-1]).read_bytes().count(b"\n")

    def append(self, number: int, lines: Sequence[bytes]) -> None:
        """Add lines from entry `number` on; they are on disk when this returns."""
        while lines:
            path = self.path(number)
            room = SEGMENT_ENTRIES - number % SEGMENT_ENTRIES
            fresh = not path.exists()
            _append(path, b"".join(line + b"\n" for line in lines[:room]))
            if fresh:
                _sync(self.folder)
            number, lines = number + room, lines[room:]

    def cut(self, number: int) -> bytes:
        """Remove what stands behind the first `number` entries; return it."""
        path = self.path(number)
        if not path.exists():
            return b""
        content = path.read_bytes()
        keep = sum(len(line) + 1 for line in content.split(b"\n")[: number % SEGMENT_ENTRIES])
        if keep < len(content):
            os.truncate(path, keep)
            _sync(path)
        return content[keep:]


def _append(path: Path, content: bytes) -> None:
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(file, rest) :]
        os.fsync(file)
    finally:
        os.close(file)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
