"""Heads kept where the home's owner cannot quietly change them: a file elsewhere, a git work tree, an object store.

A head that was anchored binds everything the log held at that moment: whoever rewrites the log afterwards, with the
home's key in hand, still cannot make it lead to a root that somebody else has noted.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import from_url

from tsavo.vocabulary import Invalid, TreeHead, Unavailable, Unreadable

__all__ = ["Anchor", "FileAnchor", "GitAnchor", "StoreAnchor", "open_anchor", "read_heads"]

# In a git work tree and in an object store; the names sort as the log grows.
_FILE: Final = "tsavo-heads.jsonl"
_FOLDER: Final = "tsavo-heads"


class Anchor(Protocol):
    """A place outside the home where heads are kept."""

    def add(self, head: TreeHead) -> bool:
        """Keep `head`, unless the newest one there is the same; return whether it was added.

        Raises
        ------
        Unavailable
            The place cannot be written now.
        """
        ...

    def heads(self, since: int = 0) -> list[TreeHead]:
        """The heads of at least `since` entries, oldest first; raise `Unreadable` when one is no head."""
        ...


def open_anchor(destination: str) -> Anchor:
    """The anchor that a setting or a command names.

    Parameters
    ----------
    destination
        A path: a line is added to that file. ``git:PATH``: a commit in that work tree. A URL (``s3://``, ``gs://``,
        ``az://``, ``file://``, ``memory://``): a new object there for each head, never one written over.
    """
    if destination.startswith("git:"):
        return GitAnchor(Path(destination.removeprefix("git:")).expanduser())
    if "://" in destination:
        return StoreAnchor(destination)
    return FileAnchor(Path(destination).expanduser())


class FileAnchor:
    """A file to which heads are added, one line each."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, head: TreeHead) -> bool:
        """Add a line; it is on disk when this returns."""
        try:
            if self._ends_with(head):
                return False
            file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.write(file, head.line())
                os.fsync(file)
            finally:
                os.close(file)
        except OSError as error:
            raise _unavailable(str(self.path), error.strerror or str(error)) from error
        return True

    def _ends_with(self, head: TreeHead) -> bool:
        """Whether `head` is the newest; a file that grew for years is not read for it."""
        line = head.line()
        try:
            with self.path.open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - len(line)))
                end = file.read()
        except FileNotFoundError:
            return False
        if end and not end.endswith(b"\n"):
            # Nothing is added to what is no list of heads: this says where it is none.
            self.heads()
        return end == line

    def heads(self, since: int = 0) -> list[TreeHead]:
        """The heads in the file; none when it is not there."""
        try:
            found = read_heads(self.path.read_bytes(), str(self.path))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _unavailable(str(self.path), error.strerror or str(error)) from error
        return [head for head in found if head.size >= since]


class GitAnchor:
    """A file in a git work tree; each head is a commit, to be pushed by whoever owns the tree."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = FileAnchor(folder / _FILE)

    def add(self, head: TreeHead) -> bool:
        """Add a line and commit it."""
        if not (self._folder / ".git").exists():
            raise Invalid(
                "not a git work tree",
                field="ledger.anchor",
                found=str(self._folder),
                expected="a folder with .git in it",
                next_step=f"run 'git init {self._folder}'",
            )
        if not self._file.add(head) and not self._git("status", "--porcelain", "--", _FILE):
            return False
        self._git("add", "--", _FILE)
        who = ("-c", "user.name=Tsavo", "-c", "user.email=tsavo@localhost", "-c", "commit.gpgsign=false")
        message = f"{head.origin}: {head.size} entries, root {head.root}"
        self._git(*who, "commit", "--quiet", "--no-verify", "-m", message, "--", _FILE)
        return True

    def heads(self, since: int = 0) -> list[TreeHead]:
        """The heads in the work tree's file."""
        return self._file.heads(since)

    def _git(self, *words: str) -> bytes:
        try:
            done = subprocess.run(
                ["git", "-C", str(self._folder), *words], capture_output=True, check=True, timeout=60
            )
        except FileNotFoundError as error:
            raise _unavailable(str(self._folder), "there is no git on this machine") from error
        except subprocess.CalledProcessError as error:
            raise _unavailable(str(self._folder), error.stderr.decode(errors="replace").strip()) from error
        except subprocess.TimeoutExpired as error:
            raise _unavailable(str(self._folder), "git did not end within a minute") from error
        return done.stdout


class StoreAnchor:
    """An object for each head, written only where there is none: with a lock on the bucket nobody can change it."""

    def __init__(self, url: str) -> None:
        self._url = url
        try:
            self._store: Any = from_url(url)
        except (BaseError, ValueError, TypeError) as error:
            raise Invalid(
                "not an object store", field="ledger.anchor", found=url, expected="s3://bucket/prefix"
            ) from error

    def add(self, head: TreeHead) -> bool:
        """Write a new object."""
        name = f"{_FOLDER}/{head.size:016}-{head.root[:16]}.json"
        try:
            obstore.put(self._store, name, head.line(), mode="create")
        except AlreadyExistsError:
            return False
        except (BaseError, OSError) as error:
            raise _unavailable(self._url, str(error)) from error
        return True

    def heads(self, since: int = 0) -> list[TreeHead]:
        """The heads in the store."""
        # Names sort by size, so a store with years of heads is not read from its beginning.
        behind = f"{_FOLDER}/{since:016}" if since else None
        try:
            names = sorted(
                str(item["path"])
                for page in obstore.list(self._store, prefix=_FOLDER, offset=behind)
                for item in page
            )
            found = [bytes(obstore.get(self._store, name).bytes()) for name in names]
        except (BaseError, OSError) as error:
            raise _unavailable(self._url, str(error)) from error
        return read_heads(b"".join(found), self._url)


def read_heads(content: bytes, where: str) -> list[TreeHead]:
    """Heads, one line each; raise `Unreadable` naming the line that is none."""
    heads = []
    for number, line in enumerate(content.splitlines(), 1):
        try:
            heads.append(msgspec.json.decode(line, type=TreeHead))
        except msgspec.MsgspecError as error:
            raise Unreadable(
                "not a signed tree head", field=f"{where}, line {number}", found=str(error)
            ) from error
    return heads


def _unavailable(where: str, why: str) -> Unavailable:
    return Unavailable(
        "the log's head could not be anchored",
        field="ledger.anchor",
        found=why,
        expected=f"{where} to be writable",
        next_step="mend it; the next head binds everything that the missed one did",
    )
