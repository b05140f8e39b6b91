"""What the keeper does about erased subjects."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Final

from tsavo.actions import BackupsErased, finish_erasures
from tsavo.app.backups import erase_in_backups, known_folders
from tsavo.app.parts import Parts
from tsavo.journal import journals, scrub
from tsavo.storage import Home
from tsavo.vocabulary import Erasure

__all__ = ["Forgetter", "finish"]

_LOG: Final = logging.getLogger("tsavo.keeper")
_LOOK_SECONDS: Final = 1.0


class Forgetter:
    """Finishes erasures in the keeper's rounds."""

    def __init__(self, home: Home, parts: Parts, ship: Callable[[], None]) -> None:
        self._home = home
        self._parts = parts
        self._ship = ship
        self._looked = 0.0
        self._failing = False

    def round(self) -> None:
        """Finish what is pending; looks once a second, and not at all where nothing personal was ever recorded."""
        if not self._home.keys.exists() or time.monotonic() - self._looked < _LOOK_SECONDS:
            return
        try:
            finished = finish(self._home, self._parts, self._ship)
        except (
            Exception
        ) as error:  # decisions go on being shipped and watched, whatever keeps this from being done
            if not self._failing:
                _LOG.exception("an erasure cannot be finished, and is tried again: %s", error)
            self._failing, finished = True, []
        else:
            self._failing = False
        for erasure in finished:
            _LOG.info(
                "the subject %s is erased: %d keys, %d rows in plain text, %d outcomes that waited",
                erasure.subject,
                erasure.keys,
                erasure.rows,
                erasure.waiting,
            )
        self._looked = time.monotonic()


def finish(home: Home, parts: Parts, ship: Callable[[], None]) -> list[Erasure]:
    """Finish the erasures of a home that are pending; nobody else may be writing to its lake.

    Parameters
    ----------
    ship
        Moves all that is in the journals to the lake.
    """

    def backups(pseudonym: str, ids: Sequence[bytes], files: Sequence[str]) -> BackupsErased:
        return erase_in_backups(known_folders(home), {pseudonym: ids}, files, parts.clock.now())

    def clean() -> None:
        for path in journals(home.journal):
            if not scrub(path):
                _LOG.warning("%s still holds bytes of what was deleted", path)
        parts.database.scrub()

    return finish_erasures(parts.control, parts.lake, ship=ship, backups=backups, scrub=clean)
