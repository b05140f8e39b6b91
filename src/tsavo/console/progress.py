"""What is said while a registration goes on, for whoever asks meanwhile: some take minutes."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

__all__ = ["PROGRESS", "Progress"]

_LINES: Final = 200
_TICKETS: Final = 1_000


class Progress:
    """Lines by ticket; a ticket is a word of the caller's own. Bounded, and gone with its registration.

    >>> progress = Progress()
    >>> with progress.of("a") as say:
    ...     say("resolving")
    ...     progress.lines("a")
    ['resolving']
    >>> progress.lines("a")
    []
    """

    def __init__(self) -> None:
        self._lines: OrderedDict[str, deque[str]] = OrderedDict()
        self._lock = threading.Lock()

    @contextmanager
    def of(self, ticket: str | None) -> Iterator[Callable[[str], None]]:
        """A way to say something under `ticket`; without one nobody listens."""
        if ticket is None:
            yield lambda line: None
            return
        lines: deque[str] = deque(maxlen=_LINES)
        with self._lock:
            self._lines[ticket] = lines
            while len(self._lines) > _TICKETS:
                self._lines.popitem(last=False)
        try:
            yield lines.append
        finally:
            with self._lock:
                if self._lines.get(ticket) is lines:
                    del self._lines[ticket]

    def lines(self, ticket: str) -> list[str]:
        """What was said so far; empty when there is no such registration now."""
        with self._lock:
            return list(self._lines.get(ticket, ()))


PROGRESS = Progress()
