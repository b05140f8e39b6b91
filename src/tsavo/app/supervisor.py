"""One supervisor per home: binds the ports, starts the processes, restarts what crashes, stops everything cleanly.

The sockets belong to the supervisor. A gateway that crashes leaves its port open, so callers wait in the
kernel's queue for the restart instead of being refused.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any, Final

import msgspec

from tsavo.app.addresses import target_of, url_of
from tsavo.app.child import child_arguments
from tsavo.app.parts import open_database
from tsavo.app.settings import Settings
from tsavo.registry import migrate
from tsavo.storage import Addresses, Home, HomeLock, write_atomically
from tsavo.vocabulary import Conflict, Unavailable

__all__ = ["Supervisor"]

_START_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 9.0
_FIRST_PAUSE: Final = 0.2
_LONGEST_PAUSE: Final = 10.0
# A process that has answered for this long was healthy: its crash is not taken for one at every start.
_HEALTHY_SECONDS: Final = 0.5
_MOST_LOG_BYTES: Final = 10 * 1024 * 1024
_BACKLOG: Final = 2048


class _Process:
    """A child that is kept running."""

    def __init__(self, name: str, module: str, worker: int, listener: socket.socket | None) -> None:
        self.name = name
        self.module = module
        self.worker = worker
        self.listener = listener
        self.running: subprocess.Popen[bytes] | None = None
        self.ready: int | None = None
        self.ready_since: float | None = None
        self.pause = 0.0
        self.restart_at = 0.0


class Supervisor:
    """Runs a home until told to stop.

    Parameters
    ----------
    say
        Where lines for the person go.
    """

    def __init__(self, home: Home, settings: Settings, say: Callable[[str], None]) -> None:
        self._home = home
        self._settings = settings
        self._say = say
        self._stopping = False
        self._children: list[_Process] = []
        self._held: list[socket.socket] = []
        self._life: tuple[int, int] = (-1, -1)

    def run(self, when_ready: Callable[[Addresses], None]) -> None:
        """Start everything, call `when_ready`, and keep it running until SIGTERM or Ctrl-C.

        Raises
        ------
        Conflict
            When the home or a port is in use.
        Unavailable
            When the home cannot be written or a process does not start.
        """
        self._home.create()
        lock = HomeLock(self._home)
        lock.acquire()
        previous = {number: signal.signal(number, self._stop) for number in (signal.SIGTERM, signal.SIGINT)}
        self._life = os.pipe()
        try:
            self._prepare()
            addresses = self._start()
            if not self._stopping:
                self._home.publish(addresses)
                when_ready(addresses)
            self._watch()
        finally:
            self._home.withdraw()
            self._end()
            for number, handler in previous.items():
                signal.signal(number, handler)
            lock.release()

    def _stop(self, *_: Any) -> None:
        self._stopping = True

    def _prepare(self) -> None:
        settings = self._settings
        gateway = _bind("gateway", settings.gateway.host, settings.gateway.port, "--port")
        console = _bind("console", settings.console.host, settings.console.port, "--console-port")
        grpc_port = settings.gateway.grpc_port
        if grpc_port >= 0:
            held = _hold(settings.gateway.host, grpc_port)
            self._held.append(held)
            grpc_port = held.getsockname()[1]
        self._settings = msgspec.structs.replace(
            settings,
            gateway=msgspec.structs.replace(
                settings.gateway, port=gateway.getsockname()[1], grpc_port=grpc_port
            ),
            console=msgspec.structs.replace(settings.console, port=console.getsockname()[1]),
        )
        write_atomically(self._home.run / "settings.json", msgspec.json.encode(self._settings))
        # Gateway workers that are restarted go on counting in their files; a new start counts from zero.
        shutil.rmtree(self._home.statistics, ignore_errors=True)
        database = open_database(self._home, self._settings)
        try:
            migrate(database)
        finally:
            database.close()
        self._children = [
            *(
                _Process(f"gateway-{worker}", "tsavo.app.gateway_process", worker, gateway)
                for worker in range(settings.gateway.workers)
            ),
            _Process("console", "tsavo.app.console_process", 0, console),
            _Process("keeper", "tsavo.app.keeper_process", 0, None),
        ]

    def _start(self) -> Addresses:
        for child in self._children:
            self._launch(child)
        deadline = time.monotonic() + _START_SECONDS
        for child in self._children:
            self._await_ready(child, deadline)
        gateway = self._settings.gateway
        return Addresses(
            pid=os.getpid(),
            gateway=url_of(gateway.host, gateway.port),
            console=url_of(self._settings.console.host, self._settings.console.port),
            grpc=target_of(gateway.host, gateway.grpc_port) if gateway.grpc_port >= 0 else None,
        )

    def _launch(self, child: _Process) -> None:
        read, write = os.pipe()
        listen = None if child.listener is None else child.listener.fileno()
        words = child_arguments(
            self._home, worker=child.worker, listen=listen, ready=write, life=self._life[0]
        )
        log = _open_log(self._home, child.name)
        passed = [write, self._life[0], *([] if listen is None else [listen])]
        child.running = subprocess.Popen(
            [sys.executable, "-m", child.module, *words],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=passed,
            # Ctrl-C reaches the supervisor alone, which then stops the children in order.
            start_new_session=True,
        )
        os.close(log)
        os.close(write)
        if child.ready is not None:
            os.close(child.ready)
        child.ready = read
        child.ready_since = None

    def _await_ready(self, child: _Process, deadline: float) -> None:
        assert child.running is not None  # noqa: S101 -- it was just launched
        while not self._stopping and not _is_ready(child):
            if child.running.poll() is not None or time.monotonic() > deadline:
                raise Unavailable(
                    f"the {child.name} process did not start",
                    field=child.name,
                    found=_last_words(self._home, child.name),
                    next_step=f"see {self._home.logs / (child.name + '.log')}, and run 'tsavo doctor'",
                )
            time.sleep(0.01)

    def _watch(self) -> None:
        while not self._stopping:
            for child in self._children:
                self._look_after(child)
            time.sleep(0.05)

    def _look_after(self, child: _Process) -> None:
        now = time.monotonic()
        if child.running is not None:
            _is_ready(child)
            if child.running.poll() is None:
                return
            healthy = child.ready_since is not None and now - child.ready_since > _HEALTHY_SECONDS
            child.pause = 0.0 if healthy else min(max(child.pause * 2, _FIRST_PAUSE), _LONGEST_PAUSE)
            child.restart_at = now + child.pause
            self._say(f"{child.name} ended with {_how(child.running.returncode)}; it is restarted")
            child.running = None
        if now >= child.restart_at:
            self._launch(child)

    def _end(self) -> None:
        running = [child.running for child in self._children if child.running is not None]
        for process in running:
            process.terminate()
        deadline = time.monotonic() + _STOP_SECONDS
        for process in running:
            try:
                process.wait(max(0.05, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for child in self._children:
            if child.ready is not None:
                os.close(child.ready)
            if child.listener is not None:
                child.listener.close()
        for held in self._held:
            held.close()
        for end in self._life:
            if end >= 0:
                os.close(end)


def _is_ready(child: _Process) -> bool:
    """Whether the child has said that it answers; it says so once, by a byte."""
    if child.ready_since is None and child.ready is not None:
        os.set_blocking(child.ready, False)
        try:
            if os.read(child.ready, 1):
                child.ready_since = time.monotonic()
        except BlockingIOError:
            pass
    return child.ready_since is not None


def _bind(what: str, host: str, port: int, option: str) -> socket.socket:
    listener = _socket_for(host)
    try:
        listener.bind((host, port))
        listener.listen(_BACKLOG)
    except OSError as error:
        listener.close()
        raise Conflict(
            f"the {what} cannot listen on this port",
            field=f"{what}.port",
            found=f"{host}:{port} ({error.strerror})",
            expected="a free port",
            next_step=f"choose another one with {option} N (0 takes any free one)",
        ) from error
    return listener


def _hold(host: str, port: int) -> socket.socket:
    """Take the port for our processes, which listen on it themselves: gRPC takes no socket from us.

    Bound alone, and shared only then: two supervisors, or another program, cannot share a port unawares.
    """
    held = _socket_for(host)
    try:
        held.bind((host, port))
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    except OSError as error:
        held.close()
        raise Conflict(
            "the gateway cannot answer gRPC on this port",
            field="gateway.grpc_port",
            found=f"{host}:{port} ({error.strerror})",
            expected="a free port",
            next_step="choose another one with --grpc-port N (0 takes any free one, -1 leaves gRPC off)",
        ) from error
    return held


def _socket_for(host: str) -> socket.socket:
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    return made


def _open_log(home: Home, name: str) -> int:
    path = home.logs / f"{name}.log"
    if path.exists() and path.stat().st_size > _MOST_LOG_BYTES:
        path.replace(home.logs / f"{name}.log.1")
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def _last_words(home: Home, name: str) -> str:
    try:
        lines = (home.logs / f"{name}.log").read_text(errors="replace").strip().splitlines()
    except OSError:
        return "nothing"
    return lines[-1][:300] if lines else "nothing"


def _how(code: int) -> str:
    return f"exit code {code}" if code >= 0 else f"signal {signal.Signals(-code).name}"
