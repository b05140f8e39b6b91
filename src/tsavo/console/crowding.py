"""How many heavy requests run at once: queues that end in a clear refusal, not in a machine out of memory."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Final, TypeVar

from tsavo.vocabulary import Overloaded

__all__ = ["QUERIES", "REGISTRATIONS", "Line", "Turnstile"]

T = TypeVar("T")

_A_REGISTRATION: Final = 2 << 30


class Turnstile:
    """Lets `most` in at once; the others wait `patience` seconds at the most.

    >>> door = Turnstile("queries", most=1, patience=0.0)
    >>> with door.turn(), door.turn():
    ...     pass
    Traceback (most recent call last):
    tsavo.vocabulary.errors.Overloaded: too many queries at once (expected: at most 1). Next: try again in 5 seconds
    """

    def __init__(self, what: str, *, most: int, patience: float) -> None:
        self._what, self._most, self._patience = what, most, patience
        self._places = threading.BoundedSemaphore(most)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Be in until the block ends; raise `Overloaded` when there was no place in time."""
        if not self._places.acquire(timeout=self._patience):
            raise Overloaded(
                f"too many {self._what} at once",
                expected=f"at most {self._most}",
                next_step="try again in 5 seconds",
                retry_after=5,
            )
        try:
            yield
        finally:
            self._places.release()


class Line:
    """Runs long work in `most` threads of its own; what waits for one holds no thread, and no more than `waiting` may.

    Parameters
    ----------
    what
        What waits, for the refusal.
    """

    def __init__(self, what: str, *, most: int, waiting: int) -> None:
        self._what, self._waiting = what, waiting
        self.most = most
        self._threads = ThreadPoolExecutor(most, thread_name_prefix=what)
        self._inside = 0

    async def run(self, work: Callable[[], T]) -> T:
        """What `work` returns; raise `Overloaded` when the line is full. Called on the event loop."""
        if self._inside >= self._waiting:
            raise Overloaded(
                f"too many {self._what} wait",
                expected=f"at most {self._waiting}",
                next_step="try again in a minute",
                retry_after=60,
            )
        self._inside += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        finally:
            self._inside -= 1


def _registrations_at_once() -> int:
    """As many as there are processors, and no more than there is memory for; two at least."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return max(2, min(8, os.cpu_count() or 2, memory // _A_REGISTRATION))


# A query may take 2 GiB and all cores.
QUERIES = Turnstile("queries", most=4, patience=5.0)
# A registration keeps a processor busy, and a worker process with model libraries in it.
REGISTRATIONS = Line("registrations", most=_registrations_at_once(), waiting=1_000)
