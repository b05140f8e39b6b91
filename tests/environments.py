"""Virtual environments of tests' own, made once by uv and kept beside the benchmarks' ones."""

from __future__ import annotations

import fcntl
import subprocess
import sys
from pathlib import Path

__all__ = ["fresh_environment", "mlflow_environment", "mlserver_environment"]

ROOT = Path(__file__).resolve().parents[1]
BENCH = ROOT / ".bench"


def fresh_environment(folder: Path, *words: str) -> Path:
    """The Python of a new environment in `folder` in which `uv pip install` was given `words`, if any."""
    _uv("venv", "--quiet", "--clear", "--python", sys.executable, str(folder))
    python = folder / "bin" / "python"
    if words:
        _uv("pip", "install", "--quiet", "--python", str(python), *words)
    return python


def mlflow_environment(folder: Path, *words: str) -> Path:
    """The Python of a new environment in `folder` that has MLflow, and beside it what `words` say.

    MLflow itself is a gigabyte, so it is installed once, where `make bench` has it, and only looked into from here.
    """
    shared = _shared_environment("mlflow")
    python = fresh_environment(folder, *words)
    beside = next((shared / "lib").glob("python*/site-packages"))
    own = next((folder / "lib").glob("python*/site-packages"))
    # Read after the environment's own packages, which therefore win.
    (own / "mlflow-beside.pth").write_text(f"{beside}\n")
    return python


def mlserver_environment() -> Path:
    """The folder of programs of an environment that has MLServer, as ``make bench`` installs it."""
    return _shared_environment("mlserver") / "bin"


def _shared_environment(name: str) -> Path:
    requirements = ROOT / "requirements" / f"bench-{name}.txt"
    shared = BENCH / name
    BENCH.mkdir(exist_ok=True)
    with (BENCH / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        mark = shared / "installed"
        if not mark.exists() or mark.read_text() != requirements.read_text():
            fresh_environment(shared, "--require-hashes", "-r", str(requirements))
            mark.write_text(requirements.read_text())
    return shared


def _uv(*words: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "uv", *words], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
