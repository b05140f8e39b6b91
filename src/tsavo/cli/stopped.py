"""Questions that a home answers also when nothing runs on it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from tsavo.cli.options import Options

if TYPE_CHECKING:
    from tsavo.app.offline import OfflineHome
    from tsavo.client import Client

__all__ = ["ask"]

T = TypeVar("T")


def ask(options: Options, question: Callable[[Client | OfflineHome], T]) -> T:
    """Ask the running Tsavo; where nothing runs on a home, the home itself."""
    from tsavo.client import NotRunning

    try:
        with options.connected() as client:
            return question(client)
    except NotRunning as error:
        if error.home is None:  # a URL was asked, and a home is no answer to that
            raise
        from tsavo.app.offline import open_home
        from tsavo.storage import Home

        return question(open_home(Home(error.home)))
