"""Artifacts: files addressed by the SHA-256 of their content, in a folder or any object store.

A name from outside never reaches the file system: the only key is a digest, computed here. Whatever the store,
a process that needs a file on disk gets a verified local copy.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from pathlib import Path
from typing import Any, Final

from tsavo.storage.files import file_digest, write_atomically
from tsavo.vocabulary import Damaged, NotFound

__all__ = ["ArtifactStore"]

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")


def _key(digest: str) -> str:
    if not _DIGEST.fullmatch(digest):
        raise NotFound(
            "not an artifact digest", field="digest", found=digest, expected="64 hexadecimal digits"
        )
    return f"{digest[:2]}/{digest[2:]}"


class ArtifactStore:
    """Immutable files by digest.

    Parameters
    ----------
    location
        A local folder, or an object store's URL (``s3://bucket/prefix``, ``gs://``, ``az://``, ``memory:///``).
    cache
        Folder for local copies; used only when `location` is not a local folder.
    """

    def __init__(self, location: Path | str, cache: Path) -> None:
        self._folder = location if isinstance(location, Path) else None
        self._cache = cache
        self._remote: _Remote | None = None
        if isinstance(location, Path):
            location.mkdir(parents=True, exist_ok=True, mode=0o700)
        else:
            cache.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._remote = _Remote(location)

    def put(self, content: bytes) -> str:
        """Keep `content`; return its digest. Keeping the same content twice is one artifact."""
        digest = hashlib.sha256(content).hexdigest()
        if self._remote is not None:
            self._remote.put(_key(digest), content)
        elif self._folder is not None:
            path = self._folder / _key(digest)
            if not path.exists():
                path.parent.mkdir(mode=0o700, exist_ok=True)
                write_atomically(path, content, mode=0o400)
        return digest

    def remove(self, digest: str) -> None:
        """Delete the content behind `digest`, which nothing may need any more; what is gone stays so."""
        if self._remote is not None:
            self._remote.remove(_key(digest))
            (self._cache / digest).unlink(missing_ok=True)
        elif self._folder is not None:
            (self._folder / _key(digest)).unlink(missing_ok=True)

    def get(self, digest: str) -> bytes:
        """The content behind `digest`; raise `NotFound` or, when it was changed, `Damaged`."""
        remote = self._remote
        try:
            content = self.path(digest).read_bytes() if remote is None else remote.get(_key(digest))
        except FileNotFoundError as error:
            raise _missing(digest) from error
        if hashlib.sha256(content).hexdigest() != digest:
            raise _changed(digest)
        return content

    def path(self, digest: str) -> Path:
        """A local file with the content behind `digest`, verified when it is first fetched."""
        key = _key(digest)
        if self._folder is not None:
            path = self._folder / key
            if not path.is_file():
                raise _missing(digest)
            return path
        path = self._cache / digest
        if not path.is_file():
            write_atomically(path, self.get(digest), mode=0o400)
        return path

    def verify(self, digest: str) -> None:
        """Raise `Damaged` when the stored content no longer has this digest."""
        if file_digest(self.path(digest)) != digest:
            raise _changed(digest)

    def writable(self) -> bool:
        """Whether a new artifact could be kept now (a probe is written and removed)."""
        if self._folder is None:
            return True
        try:
            with tempfile.NamedTemporaryFile(dir=self._folder):
                return True
        except OSError:
            return False


class _Remote:
    """An object store. Its library is loaded for it alone: most installations have a folder."""

    def __init__(self, url: str) -> None:
        import obstore
        from obstore.store import from_url

        self._library: Any = obstore
        self._store: Any = from_url(url)

    def put(self, key: str, content: bytes) -> None:
        self._library.put(self._store, key, content)

    def remove(self, key: str) -> None:
        self._library.delete(self._store, key)

    def get(self, key: str) -> bytes:
        """The content; raise `FileNotFoundError` when there is none."""
        return bytes(self._library.get(self._store, key).bytes())


def _missing(digest: str) -> NotFound:
    return NotFound("there is no such artifact", field="digest", found=digest, next_step="run 'tsavo doctor'")


def _changed(digest: str) -> Damaged:
    return Damaged(
        "an artifact is not what was written",
        field="digest",
        found=digest,
        next_step="restore it from a backup and run 'tsavo doctor'",
    )
