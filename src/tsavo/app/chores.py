"""Work beside the keeper's loop, each in a thread of its own: a slow query must not hold up shipping."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from tsavo.actions import join_waiting, run_due_exports
from tsavo.app.parts import Parts
from tsavo.journal import JournalWriter

__all__ = ["Chore", "exports", "joining"]

_LOG: Final = logging.getLogger("tsavo.keeper")
_EXPORT_SECONDS: Final = 1.0
_JOIN_SECONDS: Final = 5.0


class Chore:
    """Does something again and again until it is stopped; a failure is told once, and tried again.

    Parameters
    ----------
    name
        For the log.
    pause_seconds
        Between two rounds.
    """

    def __init__(self, name: str, work: Callable[[], None], *, pause_seconds: float) -> None:
        self._name, self._work, self._pause = name, work, pause_seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self, seconds: float = 5.0) -> None:
        """Stop after the present round, or leave it alone after so many seconds: each can be cut short anywhere."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(seconds)

    def _run(self) -> None:
        failing = False
        while not self._stop.wait(self._pause):
            try:
                self._work()
            except Exception as error:  # a locked database must not end the thread
                if not failing:
                    _LOG.exception("%s failed: %s", self._name, error)
                failing = True
            else:
                failing = False


def exports(parts: Parts, root: Path) -> Chore:
    """Writes scheduled exports into the folder `root` when their time has come."""

    def work() -> None:
        for export in run_due_exports(parts.control, parts.lake, root, most=1):
            if export.last is not None and export.last.error:
                _LOG.error("the export %s was not written: %s", export.name, export.last.error)

    return Chore("scheduled exports", work, pause_seconds=_EXPORT_SECONDS)


def joining(parts: Parts, open_journal: Callable[[], JournalWriter]) -> Chore:
    """Gives outcomes that wait to the decisions that have come.

    Parameters
    ----------
    open_journal
        The keeper's own journal; it is opened when there is something to keep, and mostly there is not.
    """

    def work() -> None:
        with ExitStack() as opened:
            writer: JournalWriter | None = None

            def append(payload: bytes) -> None:
                nonlocal writer
                if writer is None:
                    writer = open_journal()
                    opened.callback(writer.close)
                writer.append_blocking(payload)

            if joined := join_waiting(parts.control, parts.lake, append):
                _LOG.info("%d outcomes that waited have found their decisions", joined)

    return Chore("the joining of outcomes", work, pause_seconds=_JOIN_SECONDS)
