"""A writer process on a bad disk, and what it said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from tests.journal.faults.disk import BadDisk
from tsavo.journal import Journal, journals

__all__ = ["BadWriter", "numbers_in", "numbers_of"]

_PROCESS: Final = Path(__file__).with_name("writer_process.py")


class BadWriter:
    """Appends until it is killed at the end of the block.

    Attributes
    ----------
    recorded, refused, flagged
        What became of each number that the process appended, as far as it said so.
    """

    def __init__(
        self, path: Path, disk: BadDisk | None = None, *, first: int = 0, awaiters: int = 4, **options: Any
    ) -> None:
        self.recorded: list[int] = []
        self.refused: list[int] = []
        self.flagged: list[int] = []
        words = [sys.executable, str(_PROCESS), str(path), str(first), str(awaiters), json.dumps(options)]
        environment = {**os.environ, **({} if disk is None else disk.environment)}
        self._process = subprocess.Popen(words, stdout=subprocess.PIPE, env=environment)
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def __enter__(self) -> BadWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def kill(self) -> None:
        """Kill it, and hear what it had said."""
        self._process.kill()
        self._process.wait()
        self._thread.join()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def until(self, done: Callable[[], bool], seconds: float = 30.0) -> None:
        """Wait until something is so; fail when it takes too long or the process ends."""
        deadline = time.monotonic() + seconds
        while not done():
            assert self._process.poll() is None, "the writer ended"
            assert time.monotonic() < deadline, self.so_far
            time.sleep(0.005)

    def more(self, kind: str, count: int = 20) -> None:
        """Wait for so many more of ``recorded``, ``refused`` or ``flagged``."""
        found: list[int] = getattr(self, kind)
        enough = len(found) + count
        self.until(lambda: len(found) >= enough)

    @property
    def so_far(self) -> str:
        """How many of each."""
        return f"{len(self.recorded)} recorded, {len(self.refused)} refused, {len(self.flagged)} flagged"

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            # A line that the kill cut off was not said to anyone.
            if not line.endswith(b"\n"):
                continue
            kinds = {b"-": self.refused, b"?": self.flagged}
            kind = kinds.get(line[:1])
            if kind is None:
                self.recorded.append(int(line))
            else:
                kind.append(int(line[1:]))


def numbers_in(folder: Path) -> list[int]:
    """The numbers of all records in the journals of a folder, in the order in which they are shipped."""
    return [number for path in journals(folder) for number in numbers_of(path)]


def numbers_of(path: Path) -> list[int]:
    """The numbers of the records in one journal."""
    with Journal(path) as journal:
        rows = journal.read(max_rows=10_000_000, max_bytes=1 << 40).rows
        assert journal.damage == "", journal.damage
    return [int(payload.rstrip(b".")) for _, payload in rows]
