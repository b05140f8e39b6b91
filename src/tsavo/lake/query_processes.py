"""Runs strangers' queries in processes of their own, each killed when its time is over or nobody waits for it.

What comes back is rows, or why there are none: whatever happens to a query's process, whoever asked gets an answer.
From the second query on a process stands ready for the next, so that nobody waits for one to start.
"""

from __future__ import annotations

import atexit
import contextlib
import socket
import subprocess
import sys
import threading
from abc import ABC, abstractmethod
from functools import cache
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

from tsavo.lake import query_process
from tsavo.lake.query_process import Place
from tsavo.runtimes.copies import KILL
from tsavo.runtimes.starting import ForkServer, ServerGone, clean_environment, exit_code
from tsavo.vocabulary import Unavailable

__all__ = ["QueryProcess", "QueryProcesses", "processes"]

_PROGRAM: Final = str(Path(query_process.__file__).resolve())
_IDLE_SECONDS: Final = 600.0
_NOWHERE: Final = "/nonexistent"
# How long the end of a process that has closed its socket may take to be told.
_END_SECONDS: Final = 5.0


_Identity: TypeAlias = "tuple[int, int] | None"


class QueryProcess(ABC):
    """A process that takes one order.

    Parameters
    ----------
    folder
        What it may read.
    identity
        Of that folder, from before the process was begun: one that came later it has not entered.
    results
        Where it takes the order, and answers.
    """

    def __init__(self, folder: str, identity: _Identity, results: socket.socket) -> None:
        self.results = results
        self._folder, self._identity = folder, identity

    def may_read(self, folder: str | None) -> bool:
        """Whether it was started for this folder, and not for one that was there before; ``None``: for any."""
        return folder is None or (folder == self._folder and _identity(folder) == self._identity is not None)

    def stop(self) -> None:
        """Kill it, from any thread; whoever reads its answer meets the end of it at once."""
        self._kill()
        with contextlib.suppress(OSError):
            self.results.shutdown(socket.SHUT_RDWR)

    def is_waiting(self) -> bool:
        """Whether it is still there and has said nothing."""
        try:
            self.results.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def close(self) -> None:
        """Kill it if it still works; no other thread may use it any more."""
        self.stop()
        self.results.close()

    @abstractmethod
    def code(self) -> int | None:
        """The code with which it ended, the negative number of a signal; ``None`` when it does not tell."""

    @abstractmethod
    def _kill(self) -> None:
        """End it."""


def _identity(folder: str) -> _Identity:
    try:
        found = Path(folder).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


class _Copy(QueryProcess):
    """A copy of the warm process, which ends it when `state` says so or closes."""

    def __init__(
        self, folder: str, identity: _Identity, results: socket.socket, state: socket.socket
    ) -> None:
        super().__init__(folder, identity, results)
        self._state = state

    def code(self) -> int | None:
        self._state.settimeout(_END_SECONDS)
        try:
            return exit_code(self._state)
        except OSError:
            return None

    def close(self) -> None:
        super().close()
        self._state.close()

    def _kill(self) -> None:
        with contextlib.suppress(OSError):
            self._state.send(KILL)


class _Fresh(QueryProcess):
    """A process that was started for one query."""

    def __init__(
        self, folder: str, identity: _Identity, results: socket.socket, theirs: socket.socket
    ) -> None:
        super().__init__(folder, identity, results)
        self._process = subprocess.Popen(
            [sys.executable, "-P", _PROGRAM, str(theirs.fileno()), "0", folder],
            cwd="/",
            env=clean_environment(Path("/nonexistent")),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )

    def code(self) -> int | None:
        try:
            return self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            return None

    def close(self) -> None:
        super().close()
        self._process.wait()

    def _kill(self) -> None:
        self._process.kill()


class QueryProcesses:
    """Copies of one warm process, which is started when it is first needed."""

    def __init__(self, user: int | None = None, group: int | None = None) -> None:
        self._server = ForkServer(_IDLE_SECONDS, (_PROGRAM,), user, group)
        self._lock = threading.Lock()
        self._spare: QueryProcess | None = None
        self._taken = 0
        self._closed = False
        atexit.register(self.close)

    def warm(self) -> None:
        """Start the warm process if it does not run; does not wait for it."""
        # Where it cannot be started, the question that needs it says so.
        with contextlib.suppress(OSError):
            self._server.warm()

    def take(self, folder: str | None) -> QueryProcess:
        """A process that may read `folder`; ``None``: nothing has to be read."""
        with self._lock:
            self._taken += 1
            spare, self._spare = self._spare, None
        if spare is not None:
            if spare.may_read(folder) and spare.is_waiting():
                return spare
            spare.close()
        return self.begun(folder or _NOWHERE)

    def prepare(self, folder: str) -> None:
        """Have a process ready for the next query, if there was one before this; does not wait for it."""
        if self._taken > 1 and self._spare is None:
            threading.Thread(target=self._prepare, args=(folder,), daemon=True).start()

    def _prepare(self, folder: str) -> None:
        with self._lock, contextlib.suppress(OSError, Unavailable):
            if self._spare is None and not self._closed:
                self._spare = self.begun(folder)

    def begun(self, folder: str) -> QueryProcess:
        """A new process; raise `Unavailable` when none can be started."""
        identity = _identity(folder)
        ours, theirs = socket.socketpair()
        with theirs, contextlib.ExitStack() as held:
            held.enter_context(ours)
            try:
                state = self._server.begun(msgspec.json.encode(Place(folder)), [theirs.fileno()])
                process: QueryProcess = _Copy(folder, identity, ours, state)
            except ServerGone:
                process = _Fresh(folder, identity, ours, theirs)
            except OSError as error:
                raise _not_started(folder, error) from error
            held.pop_all()
        return process

    def close(self) -> None:
        """End all; none can be had any more."""
        with self._lock:
            self._closed = True
            spare, self._spare = self._spare, None
        if spare is not None:
            spare.close()
        self._server.close()
        atexit.unregister(self.close)


def _not_started(folder: str, error: OSError) -> Unavailable:
    return Unavailable(
        "the process that would run the query cannot be started",
        field="query",
        found=error.strerror or str(error),
        expected=f"a Python installation that the owner of {folder} may use",
        next_step="ask as that user",
    )


@cache
def processes(user: int | None = None, group: int | None = None) -> QueryProcesses:
    """Those of this process that run as `user`; by default as this one does."""
    return QueryProcesses(user, group)
