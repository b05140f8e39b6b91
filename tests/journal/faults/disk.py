"""A folder whose disk goes bad when told to; see `faults.c` for what can go wrong."""

from __future__ import annotations

import fcntl
import os
import random
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple

__all__ = ["BadDisk", "Change", "changes", "files_after", "write_files"]

_SOURCE: Final = Path(__file__).with_name("faults.c")
_HEAD: Final = struct.Struct("<IIqc7x")
_SECTOR: Final = 512


class BadDisk:
    """Makes calls on files below `folder` fail, in processes that are started with `environment`.

    Parameters
    ----------
    folder, others
        What is below them is on the bad disk.
    aside
        A folder elsewhere, for what this needs itself.
    log
        Whether every change is written down, for `files_after`.
    """

    def __init__(self, folder: Path, aside: Path, *others: Path, log: bool = False) -> None:
        self._under = ":".join(str(one.absolute()) for one in (folder, *others))
        self._control = aside.absolute() / f"control-{folder.name}"
        self.log = aside.absolute() / f"changes-{folder.name}" if log else None
        self.works()

    def goes_wrong(
        self, what: str, calls: str = "wsto", *, per_mille: int = 1000, milliseconds: int = 0
    ) -> None:
        """Go wrong from the next call on: ``enospc``, ``full``, ``eio``, ``erofs``, ``torn`` or ``slow``."""
        # One write of a few bytes: a reader sees all of it, or what was there before.
        beside = self._control.with_suffix(".new")
        beside.write_text(f"{what} {calls} {per_mille} {milliseconds}\n")
        beside.replace(self._control)

    def works(self) -> None:
        """Work again."""
        self.goes_wrong("none")

    @property
    def environment(self) -> dict[str, str]:
        """For the processes that are to have this disk."""
        found = {
            "LD_PRELOAD": str(_library()),
            "FAULTS_UNDER": self._under,
            "FAULTS_CONTROL": str(self._control),
        }
        return found if self.log is None else {**found, "FAULTS_LOG": str(self.log)}


class Change(NamedTuple):
    """One call that changed something: ``w`` bytes at an offset, ``s`` synced, ``t`` cut or grown to a length, ``c``
    made, ``u`` removed, ``r`` renamed to what `data` says."""

    call: str
    path: str
    offset: int
    data: bytes


def changes(log: Path) -> Iterator[Change]:
    """What was written down, in order."""
    content = log.read_bytes()
    at = 0
    while at + _HEAD.size <= len(content):
        path, count, offset, call = _HEAD.unpack_from(content, at)
        at += _HEAD.size
        name = content[at : at + path].decode()
        at += path
        yield Change(call.decode(), name, offset, content[at : at + count])
        at += count


class _File:
    """What is on the disk for sure, and what may be."""

    def __init__(self) -> None:
        self.sure = bytearray()
        self.loose: list[Change] = []
        self.named = False


def files_after(done: Iterable[Change], chance: random.Random) -> dict[str, bytes]:
    """The files as a power cut after these changes may leave them.

    What was synced is there. Of what a file was given since, any part may be: each change or none, of bytes each
    sector of 512 or none. A file whose folder was not synced since it was made may be gone; one that was removed
    may be there again.
    """
    files: dict[str, _File] = {}
    gone: dict[str, _File] = {}
    for change in done:
        if change.call == "s" and change.path not in files:
            # A folder: its files have their names for good, and those that were removed are.
            inside = f"{change.path}/"
            for path, file in files.items():
                file.named |= path.startswith(inside)
            for path in [path for path in gone if path.startswith(inside)]:
                del gone[path]
        elif change.call == "u":
            removed = files.pop(change.path, None)
            if removed is not None and removed.named:
                gone[change.path] = removed
        elif change.call == "r":
            moved = files.pop(change.path, None)
            target = change.data.decode()
            if moved is not None:
                replaced = files.get(target)
                if replaced is not None and replaced.named:
                    gone[target] = replaced
                moved.named = False
                files[target] = moved
        else:
            file = files.setdefault(change.path, _File())
            if change.call == "s":
                for loose in file.loose:
                    _apply(file.sure, loose)
                file.loose = []
            elif change.call != "c":
                file.loose.append(change)
    left: dict[str, bytes] = {}
    for path, file in files.items():
        if file.named or chance.random() < 0.5:
            left[path] = _after(file, chance)
    for path, file in gone.items():
        if path not in left and chance.random() < 0.5:
            left[path] = _after(file, chance)
    return left


def _after(file: _File, chance: random.Random) -> bytes:
    content = bytearray(file.sure)
    # Sometimes all, sometimes nothing, mostly any part.
    share = chance.choice((0.0, 0.1, 0.5, 0.9, 1.0))
    for loose in file.loose:
        if loose.call == "t":
            if chance.random() < share:
                _apply(content, loose)
            continue
        end = loose.offset + len(loose.data)
        at = loose.offset
        while at < end:
            upto = min(end, (at // _SECTOR + 1) * _SECTOR)
            if chance.random() < share:
                piece = loose.data[at - loose.offset : upto - loose.offset]
                _apply(content, Change("w", loose.path, at, piece))
            at = upto
    return bytes(content)


def _apply(content: bytearray, change: Change) -> None:
    if change.call == "t":
        del content[change.offset :]
        content.extend(bytes(change.offset - len(content)))
        return
    content.extend(bytes(max(0, change.offset - len(content))))
    content[change.offset : change.offset + len(change.data)] = change.data


def write_files(left: Mapping[str, bytes], folder: Path, into: Path) -> None:
    """Write files of `folder` into another folder, which is made anew."""
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir()
    for path, content in left.items():
        target = into / Path(path).relative_to(folder)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


def _library() -> Path:
    """The compiled layer, by the digest of its source; several processes may want it at once."""
    name = f"faults-{sha256(_SOURCE.read_bytes()).hexdigest()[:16]}-{os.getuid()}.so"
    library = Path(tempfile.gettempdir(), name)
    with library.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not library.exists():
            made = library.with_suffix(".new")
            words = [os.environ.get("CC", "cc"), "-O1", "-Wall", "-shared", "-fPIC", "-o", str(made)]
            subprocess.run([*words, str(_SOURCE), "-lpthread"], check=True)
            made.replace(library)
    return library
