"""A warm process that makes a copy of itself for each order, and ends each copy with whoever waits for it.

Over a socket it is told what to do, with descriptors to do it with; it reads nothing else, answers nothing but how
copies ended, and ends when the socket closes: with whoever started it. What a copy does is its program's business.

Where the kernel allows it, it is the first process of a process namespace without a network: nothing that a copy
leaves behind outlives it. Copying is safe because it has one thread; when some library starts another one it says so
and ends.
"""

from __future__ import annotations

import contextlib
import gc
import os
import selectors
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn, TypeAlias

from tsavo.runtimes.confinement.namespaces import (
    adopt_orphans,
    drop_privileges,
    end_with_parent,
    isolate_with_processes,
)

__all__ = ["ENDED", "KILL", "NOT_SAFE", "STARTED", "Work", "serve_copies"]

Work: TypeAlias = Callable[[bytes, list[int]], int]
"""What a copy does with an order and its descriptors, of which the second is for its state; returns an exit code."""

STARTED: Final = b"+"
ENDED: Final = b"="
KILL: Final = b"k"
"""On the socket of one job: the server says that it has begun, and with which code it ended; the other, to end it."""

NOT_SAFE: Final = 3
"""The server's exit code when copies of it would not be safe."""

_LARGEST_ORDER: Final = 64 << 10
_MOST_DESCRIPTORS: Final = 3


def serve_copies(descriptor: int, idle_seconds: float, warm_up: Callable[[], object], work: Work) -> int:
    """Serve the socket `descriptor` until it closes, or nobody wanted anything for so long; returns its exit code.

    Parameters
    ----------
    warm_up
        Imports what copies need; called once, in the process that is copied.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    isolated = isolate_with_processes()
    if isolated:
        first = os.fork()
        if first:
            os.close(descriptor)
            _, status = os.waitpid(first, 0)
            return os.waitstatus_to_exitcode(status)
        end_with_parent()
    drop_privileges()
    adopt_orphans()
    warm_up()
    gc.collect()
    # Collecting garbage in a copy would touch, and so copy, all of this.
    gc.freeze()
    if _threads() > 1:
        return NOT_SAFE
    with socket.socket(fileno=descriptor) as orders:
        _Server(orders, idle_seconds, work).serve()
    return 0


def _threads() -> int:
    try:
        return len(list(Path("/proc/self/task").iterdir()))
    except OSError:
        return 1


class _Server:
    """Copies itself for each order, and reports how the copies end."""

    def __init__(self, orders: socket.socket, idle_seconds: float, work: Work) -> None:
        self._orders = orders
        self._work = work
        self._idle_seconds = idle_seconds
        self._jobs: dict[int, socket.socket] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(orders, selectors.EVENT_READ)
        self._ends, self._on_end = _pipe_of_ends()
        self._selector.register(self._ends, selectors.EVENT_READ)

    def serve(self) -> None:
        """Until nobody wants anything for a while, or the other side is gone."""
        try:
            self._serve()
        finally:
            for pid in self._jobs:
                _kill_group(pid)

    def _serve(self) -> None:
        while events := self._wait():
            for key, _ in events:
                if key.fileobj is self._orders:
                    if not self._take():
                        return
                elif key.fd == self._ends:
                    os.read(self._ends, 4096)
                    self._reap()
                elif self._jobs.get(key.data) is key.fileobj:
                    # Whoever waits for it asks to end it, or is gone, which means the same. It may have ended, and
                    # have been reaped, since this was heard.
                    _kill_group(key.data)
                    self._selector.unregister(key.fileobj)

    def _wait(self) -> list[tuple[selectors.SelectorKey, int]]:
        while True:
            until = time.monotonic() + self._idle_seconds
            found = self._selector.select(None if self._jobs else self._idle_seconds)
            if found or (not self._jobs and time.monotonic() >= until):
                return found

    def _take(self) -> bool:
        """Start the next job; ``False`` when the other side is gone."""
        try:
            message, descriptors, _, _ = socket.recv_fds(self._orders, _LARGEST_ORDER, _MOST_DESCRIPTORS)
        except OSError:
            return False
        if not message:
            return False
        try:
            pid = os.fork()
        except OSError:
            # The state socket closes unused: the other side goes on without us.
            for descriptor in descriptors:
                os.close(descriptor)
            return True
        if pid == 0:
            _become(self._work, message, descriptors)
        state = socket.socket(fileno=descriptors[1])
        for descriptor in (descriptors[0], *descriptors[2:]):
            os.close(descriptor)
        self._jobs[pid] = state
        self._selector.register(state, selectors.EVENT_READ, pid)
        with contextlib.suppress(OSError):
            state.send(STARTED)
        return True

    def _reap(self) -> None:
        while True:
            try:
                ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                return
            if ended is None:
                return
            # Its number is its own until it is reaped: what it started ends first.
            if ended.si_pid in self._jobs:
                _kill_group(ended.si_pid)
            _, status = os.waitpid(ended.si_pid, 0)
            state = self._jobs.pop(ended.si_pid, None)
            if state is None:
                continue
            with contextlib.suppress(KeyError):
                self._selector.unregister(state)
            with state, contextlib.suppress(OSError):
                state.send(ENDED + str(os.waitstatus_to_exitcode(status)).encode())


def _pipe_of_ends() -> tuple[int, int]:
    """A pipe that becomes readable when a child has ended."""
    reading, writing = os.pipe()
    for end in (reading, writing):
        os.set_blocking(end, False)
    signal.signal(signal.SIGCHLD, lambda number, frame: None)
    signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    return reading, writing


def _kill_group(pid: int) -> None:
    for kill in (os.killpg, os.kill):
        # The copy may not lead a group yet.
        with contextlib.suppress(OSError):
            kill(pid, signal.SIGKILL)


def _become(work: Work, message: bytes, descriptors: list[int]) -> NoReturn:
    """In the copy: do the work, and never come back."""
    code = 1
    try:
        end_with_parent()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        code = work(message, descriptors)
    except SystemExit as end:
        # As the interpreter does: text is for people and means failure.
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
    except BaseException:  # a model ends its process in any way it likes
        with contextlib.suppress(BaseException):
            traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(BaseException):
                stream.flush()
        os._exit(code & 0xFF)
