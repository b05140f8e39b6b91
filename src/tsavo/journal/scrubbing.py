"""Records that were let go of, removed from the bytes of a journal's file as well.

SQLite leaves what is deleted where it was until something else comes there. Overwriting it at once would double what
every removal writes; so it is done when somebody asks, after a person was erased.
"""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Final

from tsavo.journal.files import connect, unavailable
from tsavo.journal.reader import Journal
from tsavo.journal.release import released

__all__ = ["scrub"]

_LARGEST: Final = 1 << 30
_PAUSE_SECONDS: Final = 0.05


def scrub(path: Path, *, seconds: float = 30.0) -> bool:
    """Write the file anew, without what was released; ``False`` when a living writer has not removed that in time.

    Appends wait meanwhile, for about a second a GiB; a larger file is left alone, as its records are still needed.

    Raises
    ------
    Unavailable
        The file cannot be read or written.
    """
    deadline = time.monotonic() + seconds
    with Journal(path) as journal:
        upto = released(path, journal.journal_id)
    try:
        connection = connect(path, "FULL")
        try:
            while (connection.execute("SELECT min(seq) FROM records").fetchone()[0] or upto + 1) <= upto:
                if time.monotonic() > deadline:
                    return False
                time.sleep(_PAUSE_SECONDS)
            if path.stat().st_size > _LARGEST:
                return False
            connection.execute("VACUUM")
            while connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                if time.monotonic() > deadline:
                    return False
                time.sleep(_PAUSE_SECONDS)
        finally:
            connection.close()
    except (sqlite3.Error, OSError) as error:
        raise unavailable(path, error) from error
    return True
