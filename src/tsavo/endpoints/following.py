"""Follows the registry: a thread asks for newer routes, loads what they need, and hands them to the data plane."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection, Coroutine
from typing import Any, Final, NamedTuple
from weakref import WeakValueDictionary

import msgspec

from tsavo.endpoints.loaded import LoadedVersion
from tsavo.endpoints.serving import DataPlane
from tsavo.endpoints.shelf import VersionShelf
from tsavo.registry import changed_members, changed_routes, get_version, newest_revision
from tsavo.runtimes import PythonRuntime, Runtime, WorkerPool, load
from tsavo.storage import ArtifactStore, Database
from tsavo.vocabulary import Damaged, Member, Route, Signature, TsavoError, Version, VersionRef

__all__ = ["RouteFollower", "version_loader"]

_PAGE: Final = 2_000
# Between two pages of changes, in which requests get their turn.
_TURN_SECONDS: Final = 0.02
# At the start nothing is loaded ahead: with thousands of endpoints the first request to each does it.
_MOST_AHEAD: Final = 50
_MOST_SIGNATURES: Final = 2_000
# How long an endpoint keeps its present champion while the next one is loaded in a worker process.
_WARM_SECONDS: Final = 30.0


class _Changes(NamedTuple):
    """What changed, each in order of revision, the revision up to which that is all, and whether there is `more`."""

    routes: list[Route]
    members: list[Member]
    revision: int
    more: bool


class RouteFollower:
    """Keeps a data plane at the registry's newest routes.

    Parameters
    ----------
    every
        Seconds between two looks; a change is effective within this and the loading of what it needs.
    report
        Told when the registry cannot be read (with the error) and when it can be again (with ``None``).
    tell
        Told, on the event loop, which revision the data plane follows, and which revisions up to it it does not yet:
        those whose champion a worker process loads, while the earlier one goes on answering.
    """

    def __init__(
        self,
        database: Database,
        plane: DataPlane,
        shelf: VersionShelf,
        *,
        every: float = 0.2,
        report: Callable[[Exception | None], None],
        tell: Callable[[int, Collection[int]], None] = lambda _revision, _waiting: None,
    ) -> None:
        self._database = database
        self._plane = plane
        self._tell = tell
        self._waiting: set[int] = set()
        self._shelf = shelf
        self._every = every
        self._report = report
        self._revision = 0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._background: set[asyncio.Task[None]] = set()

    @property
    def revision(self) -> int:
        """Of the newest route that the data plane follows."""
        return self._revision

    def read_all(self) -> None:
        """Read every route once, before the first request."""
        while (changes := self._newer()) is not None:
            self._plane.apply(changes.routes, changes.members)
            self._revision = changes.revision

    async def warm_up(self) -> None:
        """Load what is to be kept in memory, before the first request."""
        await asyncio.gather(*map(self._shelf.warm, self._shelf.kept), return_exceptions=True)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Follow from now on, in a thread of its own."""
        self._thread = threading.Thread(target=self._follow, args=(loop,), name="routes", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop following."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def _follow(self, loop: asyncio.AbstractEventLoop) -> None:
        failing, pause = False, self._every
        while not self._stop.wait(pause):
            pause = self._every
            try:
                changes = self._newer()
            except Exception as error:  # whatever it is, the present routes go on serving
                if not failing:
                    self._report(error)
                failing = True
                continue
            if failing:
                self._report(None)
                failing = False
            if changes is not None:
                pause = _TURN_SECONDS if changes.more else self._every
                try:
                    asyncio.run_coroutine_threadsafe(self._switch(changes), loop).result(timeout=60)
                except RuntimeError:  # the loop is closing
                    return
                except TimeoutError as error:
                    self._report(error)

    def _newer(self) -> _Changes | None:
        with self._database.read() as connection:
            newest = newest_revision(connection)
            if newest <= self._revision:
                return None
            routes = changed_routes(connection, self._revision, limit=_PAGE)
            members = changed_members(connection, self._revision, limit=_PAGE)
        # Behind the last of a full page there may be changes of this kind that come before those of the other.
        found = [[route.revision for route in routes], [member.revision for member in members]]
        upto = min((revisions[-1] for revisions in found if len(revisions) >= _PAGE), default=newest)
        return _Changes(
            [route for route in routes if route.revision <= upto],
            [member for member in members if member.revision <= upto],
            upto,
            upto < newest,
        )

    async def _switch(self, changes: _Changes) -> None:
        routes = changes.routes
        # A pulled plug waits for nothing but its fallback; other routes wait until what they name is loaded,
        # so that no request pays for it.
        needed: list[VersionRef] = []
        for route in routes:
            if route.plug is None:
                needed.extend(route.versions())
            else:
                self._plane.apply([route])
        off = [member for member in changes.members if member.plug is not None or member.version is None]
        self._plane.apply([], off)
        needed.extend(member.version for member in changes.members if member.version is not None)
        ahead = list(dict.fromkeys(needed))[:_MOST_AHEAD]
        await asyncio.gather(*(self._shelf.get(ref) for ref in ahead), return_exceptions=True)
        for ref in ahead:
            if self._is_cold(ref):
                self._in_background(self._shelf.warm(ref))
        self._plane.announce(routes)
        for route in routes:
            # An endpoint that is new has no other route to go on with.
            if route.plug is None and self._is_cold(route.champion) and self._plane.has(route.endpoint):
                self._waiting.add(route.revision)
                self._in_background(self._switch_when_warm(route))
            else:
                self._plane.apply([route])
        self._plane.apply([], changes.members)
        self._plane.forget_unused()
        self._revision = changes.revision
        self._tell(self._revision, self._waiting)

    def _is_cold(self, ref: VersionRef) -> bool:
        """Whether a version runs in a worker process, and is not yet in memory there."""
        version = self._shelf.ready(ref)
        return version is not None and version.state.name in {"idle", "loading"}

    async def _switch_when_warm(self, route: Route) -> None:
        """Keep the present route, and nobody waiting, while a worker process loads the new champion."""
        try:
            await asyncio.wait_for(self._shelf.warm(route.champion), _WARM_SECONDS)
        except Exception as error:  # the new route holds all the same, and requests will say what is wrong
            self._report(error)
        self._plane.apply([route])
        self._plane.forget_unused()
        self._waiting.discard(route.revision)
        self._tell(self._revision, self._waiting)

    def _in_background(self, doing: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(doing)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


def version_loader(
    database: Database,
    artifacts: ArtifactStore,
    workers: WorkerPool,
    build: Callable[[Version, Runtime | PythonRuntime | TsavoError], LoadedVersion],
) -> Callable[[VersionRef], LoadedVersion]:
    """A function that loads a version: its entry from the registry, its file from the artifacts.

    Parameters
    ----------
    workers
        Where versions live that are not compiled.
    build
        Makes a `LoadedVersion` from a version and its runtime, or from the reason why that could not be loaded.
    """
    shared: WeakValueDictionary[tuple[str, bytes], Runtime] = WeakValueDictionary()

    signatures: dict[bytes, Signature] = {}

    def with_known_signature(version: Version) -> tuple[Version, bytes]:
        # Versions of one family have one signature, which may be larger than the model. What was checked is for
        # people, and takes more room than the rest.
        key = msgspec.json.encode(version.signature)
        if len(signatures) >= _MOST_SIGNATURES:
            signatures.clear()
        signature = signatures.setdefault(key, version.signature)
        return msgspec.structs.replace(version, checks=(), signature=signature), key

    def runtime_of(version: Version, signature: bytes) -> Runtime | PythonRuntime:
        # Segments that were trained on the same rows are the same model: one artifact, one session.
        key = (version.artifact, signature)
        known = shared.get(key)
        if known is not None:
            return known
        artifacts.verify(version.artifact)
        made = load(version, artifacts.path(version.artifact), workers)
        if not isinstance(made, PythonRuntime):
            shared[key] = made
        return made

    def load_version(ref: VersionRef) -> LoadedVersion:
        with database.read() as connection:
            version, signature = with_known_signature(get_version(connection, ref))
        try:
            runtime = runtime_of(version, signature)
        except TsavoError as error:
            return build(version, error)
        except Exception as error:  # onnxruntime's own errors; the reason is shown, the endpoint falls back
            failure = Damaged(
                f"{ref} cannot be loaded",
                field="version",
                found=str(error)[:300],
                next_step="run 'tsavo doctor', or register and deploy it again",
            )
            return build(version, failure)
        return build(version, runtime)

    return load_version
