"""What the three processes have in common: how they are told where to work, say that they are ready, and end."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Awaitable, Callable
from typing import Any, Final, Literal, NamedTuple

import uvicorn

from tsavo.app.settings import Settings, read_effective
from tsavo.storage import Home

__all__ = ["Child", "child_arguments", "report_fault", "run_child", "serve"]

_LOG: Final = logging.getLogger("tsavo")
_DRAIN_SECONDS: Final = 7


class Child(NamedTuple):
    """How a child process was started.

    Attributes
    ----------
    listener
        The socket that the supervisor bound, or ``None`` for a process that answers nobody.
    """

    home: Home
    settings: Settings
    worker: int
    listener: socket.socket | None
    ready: Callable[[], None]


def child_arguments(home: Home, *, worker: int, listen: int | None, ready: int, life: int) -> list[str]:
    """The command line by which the supervisor starts a child."""
    words = ["--home", str(home.root), "--worker", str(worker), "--ready", str(ready), "--life", str(life)]
    return words if listen is None else [*words, "--listen", str(listen)]


def run_child(main: Callable[[Child], None]) -> None:
    """Run a child process: read how it was started, end when the supervisor does, log to standard error."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--home", required=True)
    parser.add_argument("--worker", type=int, default=0)
    parser.add_argument("--listen", type=int)
    parser.add_argument("--ready", type=int, required=True)
    parser.add_argument("--life", type=int, required=True)
    arguments = parser.parse_args()
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    # uvicorn hands SIGTERM on to whoever was there before it; the default would end us before we have drained.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    _end_with_the_supervisor(arguments.life)
    home = Home(arguments.home)
    listener = None if arguments.listen is None else socket.socket(fileno=arguments.listen)
    ready = arguments.ready

    def say_ready() -> None:
        os.write(ready, b"1")
        os.close(ready)

    main(Child(home, read_effective(home), arguments.worker, listener, say_ready))


def _end_with_the_supervisor(life: int) -> None:
    """Stop like on SIGTERM when the supervisor is gone, however it went: its end of the pipe closes."""

    def wait() -> None:
        os.read(life, 1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="life", daemon=True).start()


class _Server(uvicorn.Server):
    """Closes the process's other door while it drains its own connections: both have the same time for it."""

    def __init__(self, config: uvicorn.Config, close: Callable[[float], Awaitable[None]] | None) -> None:
        super().__init__(config)
        self._close = close

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        draining = super().shutdown(sockets)
        await (draining if self._close is None else asyncio.gather(draining, self._close(_DRAIN_SECONDS)))


async def serve(
    application: Any,
    child: Child,
    *,
    close: Callable[[float], Awaitable[None]] | None = None,
    http: type[asyncio.Protocol] | Literal["httptools"] = "httptools",
) -> None:
    """Answer HTTP on the child's socket until told to stop, then finish what was begun.

    Parameters
    ----------
    close
        Closes another door of this process within the seconds that it is given.
    http
        What speaks HTTP on a connection.
    """
    assert child.listener is not None  # noqa: S101 -- the supervisor always hands one to these processes
    config = uvicorn.Config(
        application,
        http=http,
        ws="none",
        lifespan="off",
        access_log=False,
        log_config=None,
        log_level="warning",
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=_DRAIN_SECONDS,
    )
    server = _Server(config, close)
    serving = asyncio.ensure_future(server.serve(sockets=[child.listener]))
    # uvicorn says that it has started by this flag alone.
    while not server.started and not serving.done():  # noqa: ASYNC110
        await asyncio.sleep(0.005)
    if not serving.done():
        child.ready()
    await serving


def report_fault(error: BaseException | None) -> None:
    """Log a fault with its trace; ``None`` says that it is over."""
    if error is None:
        _LOG.info("works again")
    else:
        _LOG.error("%s", error, exc_info=error)
