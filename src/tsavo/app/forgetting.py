"""What the keeper does about erased subjects, and about keys that nobody uses."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
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
# Longer than any process keeps keys in stock, by far.
_UNUSED_NANOSECONDS: Final = 30 * 24 * 3600 * 1_000_000_000


class Forgetter:
    """Finishes erasures in the keeper's rounds."""

    def __init__(self, home: Home, parts: Parts) -> None:
        self._home = home
        self._parts = parts
        self._looked = 0.0
        self._failing = False

    def round(self) -> None:
        """Finish what is pending; looks once a second, and not at all where nothing personal was ever recorded."""
        if not self._home.keys.exists() or time.monotonic() - self._looked < _LOOK_SECONDS:
            return
        try:
            finished = finish(self._home, self._parts)
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

    def drop_unused_keys(self) -> None:
        """Remove keys that were made ahead and never used, once no record can name them any more."""
        keys = self._parts.control.keys
        if keys is None or not keys.exists() or any(one["rows"] for one in self._parts.lake.backlog()):
            return
        dropped = keys.open().drop_unused(self._parts.clock.nanoseconds() - _UNUSED_NANOSECONDS)
        if dropped:
            _LOG.info("%d keys that nobody had used were removed", dropped)


def finish(home: Home, parts: Parts) -> list[Erasure]:
    """Finish the erasures of a home that are pending; nobody else may be writing to its lake."""

    def backups(pseudonym: str, ids: Sequence[bytes], files: Sequence[str]) -> BackupsErased:
        return erase_in_backups(known_folders(home), {pseudonym: ids}, files, parts.clock.now())

    def clean() -> None:
        for path in journals(home.journal):
            if not scrub(path):
                _LOG.warning("%s still holds bytes of what was deleted", path)
        parts.database.scrub()

    return finish_erasures(parts.control, parts.lake, backups=backups, scrub=clean)
