"""Replies that are kept beside the records, so that a request that is sent again is not decided again.

A reply is committed in the transaction of the records that it tells of: it is there exactly when they are. Readers of
records never see it. Any process finds it by its key in the files of all writers, as long as its time is within a
window that the reader chooses; the writer removes what is older than its own window, and the oldest where they take
more bytes than they may.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from tsavo.journal.files import SUFFIX, folders, unreadable

__all__ = ["Aging", "KeptReplies", "KeptReply", "insert_replies"]

# Rows in one INSERT.
_ROWS_A_STATEMENT: Final = 64
# What a reply takes beside its own bytes: key, digest, time and its place in two trees.
_OVERHEAD: Final = 120
# Removing so many takes about a millisecond, for which the next group waits.
_REMOVED_AT_ONCE: Final = 128
_BUSY_SECONDS: Final = 10.0
_KEYS_A_STATEMENT: Final = 64
# SQLite attaches ten at most.
_FILES_A_CONNECTION: Final = 8
# Two changes of a folder within this time may bear the same time.
_SETTLES_NANOSECONDS: Final = 100_000_000


class KeptReply(NamedTuple):
    """What was answered to a request with a key.

    Attributes
    ----------
    key
        Of the request; a later reply under the same key replaces it.
    time
        Nanoseconds since 1970 UTC.
    digest
        Of the request, by which the same request is told from another one with its key.
    reply
        What goes back; its meaning is not known here.
    """

    key: bytes
    time: int
    digest: bytes
    reply: bytes


def insert_replies(connection: sqlite3.Connection, replies: Sequence[KeptReply], total: int) -> int:
    """Keep them, within the caller's transaction.

    Parameters
    ----------
    total
        Of the newest reply before them.

    Returns
    -------
    int
        The new total.
    """
    for start in range(0, len(replies), _ROWS_A_STATEMENT):
        part = replies[start : start + _ROWS_A_STATEMENT]
        values: list[bytes | int] = []
        for reply in part:
            total += len(reply.reply) + _OVERHEAD
            values += (reply.key, reply.time, reply.digest, total, reply.reply)
        marks = ",".join(["(?,?,?,?,?)"] * len(part))
        connection.execute(
            f"INSERT OR REPLACE INTO replies (key, time, digest, total, reply) VALUES {marks}",  # noqa: S608
            values,
        )
    return total


class Aging:
    """Removes from one file what is too old or too much; belongs to the thread that writes the file.

    Parameters
    ----------
    seconds
        How long a reply is kept.
    most_bytes
        What replies may take together; the oldest go first.
    """

    def __init__(self, *, seconds: float, most_bytes: int) -> None:
        self._window = int(seconds * 1e9)
        self._most = most_bytes
        self.total = 0
        # Whether there may be any; else nothing is looked at.
        self.any = False

    def begin(self, connection: sqlite3.Connection) -> None:
        """Take over a file as it is."""
        row = connection.execute("SELECT total FROM replies ORDER BY place DESC LIMIT 1").fetchone()
        self.any = row is not None
        self.total = row[0] if row else 0

    def added(self, total: int) -> None:
        """Replies were committed; see `insert_replies`."""
        self.total = total
        self.any = True

    def remove(self, connection: sqlite3.Connection, now: int, rows: int = 0) -> bool:
        """Remove at most `rows`, or a few when that is fewer; return whether there may be more to remove."""
        if not self.any:
            return False
        most = max(rows, _REMOVED_AT_ONCE)
        oldest = connection.execute(
            "SELECT place, time, total, length(reply) FROM replies ORDER BY place LIMIT ?", (most,)
        ).fetchall()
        self.any = bool(oldest)
        upto = 0
        for place, moment, total, size in oldest:
            held = self.total - total + size + _OVERHEAD
            if moment > now - self._window and held <= self._most:
                break
            upto = place
        if not upto:
            return False
        connection.execute("DELETE FROM replies WHERE place <= ?", (upto,))
        return bool(upto == oldest[-1][0])


class KeptReplies:
    """Finds replies in the journals of all writers of a folder; one object belongs to one thread.

    All files are asked in one statement: each step of SQLite lets go of Python's global lock, and taking it back from a
    busy event loop can cost milliseconds.

    Parameters
    ----------
    folder
        Where the journals are; files that come later are found too.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: list[_Attached] = []
        # The folder, and where it spills to.
        self._places: list[Path] = [folder]
        # Which files they are, by inode too: a file that was made anew is another one.
        self._files: frozenset[tuple[str, int]] = frozenset()
        # When the places were changed last, if nothing that happened since can have the same time.
        self._settled: tuple[int, ...] = ()

    def find(self, keys: Sequence[bytes], since: int) -> dict[bytes, KeptReply]:
        """The newest reply under each key, of those that are not older than `since` (nanoseconds since 1970 UTC).

        Raises
        ------
        Unavailable
            A journal cannot be read: whether there is a reply is not known then.
        """
        found: dict[bytes, KeptReply] = {}
        try:
            self._look_for_files()
            for start in range(0, len(keys), _KEYS_A_STATEMENT):
                part = keys[start : start + _KEYS_A_STATEMENT]
                # Few sizes, so that statements are prepared once; the last key fills up.
                size = 1 << (len(part) - 1).bit_length()
                values: list[bytes | int] = [since, *part, *[part[-1]] * (size - len(part))]
                for attached in self._open:
                    for row in attached.ask(size, values):
                        reply = KeptReply(*row)
                        if reply.key not in found or found[reply.key].time < reply.time:
                            found[reply.key] = reply
        except (sqlite3.Error, OSError) as error:
            self.close()
            raise unreadable(self._folder, error) from error
        return found

    def close(self) -> None:
        """Close the files."""
        for attached in self._open:
            attached.close()
        self._open.clear()
        self._files = frozenset()
        self._settled = ()

    def _look_for_files(self) -> None:
        changed = tuple(place.stat().st_mtime_ns for place in self._places)
        if changed == self._settled:
            return
        self._places = folders(self._folder)
        changed = tuple(place.stat().st_mtime_ns for place in self._places)
        settled = time.time_ns() - max(changed) > _SETTLES_NANOSECONDS
        present = frozenset(found for place in self._places for found in _journals_in(place))
        if present != self._files:
            self.close()
            paths = sorted(path for path, _ in present)
            for start in range(0, len(paths), _FILES_A_CONNECTION):
                self._open.append(_Attached())
                for path in paths[start : start + _FILES_A_CONNECTION]:
                    self._open[-1].attach(Path(path))
            self._files = present
        self._settled = changed if settled else ()


