"""Starts workers: copies of the warm fork server where that is safe, fresh processes elsewhere."""

from __future__ import annotations

import atexit
import contextlib
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Final

import msgspec

import tsavo
from tsavo.runtimes.confinement import QUIET
from tsavo.runtimes.copies import ENDED, KILL, NOT_SAFE, STARTED
from tsavo.runtimes.orders import ForkOrder

__all__ = [
    "FORK_SERVER",
    "Ended",
    "ForkServer",
    "ServerGone",
    "clean_environment",
    "exit_code",
    "run_worker",
]

_KEPT_VARIABLES: Final = ("PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "LD_LIBRARY_PATH")
_TAIL_BYTES: Final = 8192
# How long to wait for the last words once the worker has ended; they are in the pipe already.
_LISTEN_SECONDS: Final = 1.0
# How long the server may take to import everything, and to report the end of a worker that it was told to kill.
_WARM_SECONDS: Final = 120.0
_KILL_SECONDS: Final = 10.0
_IDLE_SECONDS: Final = 600.0
_PROGRAM: Final = ("-m", "tsavo.runtimes.fork_server")


class Ended(msgspec.Struct, frozen=True):
    """How a worker ended.

    Attributes
    ----------
    code
        Its exit code, the negative number of the signal that killed it, or ``None`` when its time was over.
    words
        The last of what it printed.
    """

    code: int | None
    words: str


class ServerGone(Exception):
    """There is no fork server to be had."""


class ForkServer:
    """The fork server as its users see it: started when it is first needed, and again after it has ended.

    Parameters
    ----------
    idle_seconds
        It ends when nobody wanted anything for so long.
    program
        What Python runs: a program that serves copies of itself (`copies.serve_copies`).
    user, group
        Whom it runs as; by default as whoever starts it.
    """

    def __init__(
        self,
        idle_seconds: float = _IDLE_SECONDS,
        program: Sequence[str] = _PROGRAM,
        user: int | None = None,
        group: int | None = None,
    ) -> None:
        self._idle_seconds = idle_seconds
        self._program = tuple(program)
        self._user, self._group = user, group
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._orders: socket.socket | None = None
        self._safe = sys.platform == "linux"

    def warm(self) -> bool:
        """Start it if it does not run; whether it may be used. Does not wait until it has imported everything."""
        with self._lock:
            return self._running() is not None

    def run(self, folder: Path, wall_seconds: float, output: int, remote: int | None) -> int | None:
        """Have a copy do the job in `folder`; see `Ended.code`.

        Raises
        ------
        ServerGone
            When there is no server to be had; then nothing was done in the folder.
        """
        order = ForkOrder(str(folder), remote)
        with self.begun(msgspec.json.encode(order), [output, *_some(remote)]) as state:
            state.settimeout(wall_seconds)
            try:
                return exit_code(state)
            except TimeoutError:
                state.settimeout(_KILL_SECONDS)
                with contextlib.suppress(OSError):
                    state.send(KILL)
                    exit_code(state)
                return None

    def begun(self, order: bytes, descriptors: Sequence[int]) -> socket.socket:
        """Have a copy begin `order` with these descriptors, and one for its state after the first.

        Returns
        -------
        socket.socket
            Closing it, or sending `KILL`, ends the copy; `exit_code` waits for its end.

        Raises
        ------
        ServerGone
            When there is no server to be had; then nothing was done.
        """
        # It may end for want of work at the very moment: then the next one does it.
        for _ in range(2):
            state, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with contextlib.ExitStack() as held:
                held.enter_context(state)
                with theirs:
                    self._send(order, [descriptors[0], theirs.fileno(), *descriptors[1:]])
                state.settimeout(_WARM_SECONDS)
                with contextlib.suppress(OSError):
                    if state.recv(16) == STARTED:
                        held.pop_all()
                        return state
        raise ServerGone

    def close(self) -> None:
        """End it, and all workers with it."""
        with self._lock:
            self._end()

    def _send(self, order: bytes, descriptors: list[int]) -> None:
        for _ in range(2):
            with self._lock:
                orders = self._running()
                if orders is None:
                    break
                try:
                    socket.send_fds(orders, [order], descriptors)
                    return
                except OSError:
                    # It had nothing to do for long enough, or died.
                    self._end()
        raise ServerGone

    def _running(self) -> socket.socket | None:
        if not self._safe:
            return None
        if self._process is not None and (code := self._process.poll()) is not None:
            self._end()
            if code == NOT_SAFE:
                self._safe = False
                return None
        if self._process is None:
            self._start()
        return self._orders

    def _start(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, contextlib.ExitStack() as held:
            held.enter_context(ours)
            self._process = subprocess.Popen(
                [sys.executable, "-P", *self._program, str(theirs.fileno()), str(self._idle_seconds)],
                cwd="/",
                env=clean_environment(Path("/nonexistent")),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
                user=self._user,
                group=self._group,
                # Its groups are not those of whoever starts it, either.
                extra_groups=None if self._user is None else [],
            )
            held.pop_all()
        self._orders = ours
        atexit.register(self.close)

    def _end(self) -> None:
        atexit.unregister(self.close)
        if self._orders is not None:
            self._orders.close()
        if self._process is not None:
            try:
                self._process.wait(_LISTEN_SECONDS)
            except subprocess.TimeoutExpired:
                # It is busy with imports, and hears nothing.
                _kill_group(self._process.pid)
                self._process.wait()
        self._process = self._orders = None


def exit_code(state: socket.socket) -> int:
    """The code with which a copy ended; raise `TimeoutError` when it did not in time."""
    words = state.recv(64)
    # Nothing at all: the server died, and its copies with it.
    return int(words.removeprefix(ENDED)) if words else -signal.SIGKILL


FORK_SERVER: Final = ForkServer()
"""The one of this process."""


def clean_environment(folder: Path) -> dict[str, str]:
    """An allow-list: nothing of our environment that is not on it reaches a worker."""
    kept = {name: os.environ[name] for name in _KEPT_VARIABLES if name in os.environ}
    return {
        **kept,
        **QUIET,
        "HOME": str(folder),
        "TMPDIR": str(folder),
        # Libraries ask who runs them, and a worker cannot look that up.
        "LOGNAME": "tsavo",
        "PYTHONPATH": str(Path(tsavo.__path__[0]).resolve().parent),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
    }


def run_worker(
    folder: Path, wall_seconds: float, remote: int | None = None, *, server: ForkServer = FORK_SERVER
) -> Ended:
    """Have a worker do the job in `folder`, and wait for its end; whatever it started ends with it.

    Parameters
    ----------
    remote
        A descriptor that it gets under the same number.
    """
    reading, writing = os.pipe()
    tail: deque[bytes] = deque(maxlen=2)
    listener = threading.Thread(target=_listen, args=(os.fdopen(reading, "rb"), tail), daemon=True)
    listener.start()
    try:
        code = _run(folder, wall_seconds, writing, remote, server)
    finally:
        os.close(writing)
        listener.join(timeout=_LISTEN_SECONDS)
    return Ended(code, b"".join(tail)[-_TAIL_BYTES:].decode(errors="replace"))


def _run(
    folder: Path, wall_seconds: float, output: int, remote: int | None, server: ForkServer
) -> int | None:
    try:
        return server.run(folder, wall_seconds, output, remote)
    except ServerGone:
        return _run_afresh(folder, wall_seconds, output, remote)


def _run_afresh(folder: Path, wall_seconds: float, output: int, remote: int | None) -> int | None:
    process = subprocess.Popen(
        # -P: the job folder is not a place to import from.
        [sys.executable, "-P", "-m", "tsavo.runtimes.worker", str(folder)],
        cwd=folder,
        env=clean_environment(folder),
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        pass_fds=_some(remote),
        start_new_session=True,
    )
    try:
        in_time = _has_ended(process, wall_seconds)
    finally:
        # Also after a good end: whatever it started ends with it.
        _kill_group(process.pid)
        process.wait()
    return process.returncode if in_time else None


def _has_ended(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Wait for a process without reaping it: until then its number, and so its group's, is not another's."""
    if not hasattr(os, "pidfd_open"):
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True
    descriptor = os.pidfd_open(process.pid)
    try:
        waiting = select.poll()
        waiting.register(descriptor, select.POLLIN)
        return bool(waiting.poll(seconds * 1000))
    finally:
        os.close(descriptor)


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _listen(pipe: IO[bytes], tail: deque[bytes]) -> None:
    """Keep reading, so that a talkative worker does not block; keep only the end of it.

    The pipe belongs to this thread: a process that left the worker's group may hold the other end open for as long
    as it likes, and nobody else must wait for that.
    """
    with pipe:
        while chunk := pipe.read1(_TAIL_BYTES):  # type: ignore[attr-defined]
            tail.append(chunk)


def _some(remote: int | None) -> list[int]:
    return [] if remote is None else [remote]
