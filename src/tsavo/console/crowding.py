"""How many heavy requests run at once: a queue that ends in a clear refusal, not in a machine out of memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from tsavo.vocabulary import Overloaded

__all__ = ["QUERIES", "REGISTRATIONS", "Turnstile"]


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


# A query may take 2 GiB and all cores; a registration starts worker processes with model libraries in them.
QUERIES = Turnstile("queries", most=4, patience=5.0)
REGISTRATIONS = Turnstile("registrations", most=2, patience=30.0)
