"""Where the server is: a URL, or the home that it runs on."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import platformdirs

from tsavo.vocabulary import Unavailable

__all__ = ["NotRunning", "find_console", "nothing_runs"]


class NotRunning(Unavailable):
    """Nobody answers at a URL, or nothing runs on a home: `Unavailable`, told apart from a server that is busy.

    Attributes
    ----------
    home
        The home that nothing runs on; ``None`` when a URL was asked.
    """

    def __init__(self, found: str, home: Path | None = None) -> None:
        super().__init__(
            "no Tsavo answers",
            field="url" if home is None else "home",
            found=found,
            next_step="start one with 'tsavo up --detach', or name another with --home DIR or --url URL",
        )
        self.home = home


class _Addresses(msgspec.Struct):
    pid: int
    gateway: str
    console: str


def find_console(url: str | None = None, home: Path | str | None = None) -> str:
    """The console's URL: `url`, ``TSAVO_URL``, or what runs on `home` (``TSAVO_HOME``, else the default home).

    A home that is named wins over ``TSAVO_URL``.

    Raises
    ------
    NotRunning
        When nothing runs on that home. Whether somebody answers at a URL is not asked here.
    """
    chosen = url or (None if home else os.environ.get("TSAVO_URL"))
    if chosen:
        return chosen.rstrip("/")
    named = home or os.environ.get("TSAVO_HOME") or platformdirs.user_data_dir("tsavo", appauthor=False)
    folder = Path(named).expanduser().absolute()
    try:
        content = (folder / "run" / "addresses.json").read_bytes()
        addresses = msgspec.json.decode(content, type=_Addresses)
    except (OSError, msgspec.MsgspecError) as error:
        raise nothing_runs(folder) from error
    if not _held(folder / "run" / "lock"):
        # Left behind by a supervisor that was killed: another home's Tsavo may have its ports by now.
        raise nothing_runs(folder)
    return addresses.console


def _held(lock: Path) -> bool:
    """Whether a supervisor has the home: it locks this file for as long as it lives."""
    try:
        import fcntl
    except ImportError:  # a system without such locks runs no supervisor; its addresses are another machine's
        return True
    try:
        with lock.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def nothing_runs(where: Path | str) -> NotRunning:
    """The error of a client that finds nobody at a home or at a URL."""
    return NotRunning(str(where), where if isinstance(where, Path) else None)
