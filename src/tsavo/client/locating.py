"""Where the server is: a URL, or the home that it runs on."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import platformdirs

from tsavo.vocabulary import Unavailable

__all__ = ["find_console"]


class _Addresses(msgspec.Struct):
    pid: int
    gateway: str
    console: str


def find_console(url: str | None = None, home: Path | str | None = None) -> str:
    """The console's URL: `url`, ``TSAVO_URL``, or what runs on `home` (``TSAVO_HOME``, else the default home).

    Raises
    ------
    Unavailable
        When nothing runs there.
    """
    chosen = url or (None if home else os.environ.get("TSAVO_URL"))
    if chosen:
        return chosen.rstrip("/")
    folder = home or os.environ.get("TSAVO_HOME") or platformdirs.user_data_dir("tsavo", appauthor=False)
    path = Path(folder).expanduser() / "run" / "addresses.json"
    try:
        addresses = msgspec.json.decode(path.read_bytes(), type=_Addresses)
    except (OSError, msgspec.MsgspecError) as error:
        raise nothing_runs(str(folder)) from error
    return addresses.console


def nothing_runs(where: str) -> Unavailable:
    """The error of a client that finds nobody."""
    return Unavailable(
        "no Tsavo answers",
        field="url",
        found=where,
        next_step="start one with 'tsavo up --detach', or name another with --home DIR or --url URL",
    )
