"""A log as its one writer sees it: opened, mended after a crash, added to, signed."""

from __future__ import annotations

import fcntl
import hashlib
import os
import sqlite3
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from tsavo.ledger.heads import SigningKey
from tsavo.ledger.index import Index
from tsavo.ledger.reading import LedgerFiles, read_head
from tsavo.ledger.segments import Segments, parse_entry
from tsavo.ledger.tree import TreeFile, leaf_hash
from tsavo.storage import Clock, canonical, write_atomically
from tsavo.vocabulary import Conflict, Damaged, TreeHead

__all__ = ["Ledger"]

_REBUILD: Final = 65_536


class Ledger:
    """The log in `folder`, for writing; made when there is none.

    An entry that `append` returned from is on disk. After a crash, an unfinished last line is cut off, and the log says
    so; what was signed is never cut.

    Parameters
    ----------
    folder
        The log's folder.
    cache
        Where the index is kept, which follows from the entries and may be deleted.
    clock
        Tells the time that stands in entries and heads.

    Raises
    ------
    Conflict
        Another process writes to it.
    Damaged
        It does not hold what was signed, or its key is gone.
    """

    def __init__(self, folder: Path, cache: Path, clock: Clock) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        cache.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._files = LedgerFiles(folder)
        self._clock = clock
        self._index_is_behind = False
        self._lock = _lock(folder)
        try:
            self.head: TreeHead | None = read_head(self._files.head)
            self._key = self._load_key()
            self._segments = Segments(self._files.segments)
            self._files.segments.mkdir(exist_ok=True, mode=0o700)
            self._tree = TreeFile(self._files.tree, writable=True)
            cut = self._mend()
            self.index = Index(cache / "ledger.db")
            self.index.catch_up(self._segments, self._tree.size, self._tree.root)
        except BaseException:
            os.close(self._lock)
            raise
        if self._tree.size == 0:
            self.append([{"kind": "start", "log": self.origin, "what": "Tsavo's log of a home"}])
        if cut:
            digest = hashlib.sha256(cut).hexdigest()
            self.append([{"kind": "cut", "bytes": len(cut), "sha256": digest}])

    @property
    def origin(self) -> str:
        """The log's name."""
        return self._key.public.origin

    @property
    def public_key(self) -> str:
        """The key by which others check its heads."""
        return str(self._key.public)

    @property
    def size(self) -> int:
        """How many entries there are."""
        return self._tree.size

    def append(self, entries: Sequence[Mapping[str, Any]]) -> range:
        """Add entries, in one go; return their numbers. Each gets ``number`` and ``time``.

        Raises
        ------
        OSError, sqlite3.Error
            They cannot be written; none of them is in the log.
        """
        if not entries:
            return range(self.size, self.size)
        if self._index_is_behind:
            self.index.catch_up(self._segments, self.size, self._tree.root)
            self._index_is_behind = False
        time = self._clock.now().isoformat(timespec="microseconds")
        first = self.size
        whole = [{**entry, "number": first + place, "time": time} for place, entry in enumerate(entries)]
        lines = [canonical(entry) for entry in whole]
        try:
            self._segments.append(first, lines)
            self._tree.append(map(leaf_hash, lines))
        except OSError:
            # A full disk must leave no half line, nor lines of which nobody will know that they are there.
            self._segments.cut(first)
            raise
        try:
            self.index.apply(whole, self._tree.root)
        except sqlite3.Error:
            # The entries are in the log: whoever added them must not do so again.
            self._index_is_behind = True
        return range(first, self.size)

    def sign(self) -> TreeHead:
        """A signed head of all entries; the one that there is when nothing was added since."""
        if self.head is None or self.head.size != self.size:
            self._tree.sync()
            head = self._key.sign(self.size, self._tree.root(), self._clock.now())
            write_atomically(self._files.head, head.line())
            self.head = head
        return self.head

    def close(self) -> None:
        """Let go of the files."""
        self.index.close()
        self._tree.close()
        os.close(self._lock)

    def _load_key(self) -> SigningKey:
        files = self._files
        if self.head is None and not files.key.exists() and not any(files.segments.glob("*")):
            key = SigningKey.make(files.key)
        else:
            key = SigningKey.load(files.key)
        if self.head is not None and not key.public.signed(self.head):
            raise _damaged(files.head, "a head that this log's key did not sign")
        told = f"{key.public}\n".encode()
        if not files.public.exists() or files.public.read_bytes() != told:
            write_atomically(files.public, told)
        return key

    def _mend(self) -> bytes:
        """Make the tree fit the entries; return what was cut off behind them."""
        for path in self._files.folder.glob(".*"):
            # A head that was under way when the writer was killed.
            path.unlink()
        signed = 0 if self.head is None else self.head.size
        complete = self._segments.count()
        if complete < signed:
            raise _damaged(self._files.segments, f"{complete} entries, of which {signed} were signed")
        if not self._tree.holds(signed) or (
            self.head is not None and self._tree.root(signed).hex() != self.head.root
        ):
            self._rebuild(signed)
        self._tree.cut(signed)
        leaves: list[bytes] = []
        for line in self._segments.scan(signed):
            # A power cut may leave blocks of zeros behind what was written: they are no entry.
            if parse_entry(line, signed + len(leaves)) is None:
                break
            leaves.append(leaf_hash(line))
        self._tree.append(leaves)
        cut = self._segments.cut(self._tree.size)
        for path in sorted(self._files.segments.glob("*.jsonl")):
            if int(path.stem) > self._tree.size:
                cut += path.read_bytes()
                path.unlink()
        return cut

    def _rebuild(self, signed: int) -> None:
        """Make the tree anew from the entries that were signed."""
        self._tree.cut(0)
        leaves: list[bytes] = []
        for number, line in enumerate(self._segments.scan()):
            if number == signed:
                break
            leaves.append(leaf_hash(line))
            if len(leaves) == _REBUILD:
                self._tree.append(leaves)
                leaves = []
        self._tree.append(leaves)
        if self.head is not None and self._tree.root().hex() != self.head.root:
            raise _damaged(self._files.segments, "entries that are not those that were signed")


def _lock(folder: Path) -> int:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(handle)
        raise Conflict(
            "another process writes to this log", field="ledger", found=str(folder), next_step="stop it first"
        ) from error
    return handle


def _damaged(path: Path, found: str) -> Damaged:
    return Damaged(
        "the log is not what was signed",
        field=str(path),
        found=found,
        next_step="run 'tsavo verify-log' for the place; docs/audit.md says how to go on",
    )