def _journals_in(place: Path) -> list[tuple[str, int]]:
    with os.scandir(place) as entries:
        return [(entry.path, entry.inode()) for entry in entries if entry.name.endswith(SUFFIX)]


class _Attached:
    """A few files on one connection."""

    def __init__(self) -> None:
        self._connection = sqlite3.connect(
            ":memory:", uri=True, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        self._with: tuple[str, ...] = ()
        # Files of earlier releases, which get the table when their writers start.
        self._without: tuple[str, ...] = ()

    def attach(self, path: Path) -> None:
        name = f"j{len(self._with) + len(self._without)}"
        self._connection.execute(f"ATTACH ? AS {name}", (f"{path.absolute().as_uri()}?mode=ro",))
        if self._has_replies(name):
            self._with += (name,)
        else:
            self._without += (name,)

    def ask(self, size: int, values: Sequence[bytes | int]) -> list[Any]:
        """Rows of replies under `size` keys; `values` are the earliest time and the keys."""
        if self._without:
            late = tuple(filter(self._has_replies, self._without))
            self._with += late
            self._without = tuple(name for name in self._without if name not in late)
        return self._connection.execute(_question(self._with, size), values).fetchall() if self._with else []

    def close(self) -> None:
        self._connection.close()

    def _has_replies(self, name: str) -> bool:
        question = f"SELECT 1 FROM {name}.sqlite_schema WHERE name = 'replies'"  # noqa: S608 -- a name of ours
        return self._connection.execute(question).fetchone() is not None


@lru_cache(maxsize=64)
def _question(names: tuple[str, ...], keys: int) -> str:
    marks = ",".join(f"?{place + 2}" for place in range(keys))
    parts = [
        f"SELECT key, time, digest, reply FROM {name}.replies WHERE key IN ({marks}) AND time >= ?1"  # noqa: S608
        for name in names
    ]
    return " UNION ALL ".join(parts)
