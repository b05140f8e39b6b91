"""One gateway worker: the data plane as a process."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

import uvloop

from tsavo.app.addresses import target_of
from tsavo.app.child import Child, report_fault, run_child, serve
from tsavo.app.journals import open_journal
from tsavo.app.parts import open_artifacts, open_database, open_environments, open_keys
from tsavo.app.settings import GatewaySettings, WorkerSettings
from tsavo.endpoints import (
    DataPlane,
    DrillBook,
    Gauges,
    LoadedVersion,
    RouteFollower,
    Statistics,
    VersionShelf,
    version_loader,
)
from tsavo.endpoints.retries import Retries
from tsavo.endpoints.sealing import SealingDesk
from tsavo.journal import KeptReplies, Reservations
from tsavo.rest import Admission, ConnectionLimits, Cors, Gateway, patient_protocol
from tsavo.runtimes import (
    Environments,
    Lock,
    PoolLimits,
    ProcessLimits,
    PythonRuntime,
    Runtime,
    WorkerPool,
)
from tsavo.runtimes.fingerprint import keep_fingerprint, take_fingerprint
from tsavo.storage import ArtifactStore, IdSource, SystemClock
from tsavo.vocabulary import Environment, TsavoError, Version

if TYPE_CHECKING:
    from tsavo.privacy import SubjectKeys

__all__ = ["main"]

_THREADS: Final = 4
_LAST_SHADOWS_SECONDS: Final = 1.0
# One endpoint may have one in so many of the requests that are worked on, where its route does not say.
_SHARE_OF_ONE: Final = 2
# What the process takes without versions, routes and requests included.
_OWN_MIB: Final = 384
_LEAST_MIB: Final = 64


def main() -> None:
    """Entry of ``python -m tsavo.app.gateway_process``."""
    run_child(lambda child: uvloop.run(_serve(child)))


async def _serve(child: Child) -> None:
    settings = child.settings.gateway
    loop = asyncio.get_running_loop()
    database = open_database(child.home, child.settings)
    artifacts = open_artifacts(child.home, child.settings)
    threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="predict")
    # Of their own, so that slow predictions do not keep other versions from being loaded.
    loading = ThreadPoolExecutor(_THREADS, thread_name_prefix="load")
    clock = SystemClock()

    workers = WorkerPool(
        child.home.work / f"workers-{child.worker}",
        partial(_python_of, artifacts, open_environments(child.home, child.settings)),
        _limits(child.settings.worker),
    )

    def build(version: Version, runtime: Runtime | PythonRuntime | TsavoError) -> LoadedVersion:
        return LoadedVersion(version, runtime, max_rows=settings.max_rows, threads=threads)

    budget = max(settings.memory_mib - _OWN_MIB, _LEAST_MIB) << 20
    shelf = VersionShelf(version_loader(database, artifacts, workers, build), loading, budget=budget)
    journal = open_journal(child.home, child.settings, f"gateway-{child.worker}", clock.nanoseconds)
    retries = Retries(
        KeptReplies(child.home.journal),
        Reservations(child.home.journal / "reserved-keys"),
        clock.nanoseconds,
        seconds=settings.idempotency_minutes * 60,
    )
    journal.start(loop)
    desk = SealingDesk(partial(_subject_keys, child, clock))
    statistics = Statistics(child.home.statistics / f"gateway-{child.worker}")
    runtime = keep_fingerprint(take_fingerprint(), child.home.runtimes)
    plane = DataPlane(
        shelf,
        journal,
        IdSource(clock).new,
        clock.nanoseconds,
        statistics,
        concurrent=max(1, settings.requests // _SHARE_OF_ONE),
        drills=DrillBook(shelf, clock.nanoseconds, child.home.drills, f"gateway-{child.worker}"),
        runtime=runtime,
        desk=desk,
    )
    follower = RouteFollower(
        database, plane, shelf, every=settings.follow_seconds, report=report_fault, tell=statistics.follows
    )
    await loop.run_in_executor(threads, follower.read_all)
    await follower.warm_up()
    if any(route.privacy is not None for route in plane.routes()):
        await desk.warm_up()
    await loop.run_in_executor(threads, statistics.reserve, plane.endpoints)
    max_body = settings.max_body_mib << 20
    gateway = Gateway(
        plane,
        version=version("tsavo"),
        max_body=max_body,
        report=report_fault,
        admission=Admission(requests=settings.requests, body_bytes=max(settings.bodies_mib << 20, max_body)),
        retries=retries,
        cors=Cors(settings.cors_origins),
    )
    close = None if settings.grpc_port < 0 else await _open_grpc(settings, plane, gateway.admission, retries)
    follower.start(loop)
    statistics.watch(
        lambda: Gauges(
            journal_pending=journal.pending,
            loaded_versions=len(shelf),
            loaded_bytes=shelf.bytes,
            revision=follower.revision,
            turned_away=gateway.admission.turned_away,
            evictions=shelf.evictions,
            journal=journal.standing,
        )
    )
    statistics.start(loop)
    gateway.ready = True
    # What lives until the end need not be looked at by every garbage collection.
    gc.collect()
    gc.freeze()
    try:
        limits = ConnectionLimits(settings.connections, body_seconds=settings.body_seconds)
        await serve(gateway, child, close=close, http=patient_protocol(limits))
    finally:
        gateway.ready = False
        await loop.run_in_executor(threads, follower.stop)
        closing = asyncio.ensure_future(plane.close())
        # A shadow that hangs in a worker process must not keep us.
        await asyncio.wait([closing], timeout=_LAST_SHADOWS_SECONDS)
        await workers.close()
        await closing
        statistics.stop()
        await loop.run_in_executor(None, journal.close)
        await loop.run_in_executor(None, desk.close)
        await loop.run_in_executor(None, retries.close)
        database.close()


def _subject_keys(child: Child, clock: SystemClock) -> SubjectKeys:
    # Most gateways seal nothing, and do without the cipher's library.
    from tsavo.privacy import SubjectKeys

    return SubjectKeys(open_keys(child.home, child.settings).new_store, clock.nanoseconds)


async def _open_grpc(
    settings: GatewaySettings, plane: DataPlane, admission: Admission, retries: Retries
) -> Callable[[float], Awaitable[None]]:
    """Open the gRPC door; what closes it."""
    # Who leaves this door off does not pay for its library.
    from tsavo.grpc import Door

    door = Door(
        plane,
        version=version("tsavo"),
        max_message=settings.max_body_mib << 20,
        max_calls=settings.requests,
        admission=admission,
        report=report_fault,
        retries=retries,
        slow_messages=max(4, settings.bodies_mib // settings.max_body_mib),
        message_seconds=settings.body_seconds,
    )
    await door.open(target_of(settings.host, settings.grpc_port))
    return door.close


def _python_of(artifacts: ArtifactStore, environments: Environments, wanted: Environment | None) -> Path:
    """The Python of a version's environment, made again when it is no longer there."""
    if wanted is None:
        return Path(sys.executable)
    text = artifacts.get(wanted.lock).decode()
    return environments.ensure(Lock(wanted.digest, wanted.python, text))


def _limits(settings: WorkerSettings) -> PoolLimits:
    return PoolLimits(
        seconds=settings.seconds,
        start_seconds=settings.start_seconds,
        idle_seconds=settings.idle_minutes * 60,
        models=settings.models,
        processes=settings.processes,
        waiting=settings.waiting,
        process=ProcessLimits(memory_bytes=settings.memory_mib << 20),
    )


if __name__ == "__main__":
    main()
