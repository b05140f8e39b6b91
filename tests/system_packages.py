"""Programs that tests need from the system: found, installed when that is allowed, or a reason to skip."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest


def found_or_installed(find: Callable[[], Path | None], package: str) -> Path:
    """What `find` finds, after installing the Debian `package` when it finds nothing and we are root; else skip."""
    found = find()
    if found is None and os.geteuid() == 0 and shutil.which("apt-get"):
        # Workers of one run wait for each other: apt has a lock of its own and would refuse the second.
        with (Path(tempfile.gettempdir()) / "tsavo-tests-apt.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if find() is None:
                _install(package)
        found = find()
    if found is None:
        pytest.skip(f"needs a program of the system: apt install {package}")
    return found


def _install(package: str) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for words in (["apt-get", "update", "-qq"], ["apt-get", "install", "-y", "-qq", package]):
        subprocess.run(words, check=False, capture_output=True, env=environment, timeout=240)


def find_chromium() -> Path | None:
    """The browser for the console's tests."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if path := shutil.which(name):
            return Path(path)
    return None


def find_postgresql() -> Path | None:
    """The folder with PostgreSQL's programs; of several versions the newest."""
    folders = sorted(
        (path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")),
        key=lambda folder: float(folder.parent.name),
    )
    if folders:
        return folders[-1]
    elsewhere = shutil.which("initdb")
    return None if elsewhere is None else Path(elsewhere).resolve().parent
