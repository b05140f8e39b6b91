"""Tsavo's gateway with a recorder that keeps nothing: shows what the journal costs. Not part of the product.

python benchmarks/gateway_without_journal.py HOME PORT
"""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import uvicorn
import uvloop

from tsavo.app.parts import open_artifacts, open_database
from tsavo.app.settings import load_settings
from tsavo.endpoints import DataPlane, LoadedVersion, RouteFollower, VersionShelf, version_loader
from tsavo.rest import ConnectionLimits, Gateway, patient_protocol
from tsavo.runtimes import PythonRuntime, Runtime, WorkerPool
from tsavo.storage import Home, IdSource, SystemClock
from tsavo.vocabulary import TsavoError, Version


class KeepsNothing:
    """A recorder whose promise is kept at once."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._done: asyncio.Future[None] = loop.create_future()
        self._done.set_result(None)

    def append(self, *_payloads: bytes, reply: object = None) -> asyncio.Future[None]:
        return self._done


async def serve(home: Home, port: int) -> None:
    settings = load_settings(home)
    threads = ThreadPoolExecutor(2)
    database, artifacts, clock = open_database(home, settings), open_artifacts(home, settings), SystemClock()

    workers = WorkerPool(home.work / "workers-benchmark", lambda _none: Path(sys.executable))

    def build(version: Version, runtime: Runtime | PythonRuntime | TsavoError) -> LoadedVersion:
        return LoadedVersion(version, runtime, max_rows=1000, threads=threads)

    shelf = VersionShelf(version_loader(database, artifacts, workers, build), threads)
    plane = DataPlane(shelf, KeepsNothing(asyncio.get_running_loop()), IdSource(clock).new, clock.nanoseconds)
    RouteFollower(database, plane, shelf, report=print).read_all()
    gateway = Gateway(plane, version="0", max_body=1 << 20, report=print)
    gateway.ready = True
    config = uvicorn.Config(
        gateway,
        port=port,
        http=patient_protocol(ConnectionLimits()),
        ws="none",
        lifespan="off",
        access_log=False,
        log_level="warning",
    )
    await uvicorn.Server(config).serve()


uvloop.run(serve(Home(Path(sys.argv[1])), int(sys.argv[2])))
