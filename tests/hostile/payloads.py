"""Builds files that mean harm, and a place where harm would show.

Everything here is harmless where it must not run: commands create an empty file, connections go to a socket of the
test, the secret is a word of the test.
"""

from __future__ import annotations

import pickle
import socket
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tsavo.formats import sniff_file
from tsavo.runtimes import Prepared, PrepareJob, WorkerLimits, prepare
from tsavo.vocabulary import Hints, SourceFormat, TsavoError

SECRET = "s3cret-of-the-console"
LIMITS = WorkerLimits(memory_bytes=2 << 30, cpu_seconds=20, wall_seconds=30.0, file_bytes=64 << 20)


class Calls:
    """Pickles as a call, which is made when it is loaded."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.function, self.arguments = function, arguments

    def __reduce__(self) -> Any:
        return self.function, self.arguments


def runs(program: str) -> bytes:
    """A pickle that runs Python when it is loaded."""
    return pickle.dumps(Calls(exec, program))


def packed(path: Path, files: dict[str, bytes | str], *, first: str | None = None) -> Path:
    """A zip with these files, `first` ahead of the others."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files, key=lambda name: (name != first, name)):
            archive.writestr(name, files[name])
    return path


class Scene:
    """A home with a secret, sockets that nobody may call, and a work folder for the workers."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.work = folder / "work"
        for made in (self.home, self.work):
            made.mkdir()
        self.secret = self.home / "secret"
        self.secret.write_text(SECRET)
        self.canary = self.home / "canary"
        monkeypatch.setenv("TSAVO_SECRET", SECRET)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        self.internet = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.internet.getsockname()[1]
        self.local = socket.socket(socket.AF_UNIX)
        self.local_path = self.home / "s"
        self.local.bind(str(self.local_path))
        self.local.listen()
        for server in (self.internet, self.local):
            server.setblocking(False)
        self._before = self._listing()

    def close(self) -> None:
        self.internet.close()
        self.local.close()

    def _listing(self) -> dict[str, tuple[int, int, int]]:
        found = {}
        for path in (self.home, *sorted(self.home.rglob("*"))):
            stat = path.lstat()
            found[str(path)] = (stat.st_mode, stat.st_size, stat.st_mtime_ns)
        return found

    def file(self, content: bytes, name: str = "model") -> Path:
        path = self.folder / name
        path.write_bytes(content)
        return path

    def register(
        self,
        path: Path,
        source_format: SourceFormat | None = None,
        *,
        trusted: bool = False,
        limits: WorkerLimits = LIMITS,
        hints: Hints = Hints(),
    ) -> Prepared:
        """What the console does with a file."""
        found = source_format or sniff_file(path)
        return prepare(PrepareJob(path, found, trusted=trusted, hints=hints), self.work, limits)

    def refused(self, path: Path, source_format: SourceFormat | None = None, **options: Any) -> TsavoError:
        """The refusal, which is plain and gives nothing away; and nothing happened outside the worker."""
        with pytest.raises(TsavoError) as refusal:
            self.register(path, source_format, **options)
        error = refusal.value
        assert error.kind != "failure"
        assert "Traceback" not in str(error)
        self.nothing_happened(str(error) + repr(error.details) + repr(error.found))
        return error

    def nothing_happened(self, said: str = "") -> None:
        assert SECRET not in said
        assert self._listing() == self._before
        for server in (self.internet, self.local):
            with pytest.raises(BlockingIOError):
                server.accept()
        for path in self.work.rglob("*"):
            assert not path.is_symlink()
            if path.is_file():
                assert SECRET.encode() not in path.read_bytes()
