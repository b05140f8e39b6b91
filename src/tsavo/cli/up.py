"""``tsavo up`` and ``tsavo down``: start everything, stop it."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from cyclopts import Parameter

__all__ = ["down", "up"]


def up(
    *,
    home: Path | None = None,
    port: int | None = None,
    grpc_port: int | None = None,
    console_port: int | None = None,
    workers: int | None = None,
    host: str | None = None,
    detach: Annotated[bool, Parameter(negative="")] = False,
    json: Annotated[bool, Parameter(negative="")] = False,
) -> int:
    """Start the gateway, the console and the keeper; print where they answer.

    Parameters
    ----------
    home
        Folder that holds everything; default TSAVO_HOME, else the platform's data folder.
    port
        Port of the gateway, which scores (default 8080; 0 takes any free one).
    grpc_port
        Port on which the gateway scores by gRPC (default 8081; 0 takes any free one, -1 leaves it off).
    console_port
        Port of the console (default 8090; 0 takes any free one).
    workers
        Gateway processes (default 1).
    host
        Loopback address to listen on (default 127.0.0.1); any other is refused.
    detach
        Return as soon as everything answers, and leave it running; 'tsavo down' stops it.
    json
        Print one JSON document.
    """
    from tsavo.app.detached import start_detached
    from tsavo.app.settings import load_settings
    from tsavo.app.supervisor import Supervisor
    from tsavo.storage import Addresses, Home

    place = Home(home)
    overrides: dict[str, dict[str, Any]] = {
        "gateway": {"port": port, "grpc_port": grpc_port, "workers": workers, "host": host},
        "console": {"port": console_port, "host": host},
    }
    settings = load_settings(place, overrides=overrides)

    def tell(addresses: Addresses) -> None:
        if json:
            print(msgspec.json.encode({"home": str(place.root)} | msgspec.to_builtins(addresses)).decode())
        else:
            print(f"Tsavo is up.\n  console  {addresses.console}\n  gateway  {addresses.gateway}")
            if addresses.grpc is not None:
                print(f"  gRPC     {addresses.grpc}")
            print(f"  home     {place.root}")
            print("Stop it with 'tsavo down'." if detach else "Stop it with Ctrl-C.")
        sys.stdout.flush()

    if detach:
        options = {
            "--port": port,
            "--grpc-port": grpc_port,
            "--console-port": console_port,
            "--workers": workers,
            "--host": host,
        }
        tell(start_detached(place, _words(options)))
    else:
        Supervisor(place, settings, lambda line: print(line, file=sys.stderr, flush=True)).run(tell)
        if not json:
            print("Tsavo is down.")
    return 0


def down(*, home: Path | None = None, json: Annotated[bool, Parameter(negative="")] = False) -> int:
    """Stop what runs on a home, cleanly, and wait until it has stopped.

    Parameters
    ----------
    home
        Folder that holds everything; default TSAVO_HOME, else the platform's data folder.
    json
        Print one JSON document.
    """
    from tsavo.app.detached import stop_running
    from tsavo.storage import Home

    place = Home(home)
    stopped = stop_running(place)
    if json:
        print(msgspec.json.encode({"home": str(place.root), "stopped": stopped is not None}).decode())
    else:
        print("Tsavo is down." if stopped else f"Nothing runs on {place.root}.")
    return 0


def _words(options: Mapping[str, int | str | None]) -> list[str]:
    return [word for option, value in options.items() if value is not None for word in (option, str(value))]
