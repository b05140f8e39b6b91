"""The warm process that workers are copies of: ``python -m tsavo.runtimes.fork_server DESCRIPTOR IDLE_SECONDS``.

It has imported the model libraries, which takes seconds, so that a worker starts in milliseconds. Over a socket it is
told folders; for each it makes a copy of itself, which does the job in that folder (`worker`) and ends. It reads no
byte of a model, answers nothing but exit codes, and ends when the socket closes: with whoever started it.

Where the kernel allows it, it is the first process of a process namespace without a network: nothing that a worker
leaves behind outlives it. Copying is safe because it has one thread; when some library starts another one it says so
and ends, and workers are started afresh instead.
"""

from __future__ import annotations

import contextlib
import gc
import os
import selectors
import signal
import socket
import sys
import tempfile
import time
import traceback
from importlib import import_module
from pathlib import Path
from typing import Final, NoReturn

import msgspec

from tsavo.runtimes import worker
from tsavo.runtimes.confinement.namespaces import (
    adopt_orphans,
    drop_privileges,
    end_with_parent,
    isolate_with_processes,
)
from tsavo.runtimes.orders import ENDED, NOT_SAFE, STARTED, ForkOrder

__all__ = ["main"]

# What nearly every registration needs. The others are imported by the worker that needs them.
_WARM: Final = (
    "numpy",
    "pyarrow.parquet",
    "pyarrow.csv",
    # What these import when they are first used: a third of a simple model's registration, if every copy did it anew.
    "encodings.cp437",
    "pyarrow.dataset",
    "pyarrow.pandas_compat",
    "onnxruntime",
    "onnx",
    "pandas",
    "scipy.sparse",
    "scipy.special",
    "sklearn.compose",
    "sklearn.ensemble",
    "sklearn.linear_model",
    "sklearn.pipeline",
    "sklearn.preprocessing",
    "skl2onnx",
    "skops.io",
    "joblib",
    "cloudpickle",
    "xgboost",
    "lightgbm",
    "tsavo.runtimes.preparing",
    "tsavo.runtimes.compiling",
    "tsavo.runtimes.python_versions",
    "tsavo.runtimes.reference",
    "tsavo.runtimes.onnx_files",
    "tsavo.runtimes.golden",
    "tsavo.formats.compilation",
    "tsavo.formats.estimators",
    "tsavo.formats.sklearn_models",
    "tsavo.formats.thresholds",
)
_LARGEST_ORDER: Final = 64 << 10
_MOST_DESCRIPTORS: Final = 3
_LAST_DESCRIPTOR: Final = 1 << 16


class _Server:
    """Copies itself for each order, and reports how the copies end."""

    def __init__(self, orders: socket.socket, idle_seconds: float) -> None:
        self._orders = orders
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
                else:
                    # Whoever waits for it asks to end it, or is gone, which means the same.
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
        order = msgspec.json.decode(message, type=ForkOrder)
        try:
            pid = os.fork()
        except OSError:
            # The state socket closes unused: the other side goes on without us.
            for descriptor in descriptors:
                os.close(descriptor)
            return True
        if pid == 0:
            _work(order, descriptors)
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


def _work(order: ForkOrder, descriptors: list[int]) -> NoReturn:
    """In the copy: become a worker, and never come back."""
    code = 1
    try:
        end_with_parent()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        os.setsid()
        _keep_descriptors(order, descriptors)
        os.chdir(order.folder)
        os.environ.update(HOME=order.folder, TMPDIR=order.folder)
        tempfile.tempdir = None
        code = worker.main(Path(order.folder))
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


def _keep_descriptors(order: ForkOrder, descriptors: list[int]) -> None:
    """Input from nowhere, output into the pipe, perhaps the other process, and nothing else of the server's."""
    nowhere = os.open(os.devnull, os.O_RDONLY)
    for target, source in ((0, nowhere), (1, descriptors[0]), (2, descriptors[0])):
        os.dup2(source, target)
    if order.remote is None or len(descriptors) < _MOST_DESCRIPTORS:
        os.closerange(3, _LAST_DESCRIPTOR)
        return
    if descriptors[2] != order.remote:
        os.dup2(descriptors[2], order.remote)
    os.closerange(3, order.remote)
    os.closerange(order.remote + 1, _LAST_DESCRIPTOR)


def _warm_up() -> None:
    for name in _WARM:
        # What is not installed is not needed; a library that is broken will say so to the worker.
        with contextlib.suppress(Exception):
            import_module(name)
    with contextlib.suppress(Exception):
        import_module("tsavo.runtimes.preparing").installed_libraries()
    gc.collect()
    # Collecting garbage in a copy would touch, and so copy, all of this.
    gc.freeze()


def _threads() -> int:
    try:
        return len(list(Path("/proc/self/task").iterdir()))
    except OSError:
        return 1


def main(descriptor: int, idle_seconds: float) -> int:
    """Serve the socket `descriptor` until it closes; its exit code."""
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
    _warm_up()
    if _threads() > 1:
        return NOT_SAFE
    with socket.socket(fileno=descriptor) as orders:
        _Server(orders, idle_seconds).serve()
    return 0


if __name__ == "__main__":
    # Without the interpreter's long farewell; copies that are still at work end with it.
    os._exit(main(int(sys.argv[1]), float(sys.argv[2])) & 0xFF)
