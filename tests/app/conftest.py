"""A real Tsavo, started by its own command line on a home of the test's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.app.models import save_small_model

# A program of a test's own; whoever looks for doctests must not import it.
collect_ignore = ["mlflow_models.py"]


class Running:
    """A running Tsavo, and its command line."""

    def __init__(self, home: Path, addresses: dict[str, Any]) -> None:
        self.home = home
        self.gateway: str = addresses["gateway"]
        self.console: str = addresses["console"]
        self.grpc: str | None = addresses["grpc"]
        self.pid: int = addresses["pid"]

    def tsavo(self, *words: str) -> Any:
        """Run a command with --json; return what it printed."""
        done = tsavo(*words, "--home", str(self.home), "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def children(self, module: str) -> list[int]:
        """Process ids of this home's children that run `module`."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    words = (entry / "cmdline").read_bytes().split(b"\0")
                except OSError:
                    continue
                if module.encode() in words and str(self.home).encode() in words:
                    found.append(int(entry.name))
        return found


def tsavo(*words: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Run the command line as a person would."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("TSAVO_")}
    return subprocess.run(
        [sys.executable, "-m", "tsavo", *words],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=environment,
        check=False,
    )


def free_ports(*options: str) -> list[str]:
    """Words for ports that are free, but for those that `options` name."""
    named = ("--port", "--grpc-port", "--console-port")
    return [word for option in named if option not in options for word in (option, "0")]


@contextmanager
def running_on(home: Path, *options: str) -> Iterator[Running]:
    """A Tsavo on free ports, stopped at the end."""
    words = ["up", "--home", str(home), *free_ports(*options), "--detach", "--json", *options]
    started = tsavo(*words)
    assert started.returncode == 0, started.stderr
    try:
        yield Running(home, json.loads(started.stdout))
    finally:
        stopped = tsavo("down", "--home", str(home))
        assert stopped.returncode == 0, stopped.stderr


@pytest.fixture(scope="package")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """One Tsavo for every test that minds neither others' models nor a gateway that was killed before."""
    with running_on(tmp_path_factory.mktemp("home")) as tsavo_now:
        yield tsavo_now


@pytest.fixture(scope="package")
def two_versions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Two gateway workers, and two versions of one model; whoever asks has an endpoint of its own."""
    folder = tmp_path_factory.mktemp("fleet")
    with running_on(folder / "home", "--workers", "2") as tsavo_now:
        for seed in (0, 1):
            (folder / str(seed)).mkdir()
            model, reference = save_small_model(folder / str(seed), seed)
            words = ["--reference", str(reference), "--target", "target", "--trust"]
            tsavo_now.tsavo("register", str(model), "--name", "small", *words)
        yield tsavo_now
