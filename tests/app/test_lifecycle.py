"""Starting, stopping, crashing and refusing, with real processes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from tests.app.conftest import Running, free_ports, running_on, tsavo

MODULES = ("tsavo.app.gateway_process", "tsavo.app.console_process", "tsavo.app.keeper_process")


def wait_until(done: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def is_ready(url: str) -> bool:
    try:
        return httpx.get(url, timeout=30).status_code == 200
    except httpx.HTTPError:
        return False


def start_in_the_foreground(home: Path) -> tuple[subprocess.Popen[str], Running]:
    words = ["up", "--home", str(home), *free_ports(), "--json"]
    process = subprocess.Popen([sys.executable, "-m", "tsavo", *words], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, Running(home, json.loads(process.stdout.readline()))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_stops_cleanly_on_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    process, running = start_in_the_foreground(tmp_path / "home")
    with process:
        assert is_ready(f"{running.gateway}/v2/health/ready")
        assert all(running.children(module) for module in MODULES)
        process.send_signal(number)
        assert process.wait(30) == 0
    assert not any(running.children(module) for module in MODULES)
    assert not (running.home / "run" / "addresses.json").exists()
    with running_on(running.home) as again:
        assert is_ready(f"{again.gateway}/v2/health/ready")


def test_a_crashed_child_comes_back_and_nobody_is_refused_meanwhile(tmp_path: Path) -> None:
    with running_on(tmp_path / "home") as running:
        for module in MODULES:
            (before,) = running.children(module)
            time.sleep(0.6)
            os.kill(before, signal.SIGKILL)
            if module == MODULES[0]:
                # The port belongs to the supervisor: this request waits for the new gateway.
                assert httpx.get(f"{running.gateway}/v2/health/live", timeout=60).status_code == 200
            wait_until(lambda module=module, before=before: running.children(module) not in ([], [before]))  # type: ignore[misc]
        wait_until(lambda: is_ready(f"{running.console}/api/status"))


def test_the_children_end_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    process, running = start_in_the_foreground(tmp_path / "home")
    with process:
        process.kill()
        process.wait(60)
        wait_until(lambda: not any(running.children(module) for module in MODULES))
    with running_on(running.home) as again:
        assert is_ready(f"{again.console}/api/status")


def test_a_second_up_on_the_same_home_says_who_has_it(running: Running) -> None:
    for options in ([], ["--detach"]):
        second = tsavo("up", "--home", str(running.home), *free_ports(), *options)
        assert second.returncode == 1
        assert running.console in second.stderr
        assert "Traceback" not in second.stderr


def test_a_port_in_use_is_named(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        for option in ("--port", "--grpc-port", "--console-port"):
            words = ["up", "--home", str(tmp_path / "home"), *free_ports(option), option, str(port)]
            for detach in ([], ["--detach"]):
                done = tsavo(*words, *detach)
                assert done.returncode == 1
                assert str(port) in done.stderr
                assert option in done.stderr
                assert "Traceback" not in done.stderr


def test_a_home_that_cannot_be_written(tmp_path: Path) -> None:
    # A file in the way refuses everybody, root as well.
    (tmp_path / "file").touch()
    done = tsavo("up", "--home", str(tmp_path / "file" / "home"), *free_ports())
    assert done.returncode == 1
    assert "home" in done.stderr
    assert "--home DIR" in done.stderr
    assert "Traceback" not in done.stderr


def test_any_address_but_loopback_is_refused(tmp_path: Path) -> None:
    done = tsavo("up", "--home", str(tmp_path), "--host", "0.0.0.0")
    assert done.returncode == 1
    assert "loopback" in done.stderr


def test_down_where_nothing_runs(tmp_path: Path) -> None:
    done = tsavo("down", "--home", str(tmp_path))
    assert done.returncode == 0
    assert "Nothing runs" in done.stdout


def test_two_workers_share_the_port_and_have_a_journal_each(tmp_path: Path) -> None:
    with running_on(tmp_path / "home", "--workers", "2") as running:
        assert len(running.children(MODULES[0])) == 2
        assert sorted(path.name for path in (running.home / "journal").glob("gateway-*.db")) == [
            "gateway-0.db",
            "gateway-1.db",
        ]


def test_doctor_finds_nothing_wrong_and_then_what_is(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with running_on(home) as running:
        assert all(look["ok"] for look in running.tsavo("doctor"))
    (home / "tsavo.toml").write_text("[gateway]\nprot = 1\n")
    done = tsavo("doctor", "--home", str(home), "--json")
    assert done.returncode == 1
    wrong = {look["name"]: look for look in json.loads(done.stdout) if not look["ok"]}
    assert "settings" in wrong
    assert "prot" in wrong["settings"]["found"]
