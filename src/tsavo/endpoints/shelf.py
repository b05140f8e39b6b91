"""Which versions are in memory: loaded at their first request, and let go again when others need the room."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from typing import Final

from tsavo.endpoints.loaded import LoadedVersion
from tsavo.runtimes import RuntimeState, release_memory
from tsavo.vocabulary import VersionRef

__all__ = ["VersionShelf"]

_RETRY_SECONDS: Final = 10.0
# So much is let go of before the allocator is asked to give it back to the system, which takes milliseconds.
_WORTH_RETURNING: Final = 64 << 20


class VersionShelf:
    """Loads each version once, however many requests ask for it at the same time.

    Compiled versions take room in this process; where there is no more, those that nobody has asked for the longest
    are let go, and loaded again by the next request for them. Versions in a Python worker take none here.

    Parameters
    ----------
    load
        Reads a version from the registry and the artifacts; blocking, so it runs in a thread.
    budget
        Bytes that loaded versions may take together; ``None`` for no limit. One version is always kept.
    """

    def __init__(
        self, load: Callable[[VersionRef], LoadedVersion], threads: Executor, *, budget: int | None = None
    ) -> None:
        self._load = load
        self._threads = threads
        self._budget = budget
        # Those asked for last are at the end.
        self._ready: OrderedDict[VersionRef, LoadedVersion] = OrderedDict()
        self._loading: dict[VersionRef, asyncio.Future[LoadedVersion]] = {}
        # Versions with the same artifact share it.
        self._sharing: Counter[str] = Counter()
        self._unreturned = 0
        self._kept: Counter[VersionRef] = Counter()
        self.bytes = 0
        self.evictions = 0

    def __len__(self) -> int:
        """How many versions are loaded."""
        return len(self._ready)

    def ready(self, ref: VersionRef) -> LoadedVersion | None:
        """The version when it is loaded, else ``None``; one that failed to load is tried again after a while."""
        loaded = self._ready.get(ref)
        if loaded is None:
            return None
        if loaded.failure is not None and time.monotonic() - loaded.since > _RETRY_SECONDS:
            return None
        self._ready.move_to_end(ref)
        return loaded

    def state(self, ref: VersionRef) -> RuntimeState:
        """How the version is doing; asking does not keep it here for longer."""
        if ref in self._loading:
            return RuntimeState("loading")
        loaded = self._ready.get(ref)
        return RuntimeState("idle") if loaded is None else loaded.state

    async def get(self, ref: VersionRef) -> LoadedVersion:
        """The version, loaded now when it is not yet."""
        loaded = self.ready(ref)
        if loaded is not None:
            return loaded
        loading = self._loading.get(ref)
        if loading is None:
            loading = asyncio.ensure_future(
                asyncio.get_running_loop().run_in_executor(self._threads, self._load, ref)
            )
            self._loading[ref] = loading
            loading.add_done_callback(lambda done: self._keep(ref, done))
        # One caller who gives up must not cancel the loading that others wait for.
        return await asyncio.shield(loading)

    async def warm(self, ref: VersionRef) -> None:
        """Have the version in memory, also where that is a worker process."""
        await (await self.get(ref)).warm()

    def keep(self, ref: VersionRef) -> None:
        """Do not let go of this version to make room for others; it takes its part of the budget all the same."""
        self._kept[ref] += 1

    def keep_no_longer(self, ref: VersionRef) -> None:
        """Take back one `keep`."""
        self._kept[ref] -= 1
        if not self._kept[ref]:
            del self._kept[ref]

    @property
    def kept(self) -> list[VersionRef]:
        """Versions that are kept in memory, once they are there."""
        return list(self._kept)

    def forget(self, refs: Iterable[VersionRef]) -> None:
        """Let go of versions that no route names any more."""
        before = self.bytes
        for ref in refs:
            loaded = self._ready.pop(ref, None)
            if loaded is not None:
                self._let_go(loaded)
        self._unreturned += before - self.bytes
        if self._unreturned > _WORTH_RETURNING:
            self._unreturned = 0
            self._threads.submit(release_memory)

    def _keep(self, ref: VersionRef, done: asyncio.Future[LoadedVersion]) -> None:
        self._loading.pop(ref, None)
        if done.cancelled() or done.exception() is not None:
            return
        # One that failed to load, and is tried again.
        if (before := self._ready.pop(ref, None)) is not None:
            self._let_go(before)
        loaded = self._ready[ref] = done.result()
        self.bytes += loaded.bytes
        if loaded.shared_bytes:
            if not self._sharing[loaded.version.artifact]:
                self.bytes += loaded.shared_bytes
            self._sharing[loaded.version.artifact] += 1
        if self._budget is not None and self.bytes > self._budget:
            self._make_room(self._budget, ref)

    def _make_room(self, budget: int, but: VersionRef) -> None:
        for ref in list(self._ready):
            if self.bytes <= budget:
                return
            # What lives in a worker process takes no room here. What is let go serves the next one to be loaded, so
            # it is not given back to the system.
            if ref != but and ref not in self._kept and self._ready[ref].bytes:
                self.evictions += 1
                self._let_go(self._ready.pop(ref))

    def _let_go(self, loaded: LoadedVersion) -> None:
        self.bytes -= loaded.bytes
        if loaded.shared_bytes:
            artifact = loaded.version.artifact
            self._sharing[artifact] -= 1
            if not self._sharing[artifact]:
                del self._sharing[artifact]
                self.bytes -= loaded.shared_bytes
        loaded.release()
