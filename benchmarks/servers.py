"""Servers for benchmarks: started on a core of their own, asked once, and stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
BENCH = ROOT / ".bench"
HERE = Path(__file__).resolve().parent
COLUMNS = 20
SERVER_CORE, LOAD_CORE = "0", "1"


class NotStarted(Exception):
    """A server did not answer in time; with the end of what it said."""


class Server(NamedTuple):
    """A running server: where to send which body, how to read a probability from its answer, and its process."""

    url: str
    body: bytes
    probability: Callable[[Any], float]
    pid: int = 0
    method: str = "POST"


def environment(name: str, python: str = sys.executable) -> Path:
    """A virtual environment with the peer's pinned requirements; made once."""
    folder = BENCH / name
    requirements = ROOT / "requirements" / f"bench-{name}.txt"
    mark = folder / "installed"
    if not mark.exists() or mark.read_text() != requirements.read_text():
        print(f"installing {name} into {folder.relative_to(ROOT)} ...", flush=True)
        uv = [sys.executable, "-m", "uv"]
        subprocess.run([*uv, "venv", "--quiet", "--clear", "--python", python, str(folder)], check=True)
        install = ["pip", "install", "--quiet", "--require-hashes", "-r", str(requirements)]
        subprocess.run([*uv, *install, "--python", str(folder / "bin/python")], check=True)
        mark.write_text(requirements.read_text())
    return folder / "bin"


@contextmanager
def running(words: list[str], url: str, core: str = SERVER_CORE, **options: Any) -> Iterator[int]:
    """A server process pinned to a core, from the moment it answers until the block ends."""
    log = tempfile.TemporaryFile()  # noqa: SIM115 -- lives as long as the process
    process = subprocess.Popen(
        ["taskset", "-c", core, *words], stdout=log, stderr=log, start_new_session=True, **options
    )
    try:
        wait_for(url, process, log)
        yield process.pid
    finally:
        everything = tree(process.pid)
        # It may have ended by itself, which is said where it was waited for.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
            with suppress(subprocess.TimeoutExpired):
                process.wait(15)
        # Some start others in sessions of their own, which would hold the ports.
        for pid in everything:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def wait_for(url: str, process: subprocess.Popen[bytes], log: Any) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except urllib.error.HTTPError:
            return
        except OSError:
            if process.poll() is not None:
                break
            time.sleep(0.1)
    log.seek(0)
    raise NotStarted(f"a server did not start at {url}:\n{log.read().decode()[-2000:]}")


def infer_body(rows: Any) -> bytes:
    """A request of the Open Inference Protocol for a row or for several."""
    shape = [rows.size // COLUMNS, COLUMNS]
    tensor = {"name": "input", "shape": shape, "datatype": "FP64", "data": rows.ravel().tolist()}
    return json.dumps({"inputs": [tensor]}).encode()


def memory_mib(pid: int) -> float:
    """Memory of a process and everything below it; shared pages are counted once (proportional set size)."""
    return sum(map(_pss_mib, tree(pid)))


def tree(root: int) -> list[int]:
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
        except OSError:
            continue
        parents.setdefault(parent, []).append(int(entry.name))
    found, waiting = [], [root]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        waiting.extend(parents.get(pid, []))
    return found


def _pss_mib(pid: int) -> float:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in text.splitlines() if line.startswith("Pss:")), 0.0)
