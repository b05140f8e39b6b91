"""Runs every check of the repository: what `make test` does.

The short checks run side by side, two at a time, and speak only when they fail. The tests come last, alone, so
that nothing disturbs them and their summary ends the output. Before them our own code is compiled: they start some
hundreds of processes, each of which would compile it anew where ``PYTHONDONTWRITEBYTECODE`` is set.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parent.parent
TOOLS: Final = Path(sys.executable).parent
COMPILED: Final = ("src", "tests", "benchmarks")


class Result(NamedTuple):
    """How one check went."""

    name: str
    passed: bool
    seconds: float
    said: str


def checks(scratch: str) -> list[tuple[str, list[str]]]:
    """Name and command of each short check: what all others gain from, then the longest first."""
    return [
        ("compiled", [sys.executable, "-m", "compileall", "-q", *COMPILED]),
        ("mypy", [str(TOOLS / "mypy")]),
        ("documentation", [str(TOOLS / "mkdocs"), "build", "--strict", "--site-dir", scratch]),
        ("floors", [str(TOOLS / "lint-imports")]),
        ("ruff", [str(TOOLS / "ruff"), "check", "."]),
        ("format", [str(TOOLS / "ruff"), "format", "--check", "."]),
    ]


def run(check: tuple[str, list[str]]) -> Result:
    """Run one check and keep what it says."""
    name, command = check
    started = time.monotonic()
    done = subprocess.run(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )
    return Result(name, done.returncode == 0, time.monotonic() - started, done.stdout)


def main() -> int:
    """Run everything; 0 when all is well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workers", default="2", help="processes that pytest uses")
    arguments, for_pytest = parser.parse_known_args()
    failed = []
    with tempfile.TemporaryDirectory() as scratch, ThreadPoolExecutor(2) as pool:
        for result in pool.map(run, checks(scratch)):
            print(
                f"{result.name:<14} {'ok' if result.passed else 'FAILED'}  {result.seconds:.1f} s", flush=True
            )
            if not result.passed:
                print(result.said, flush=True)
                failed.append(result.name)
    words = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-n",
        arguments.workers,
        "--dist",
        "worksteal",
        *for_pytest,
    ]
    tests = subprocess.run(words, cwd=ROOT, check=False)
    if failed:
        print(f"also failed, see above: {', '.join(failed)}")
    return 1 if failed or tests.returncode else 0


if __name__ == "__main__":
    sys.exit(main())
