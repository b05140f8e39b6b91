"""A folder of backups: ``files/<digest>`` once for all backups, ``backups/<id>.json`` for each.

A list is written when all of its files are on disk, whole or not at all, under its own digest; a backup that was cut
short has no list, and its files are used by the next one. Files have the names of their SHA-256, so that what did not
change since the last backup takes no room and no time.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final

import msgspec

from tsavo.storage import file_digest, sync_file_system, taking_turns, write_atomically
from tsavo.vocabulary import Damaged, NotFound, Unavailable

__all__ = ["BackupFolder", "Kept", "Listed"]

_CHUNK: Final = 1 << 20
_FORMAT: Final = 1


class Kept(msgspec.Struct, frozen=True):
    """One file of a home: where it lay, what it held, and how it looked when it was copied.

    Attributes
    ----------
    changed
        Nanoseconds since 1970 UTC of its last change; 0 for a copy that was made of an open database.
    """

    path: str
    digest: str
    bytes: int
    mode: int
    changed: int


class Listed(msgspec.Struct, frozen=True):
    """All of one backup. `notes` are sentences about what is not in it."""

    id: str
    time: datetime
    tsavo: str
    files: tuple[Kept, ...]
    notes: tuple[str, ...] = ()
    format: int = _FORMAT


class BackupFolder:
    """Reads and writes one folder of backups."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._files = root / "files"
        self._lists = root / "backups"

    def create(self) -> None:
        """Make the folders, readable by their owner only; raise `Unavailable` when that cannot be done."""
        try:
            for folder in (self.root, self._files, self._lists):
                folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise Unavailable(
                "the backup folder cannot be written",
                field="folder",
                found=str(self.root),
                expected="a folder that this user may write",
                next_step=f"choose another one ({error.strerror})",
            ) from error

    @contextmanager
    def writing(self) -> Iterator[Path]:
        """Have the folder alone, after another backup into it has ended; yields a folder for what is not kept."""
        with taking_turns(self._lists / ".turn"):
            # What a backup that was killed was writing.
            for leftover in self._files.glob(".*"):
                leftover.unlink()
            scratch = self._files / "scratch"
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir(mode=0o700)
            try:
                yield scratch
            finally:
                shutil.rmtree(scratch, ignore_errors=True)

    def ids(self) -> list[str]:
        """Every backup that has a list, oldest first."""
        return sorted(path.stem for path in self._lists.glob("*.json"))

    def listed(self, name: str | None = None) -> Listed:
        """The list of a backup, by default the newest; raise `NotFound`, or `Damaged` when it is not as written."""
        known = self.ids()
        chosen = name if name is not None else known[-1] if known else None
        if chosen not in known:
            raise NotFound(
                "there is no such backup",
                field="backup",
                found=chosen or str(self.root),
                expected=f"one of {known[-5:]}" if known else "a folder that 'tsavo backup' wrote",
            )
        digest, _, body = (self._lists / f"{chosen}.json").read_bytes().partition(b"\n")
        if hashlib.sha256(body).hexdigest().encode() != digest:
            raise Damaged(
                "the list of a backup is not as it was written",
                field="backup",
                found=chosen,
                next_step="restore an earlier one with --backup ID",
            )
        return msgspec.json.decode(body, type=Listed)

    def write_list(self, listed: Listed) -> None:
        """Make a backup of files that are all here; it is on disk when this returns."""
        sync_file_system(self.root)
        body = msgspec.json.encode(listed)
        digest = hashlib.sha256(body).hexdigest().encode()
        write_atomically(self._lists / f"{listed.id}.json", digest + b"\n" + body)

    def path(self, digest: str) -> Path:
        """Where the content with this digest lies."""
        return self._files / digest[:2] / digest

    def holds(self, kept: Kept, *, verify: bool) -> bool:
        """Whether a file is here already, whole as far as its size says, or for sure."""
        path = self.path(kept.digest)
        if not path.is_file() or path.stat().st_size != kept.bytes:
            return False
        return not verify or file_digest(path) == kept.digest

    def add(self, source: Path) -> tuple[str, int]:
        """Copy a file; return its digest and size. Raises `FileNotFoundError` when it is gone."""
        digest, size = hashlib.sha256(), 0
        with source.open("rb") as file:
            handle, name = tempfile.mkstemp(dir=self._files, prefix=".")
            temporary = Path(name)
            try:
                with os.fdopen(handle, "wb") as copy:
                    while chunk := file.read(_CHUNK):
                        digest.update(chunk)
                        copy.write(chunk)
                        size += len(chunk)
                path = self.path(digest.hexdigest())
                path.parent.mkdir(exist_ok=True, mode=0o700)
                temporary.chmod(0o400)
                temporary.replace(path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
        return digest.hexdigest(), size

    def copy_to(self, kept: Kept, target: Path) -> None:
        """Put a file into a home; raise `Damaged` when it is not what was kept."""
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            shutil.copyfile(self.path(kept.digest), target)
        except FileNotFoundError as error:
            raise _damaged(kept, "missing") from error
        if file_digest(target) != kept.digest:
            raise _damaged(kept, "changed")
        target.chmod(kept.mode)
        if kept.changed:
            os.utime(target, ns=(kept.changed, kept.changed))

    def drop_all_but(self, newest: int) -> int:
        """Remove backups but the `newest`, and files that no list names; return how many files that were."""
        for name in self.ids()[:-newest]:
            (self._lists / f"{name}.json").unlink()
        named = {kept.digest for name in self.ids() for kept in self.listed(name).files}
        return _remove(path for path in self._files.glob("??/*") if path.name not in named)


def _remove(paths: Iterable[Path]) -> int:
    removed = 0
    for path in paths:
        path.unlink()
        removed += 1
    return removed


def _damaged(kept: Kept, how: str) -> Damaged:
    return Damaged(
        "a file of the backup is not what was kept",
        field=kept.path,
        found=how,
        expected=f"SHA-256 {kept.digest}",
        next_step="restore an earlier backup with --backup ID",
    )
