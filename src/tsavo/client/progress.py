"""Tells what the console does while a registration goes on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from tsavo.client.transport import Transport
from tsavo.vocabulary import TsavoError

__all__ = ["told_meanwhile"]

_LOOK_SECONDS: Final = 0.3


@contextmanager
def told_meanwhile(url: str, ticket: str, progress: Callable[[str], None] | None) -> Iterator[None]:
    """Until the block ends, hand what is said under `ticket` to `progress`, in a thread of its own."""
    if progress is None:
        yield
        return
    over = threading.Event()
    teller = threading.Thread(target=_tell, args=(url, ticket, progress, over), daemon=True)
    teller.start()
    try:
        yield
    finally:
        over.set()
        teller.join()


def _tell(url: str, ticket: str, progress: Callable[[str], None], over: threading.Event) -> None:
    told = 0
    with Transport(url) as console:
        while not over.wait(_LOOK_SECONDS):
            try:
                lines: list[str] = console.get(f"/api/registrations/{ticket}", list[str])
            except TsavoError:
                # It is told for comfort alone; what matters comes with the registration's own answer.
                return
            for line in lines[told:]:
                progress(line)
            told = max(told, len(lines))
