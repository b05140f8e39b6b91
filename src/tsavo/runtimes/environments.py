"""Environments: what a model needs and Tsavo does not have, installed beside it, once for each lock.

A lock is the full list of what has to be installed, every file with its hash; versions with the same lock share one
environment. uv does the work. Only wheels are installed, so that no code of a package runs while it is. Which registry
they come from is the machine's own affair: uv's settings, or else pip's, hold, and nothing of them is written down.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import sys
import sysconfig
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec

from tsavo.runtimes.requirements import checked, unsatisfied
from tsavo.runtimes.uv import Uv, UvFailed
from tsavo.vocabulary import Damaged, Invalid, Unavailable

__all__ = ["Environments", "Lock", "unsatisfied"]

_OURS: Final = f"{sys.version_info.major}.{sys.version_info.minor}"
# What runs in the environment beside the model is Tsavo's own code, which is as young as this.
_OLDEST: Final = (3, 11)
_ALWAYS: Final = ("msgspec>=0.19", "numpy>=1.26")
_PYTHON: Final = re.compile(r"(\d+)\.(\d+)(\..*)?")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_PIN: Final = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*==[^\s;\\]+)", re.MULTILINE)
_LOCK: Final = "lock.txt"
_BUILDING: Final = ".building-"


class Lock(msgspec.Struct, frozen=True):
    """What is installed in an environment, to the byte.

    Attributes
    ----------
    digest
        SHA-256 over the text, the Python version and the platform.
    python
        ``major.minor``.
    text
        Requirements with hashes, as pip and uv read them.
    notes
        What the person who registers should know, such as that another Python than the wished one is used.
    """

    digest: str
    python: str
    text: str
    notes: tuple[str, ...] = ()

    @property
    def requirements(self) -> tuple[str, ...]:
        """What is in it, as ``name==version``."""
        return tuple(_PIN.findall(self.text))

    @staticmethod
    def of(text: str, python: str, notes: tuple[str, ...] = ()) -> Lock:
        """The lock with its digest, as when an environment is made again from a stored text."""
        named = f"{python}\n{sysconfig.get_platform()}\n{text}"
        return Lock(hashlib.sha256(named.encode()).hexdigest(), python, text, notes)


def _quiet(line: str) -> None:
    """Tell nobody."""


class Environments:
    """The environments of one installation.

    Parameters
    ----------
    folder
        Where they are; each is a folder named by its lock's digest.
    wheels
        A folder of wheels to install from, and from nowhere else: for machines without a package registry.
    progress
        Is told, line by line, what is being done.
    """

    def __init__(
        self, folder: Path, *, wheels: Path | None = None, progress: Callable[[str], None] = _quiet
    ) -> None:
        self._folder = folder
        self._wheels = wheels
        self._progress = progress

    def telling(self, progress: Callable[[str], None]) -> Environments:
        """The same environments, with somebody else who is told what is being done."""
        return Environments(self._folder, wheels=self._wheels, progress=progress)

    def lock(self, requirements: Sequence[str], python: str | None) -> Lock:
        """Resolve `requirements`, and what a worker itself needs, into exact versions.

        Parameters
        ----------
        requirements
            As in a requirements file: names, extras, versions, markers.
        python
            The Python version that the model wants; ours is taken when the machine has no such interpreter.

        Raises
        ------
        Invalid
            For addresses, paths, editable installs and options, naming the line; and when no set of wheels fits.
        Unavailable
            Without uv, or when the registry cannot be reached.
        """
        wanted = checked(requirements)
        uv = self._uv()
        interpreter, version, notes = self._interpreter(uv, python)
        self._progress(f"resolving {len(wanted)} requirements for Python {version}")
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with tempfile.TemporaryDirectory(prefix=".resolving-", dir=self._folder) as scratch:
            given = Path(scratch) / "requirements.in"
            given.write_text("\n".join([*wanted, *_ALWAYS]) + "\n")
            options = ["--only-binary", ":all:", "--generate-hashes", "--python", interpreter]
            silence = ["--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"]
            try:
                text = uv.run("pip", "compile", *options, *silence, str(given), folder=Path(scratch))
            except UvFailed as error:
                raise _unresolved(error, self._wheels) from error
        return Lock.of(text, version, notes)

    def ensure(self, lock: Lock) -> Path:
        """The Python program of the environment of `lock`, which is made when it is not there yet.

        Safe to call from several processes at once: one makes it, the others wait.

        Raises
        ------
        Unavailable
            When it cannot be made now: no uv, no registry, no space.
        Damaged
            When the lock's text is not what its digest says.
        """
        if Lock.of(lock.text, lock.python).digest != lock.digest:
            raise Damaged(
                "the lock of an environment is not what was written", field="digest", found=lock.digest
            )
        place = self._folder / lock.digest
        program = place / "bin" / "python"
        if not place.is_dir():
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self._alone(lock.digest):
                # Whoever held the lock before may have made it.
                if not place.is_dir():
                    self._build(lock, place)
        with contextlib.suppress(OSError):
            # When it was last wanted; see `collect`.
            os.utime(place)
        return program

    def collect(self, used: set[str], *, unwanted_seconds: float = 0.0) -> tuple[str, ...]:
        """Remove the environments whose digests are not among `used`; return which.

        Parameters
        ----------
        unwanted_seconds
            Only those that nobody asked for in so long: one may belong to a version that is being registered.
        """
        removed = []
        for place in sorted(self._folder.glob("[0-9a-f]*")):
            if place.name in used or not place.is_dir() or not _DIGEST.fullmatch(place.name):
                continue
            if time.time() - place.stat().st_mtime < unwanted_seconds:
                continue
            with self._alone(place.name):
                # Out of its place first: a half-removed one must never be taken for whole.
                going = Path(tempfile.mkdtemp(prefix=".removing-", dir=self._folder))
                place.rename(going / "environment")
            shutil.rmtree(going, ignore_errors=True)
            removed.append(place.name)
        return tuple(removed)

    def satisfied(self, requirements: Sequence[str]) -> list[str]:
        """Which of the requirements our own environment does not satisfy; empty when a model can run in ours."""
        return unsatisfied(requirements)

    def _uv(self) -> Uv:
        return Uv.found(self._wheels, self._progress)

    def _interpreter(self, uv: Uv, wish: str | None) -> tuple[str, str, tuple[str, ...]]:
        """A Python program, its ``major.minor``, and notes."""
        if wish is None:
            return sys.executable, _OURS, ()
        parsed = _PYTHON.fullmatch(wish.strip())
        if parsed is None:
            raise Invalid("not a Python version", field="python", found=wish, expected="such as 3.12")
        version = f"{parsed[1]}.{parsed[2]}"
        if version == _OURS:
            return sys.executable, _OURS, ()
        if (int(parsed[1]), int(parsed[2])) < _OLDEST:
            why = f"Python {version} is older than what Tsavo's worker needs"
        else:
            try:
                return (
                    uv.run("python", "find", version, folder=Path(tempfile.gettempdir())).strip(),
                    version,
                    (),
                )
            except UvFailed:
                why = f"this machine has no Python {version}"
        return sys.executable, _OURS, (f"{why}; Python {_OURS} is used",)

    @contextlib.contextmanager
    def _alone(self, digest: str) -> Iterator[None]:
        """Hold the lock file of one environment; the kernel lets go of it when the process ends."""
        file = os.open(self._folder / f".{digest}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._progress("another process is making this environment; waiting for it")
                fcntl.flock(file, fcntl.LOCK_EX)
            yield
        finally:
            os.close(file)

    def _build(self, lock: Lock, place: Path) -> None:
        """Make the environment under another name, and rename it when it is whole."""
        for half in self._folder.glob(f"{_BUILDING}{lock.digest}-*"):
            shutil.rmtree(half, ignore_errors=True)  # its maker died: it would hold the lock otherwise
        building = Path(tempfile.mkdtemp(prefix=f"{_BUILDING}{lock.digest}-", dir=self._folder))
        try:
            uv = self._uv()
            interpreter, version, _ = self._interpreter(uv, lock.python)
            if version != lock.python:
                raise Unavailable(
                    "the Python of this environment is gone from this machine",
                    field="python",
                    found=version,
                    expected=lock.python,
                    next_step=f"install Python {lock.python}, or register the model again",
                )
            self._progress(
                f"installing {len(lock.requirements)} packages, once for all models that need these"
            )
            _install(uv, lock, building, interpreter)
            building.rename(place)
        except UvFailed as error:
            raise _not_installed(error, self._wheels) from error
        finally:
            shutil.rmtree(building, ignore_errors=True)
        self._progress("the environment is ready")


def _install(uv: Uv, lock: Lock, building: Path, interpreter: str) -> None:
    # --relocatable: it is renamed afterwards, and programs in it would look for their Python under the old name.
    made = ["--relocatable", "--allow-existing", "--no-project", "--python", interpreter]
    uv.run("venv", *made, str(building), folder=building)
    (building / _LOCK).write_text(lock.text)
    # A worker may not write into its environment, so what Python would compile at each start is compiled now.
    exactly = ["--require-hashes", "--only-binary", ":all:", "--no-deps", "--compile-bytecode"]
    program = str(building / "bin" / "python")
    uv.run("pip", "install", *exactly, "--python", program, "-r", str(building / _LOCK), folder=building)


def _unresolved(error: UvFailed, wheels: Path | None) -> Invalid | Unavailable:
    if "No solution found" in error.words:
        return Invalid(
            "no set of wheels satisfies the model's requirements",
            field="requirements",
            found=error.told,
            expected="versions that exist as wheels for this machine"
            if wheels is None
            else f"wheels in {wheels}",
            next_step="loosen the requirements, or build wheels of what has none",
        )
    return Unavailable(
        "the model's requirements could not be resolved",
        field="requirements",
        found=error.told,
        next_step="see whether this machine reaches its package registry, or give a folder of wheels",
    )


def _not_installed(error: UvFailed, wheels: Path | None) -> Unavailable:
    where = "its package registry" if wheels is None else f"the wheel folder {wheels}"
    return Unavailable(
        "the model's environment could not be made",
        field="requirements",
        found=error.told,
        next_step=f"see whether this machine reaches {where} and has space on its disk, then try again",
    )
