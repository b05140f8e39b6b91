"""Starting a supervisor in the background, and stopping one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Final

from tsavo.storage import Addresses, Home, HomeLock
from tsavo.vocabulary import Conflict, Unavailable

__all__ = ["start_detached", "stop_running"]

_START_SECONDS: Final = 75.0
_STOP_SECONDS: Final = 20.0


def start_detached(home: Home, words: Sequence[str]) -> Addresses:
    """Start ``tsavo up`` with these options in the background; return when it answers.

    Raises
    ------
    Conflict
        When the home is in use.
    Unavailable
        When it does not come up, with its own last words.
    """
    home.create()
    if HomeLock(home).held():
        # Ask for the lock only to get its refusal, which names who has the home.
        HomeLock(home).acquire()
    log = home.logs / "supervisor.log"
    with log.open("ab") as out:
        begin = out.tell()
        supervisor = subprocess.Popen(
            [sys.executable, "-m", "tsavo", "up", "--home", str(home.root), *words],
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
            cwd="/",
        )
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        addresses = home.addresses()
        if addresses is not None and addresses.pid == supervisor.pid:
            return addresses
        if supervisor.poll() is not None:
            raise _last_words(log.read_bytes()[begin:].decode(errors="replace"), str(log))
        time.sleep(0.05)
    supervisor.terminate()
    raise Unavailable(
        "Tsavo did not start in time", field="home", found=str(home.root), next_step=f"see {log}"
    )


def _last_words(said: str, log: str) -> Unavailable | Conflict:
    lines = [line for line in said.strip().splitlines() if line.strip()]
    reason = next(
        (line for line in reversed(lines) if line.startswith("tsavo: ")), lines[-1] if lines else ""
    )
    text = reason.removeprefix("tsavo: ")
    # Its own words say the next step already, when they are words of ours.
    return Unavailable(text or "Tsavo did not start", next_step=None if "Next: " in text else f"see {log}")


def stop_running(home: Home) -> Addresses | None:
    """Stop what runs on `home` and wait until it has; ``None`` when nothing runs.

    Raises
    ------
    Unavailable
        When it does not stop in time.
    """
    addresses = home.addresses()
    if addresses is None:
        return None
    os.kill(addresses.pid, signal.SIGTERM)
    deadline = time.monotonic() + _STOP_SECONDS
    while HomeLock(home).held():
        if time.monotonic() > deadline:
            raise Unavailable(
                "Tsavo did not stop in time",
                field="process",
                found=addresses.pid,
                next_step=f"end it with 'kill -9 {addresses.pid}'; no answered decision is lost by that",
            )
        time.sleep(0.05)
    return addresses
