"""How a worker process is started: with nothing of ours in its environment but the folder of this package."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path
from typing import Final

import msgspec

import tsavo
from tsavo.runtimes.confinement import QUIET
from tsavo.runtimes.python_worker.frames import Begin

__all__ = ["ProcessLimits", "WorkFolder", "command", "environment", "kill_group", "link_folder"]

_KEPT_VARIABLES: Final = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH")
_GIB: Final = 1 << 30
# What libraries map and never touch: they must not be told apart from a leak by the address space alone.
_MAPPED: Final = 2 * _GIB


class ProcessLimits(msgspec.Struct, frozen=True):
    """What one worker process may use.

    Attributes
    ----------
    memory_bytes
        Memory in use; what is mapped may be 2 GiB more.
    open_files, file_bytes
        Files open at once, and the size of any file it writes.
    processes
        Processes and threads of it and whatever it starts, where the platform can count them.
    """

    memory_bytes: int = 2 * _GIB
    open_files: int = 256
    file_bytes: int = 2 * _GIB
    processes: int = 64


def link_folder(into: Path) -> Path:
    """A folder that holds nothing but a link to this package, so that no other library of ours comes with it."""
    folder = into / "library"
    folder.mkdir(mode=0o700, exist_ok=True)
    link = folder / "tsavo"
    if not link.is_symlink():
        link.symlink_to(_package(), target_is_directory=True)
    return folder


def _package() -> Path:
    # An editable install has several folders in the package's path; this one has the modules.
    assert tsavo.__file__ is not None  # noqa: S101 -- a package with an __init__.py has one
    return Path(tsavo.__file__).resolve().parent


class WorkFolder:
    """The folder of one worker process: models that it may read, and a place where it may write.

    Parameters
    ----------
    root
        A new folder of its own.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self.models = self.root / "models"
        self.scratch = self.root / "scratch"
        for folder in (self.models, self.scratch):
            folder.mkdir(mode=0o700)
        self.library = link_folder(self.root)

    def hand_in(self, source: Path, name: str) -> Path:
        """Make `source` readable to the process as ``models/<name>``: as a link where that is possible, else a copy."""
        target = self.models / name
        target.unlink(missing_ok=True)
        try:
            target.hardlink_to(source.resolve())
        except OSError:
            shutil.copyfile(source, target)
        return target

    def take_back(self, name: str) -> None:
        """The process needs ``models/<name>`` no more."""
        (self.models / name).unlink(missing_ok=True)

    def begin(self, limits: ProcessLimits) -> Begin:
        """The first order to a process in this folder."""
        return Begin(
            parent=os.getpid(),
            read=(str(self.models), str(self.library), str(_package())),
            write=(str(self.scratch),),
            memory_bytes=limits.memory_bytes + _MAPPED,
            open_files=limits.open_files,
            file_bytes=limits.file_bytes,
            processes=limits.processes,
        )

    def remove(self) -> None:
        """Delete the folder, whatever the process left in it."""
        shutil.rmtree(self.root, ignore_errors=True)


def command(python: Path, descriptor: int) -> list[str]:
    """The command line of a worker process that talks over the socket `descriptor`."""
    # -P and -s: neither the folder it works in nor a user's folder is a place to import from.
    module = "tsavo.runtimes.python_worker.harness"
    return [str(python), "-P", "-s", "-m", module, str(descriptor)]


def environment(folder: WorkFolder) -> dict[str, str]:
    """An allow-list: nothing of our environment that is not on it reaches the process."""
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    return {
        **kept,
        **QUIET,
        "HOME": str(folder.scratch),
        "TMPDIR": str(folder.scratch),
        "PYTHONPATH": str(folder.library),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
    }


def kill_group(pid: int) -> None:
    """End a process that leads its group, and whatever it started."""
    try:
        os.killpg(pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return
