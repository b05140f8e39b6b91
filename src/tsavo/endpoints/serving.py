"""One request through an endpoint: validate, route, predict, record, answer.

The order is the promise: the record is on disk before the answer is returned. Shadow challengers score after
the answer, from a bounded queue, and can neither slow nor break it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Protocol

import numpy.typing as npt

from tsavo.endpoints.answers import Answer, check_wanted, constant_outputs, nothing_answers
from tsavo.endpoints.inputs import InputTensor
from tsavo.endpoints.loaded import LoadedVersion, project
from tsavo.endpoints.shadows import ShadowQueue, ShadowWork
from tsavo.endpoints.shelf import VersionShelf
from tsavo.endpoints.statistics import Statistics
from tsavo.runtimes import RuntimeState
from tsavo.vocabulary import (
    Batch,
    ConstantFallback,
    DecisionRecord,
    NotFound,
    Route,
    Signature,
    Tensor,
    VersionRef,
    encode_record,
    input_tensors,
)

__all__ = ["DataPlane", "Recorder"]

_MICROSECOND: Final = 1_000


class Recorder(Protocol):
    """The journal, as far as serving needs it."""

    def append(self, payload: bytes) -> Any:
        """An awaitable that is done when `payload` is on disk."""
        ...


class DataPlane:
    """Every endpoint of one gateway worker.

    Parameters
    ----------
    shelf
        Loads versions.
    journal
        Where decisions are recorded.
    new_id, nanoseconds
        Sources of request ids (UUIDv7) and of time.
    statistics
        Counts what is done here; by default in this process alone.
    """

    def __init__(
        self,
        shelf: VersionShelf,
        journal: Recorder,
        new_id: Callable[[], str],
        nanoseconds: Callable[[], int],
        statistics: Statistics | None = None,
    ) -> None:
        self._shelf = shelf
        self._journal = journal
        self._new_id = new_id
        self._nanoseconds = nanoseconds
        self.statistics = Statistics() if statistics is None else statistics
        self._routes: dict[str, Route] = {}
        self._coming: dict[str, Route] = {}
        # How many routes name a version, and those that some route named before.
        self._named: Counter[VersionRef] = Counter()
        self._once_named: set[VersionRef] = set()
        self._shadows = ShadowQueue(
            shelf, self._record_shadow, lambda endpoint: self.statistics.of(endpoint).skipped()
        )

    def announce(self, routes: Iterable[Route]) -> None:
        """These routes are about to be followed: what they name is not forgotten."""
        for route in routes:
            self._replace(self._coming, route)

    def apply(self, routes: Iterable[Route]) -> None:
        """Follow these routes from the next request on. A route already known at a newer revision stays."""
        for route in routes:
            present = self._routes.get(route.endpoint)
            if present is None or present.revision < route.revision:
                self._replace(self._routes, route)
            coming = self._coming.get(route.endpoint)
            if coming is not None and coming.revision <= route.revision:
                del self._coming[route.endpoint]
                self._name(coming, -1)

    def forget_unused(self) -> None:
        """Let go of versions that no route names any more."""
        self._shelf.forget(ref for ref in self._once_named if ref not in self._named)
        self._once_named.clear()

    def _replace(self, routes: dict[str, Route], route: Route) -> None:
        before = routes.get(route.endpoint)
        routes[route.endpoint] = route
        self._name(route, 1)
        if before is not None:
            self._name(before, -1)

    def _name(self, route: Route, change: int) -> None:
        # Counted, because looking through ten thousand routes at each change would hold up the requests.
        for ref in route.versions():
            self._named[ref] += change
            if not self._named[ref]:
                del self._named[ref]
                self._once_named.add(ref)

    @property
    def endpoints(self) -> int:
        """How many endpoints there are."""
        return len(self._routes)

    def has(self, endpoint: str) -> bool:
        """Whether there is such an endpoint."""
        return endpoint in self._routes

    def names(self, *, after: str = "", limit: int) -> list[str]:
        """The first `limit` names of endpoints behind `after`, in alphabetical order."""
        return sorted(name for name in self._routes if name > after)[:limit]

    def route(self, endpoint: str) -> Route:
        """The route of `endpoint`; raise `NotFound` when there is none."""
        route = self._routes.get(endpoint)
        if route is None:
            raise NotFound(
                "there is no such endpoint",
                field="endpoint",
                found=endpoint,
                next_step="see 'tsavo ls' for what there is, or make one with 'tsavo deploy'",
            )
        return route

    def routes(self) -> list[Route]:
        """The routes of all endpoints, as they are now."""
        return list(self._routes.values())

    def state(self, ref: VersionRef) -> RuntimeState:
        """How a version is doing in this process; asking neither loads it nor counts as asking for it."""
        return self._shelf.state(ref)

    async def champion(self, endpoint: str) -> LoadedVersion:
        """The champion of `endpoint`, whose signature is what callers speak."""
        return await self._shelf.get(self.route(endpoint).champion)

    async def infer(
        self,
        endpoint: str,
        tensors: Sequence[InputTensor],
        *,
        wanted: Sequence[str] | None = None,
        caller: str = "",
        pin: int | None = None,
    ) -> Answer:
        """Score one request; when this returns, its decisions are on disk.

        Parameters
        ----------
        wanted
            Output names that the caller asked for; checked here, before anything is scored.
        pin
            Number of the one version of the route that is to answer, for tests: nothing falls back for it.

        Raises
        ------
        NotFound, Invalid, TooLarge
            When the caller is wrong; nothing is recorded then.
        Unavailable, Overloaded
            When no step of the route can answer, or the decision cannot be recorded.
        """
        started = self._nanoseconds()
        statistics = self.statistics
        try:
            route = self.route(endpoint)
        except NotFound as error:
            statistics.unknown(error)
            raise
        statistics.in_flight += 1
        try:
            return await self._infer(route, tensors, wanted, caller, pin, started)
        except Exception as error:
            statistics.failed(endpoint, route.champion, error, started, self._nanoseconds())
            raise
        finally:
            statistics.in_flight -= 1

    async def _infer(
        self,
        route: Route,
        tensors: Sequence[InputTensor],
        wanted: Sequence[str] | None,
        caller: str,
        pin: int | None,
        started: int,
    ) -> Answer:
        if pin is not None:
            return await self._infer_pinned(route, pin, tensors, wanted, caller, started)
        endpoint = route.endpoint
        champion = self._shelf.ready(route.champion) or await self._shelf.get(route.champion)
        if wanted is not None:
            check_wanted(champion.signature, wanted)
        batch, row_flags = champion.reader.read(tensors)
        read = self._nanoseconds()
        request = self._new_id()
        if route.plug is None and champion.failure is None:
            try:
                outputs = await champion.predict(batch)
            except (
                Exception
            ) as error:  # a model may fail in any way on a row; then the fallback chain answers
                answer = await self._fall_back(route, champion, batch, request, row_flags, "error", error)
            else:
                answer = Answer(
                    request,
                    endpoint,
                    route.champion,
                    "champion",
                    batch.rows,
                    champion.signature,
                    outputs,
                    (),
                    row_flags,
                )
        else:
            why = "plug" if route.plug is not None else "error"
            answer = await self._fall_back(route, champion, batch, request, row_flags, why)
        scored = self._nanoseconds()
        await self._journal.append(self._record(answer, champion.signature, batch, caller, started, scored))
        self.statistics.of(answer.endpoint).answered(
            answer.version, answer.role, answer.rows, started, read, scored, self._nanoseconds()
        )
        if route.challengers:
            self._shadows.offer(
                ShadowWork(request, started, endpoint, champion.signature, batch, caller), route.challengers
            )
        return answer

    def pinned(self, endpoint: str, number: int) -> VersionRef:
        """The version of this number that the route names; raise `NotFound` when it names none."""
        route = self.route(endpoint)
        ref = route.numbered(number)
        if ref is None:
            raise NotFound(
                f"endpoint '{endpoint}' has no such version",
                field="version",
                found=number,
                expected=f"one of {sorted(map(str, route.versions()))}",
                next_step=f"deploy or shadow it first: 'tsavo deploy {route.champion.model}@{number}'",
            )
        return ref

    async def version(self, endpoint: str, number: int) -> LoadedVersion:
        """That version, loaded; what it raises is as for `pinned`."""
        return await self._shelf.get(self.pinned(endpoint, number))

    async def _infer_pinned(
        self,
        route: Route,
        number: int,
        tensors: Sequence[InputTensor],
        wanted: Sequence[str] | None,
        caller: str,
        started: int,
    ) -> Answer:
        version = await self.version(route.endpoint, number)
        if wanted is not None:
            check_wanted(version.signature, wanted)
        batch, row_flags = version.reader.read(tensors)
        read = self._nanoseconds()
        # A pulled plug is off for everybody; the versions beside the champion are not what it was pulled for.
        if route.plug is not None and version.ref == route.champion:
            raise nothing_answers(route, version, "plug", None)
        try:
            outputs = await version.predict(batch)
        except Exception as error:  # a model may fail in any way on a row
            raise nothing_answers(route, version, "error", error) from error
        answer = Answer(
            self._new_id(),
            route.endpoint,
            version.ref,
            "pinned",
            batch.rows,
            version.signature,
            outputs,
            (),
            row_flags,
        )
        scored = self._nanoseconds()
        await self._journal.append(self._record(answer, version.signature, batch, caller, started, scored))
        self.statistics.of(answer.endpoint).answered(
            answer.version, answer.role, answer.rows, started, read, scored, self._nanoseconds()
        )
        return answer

    async def close(self) -> None:
        """Finish the shadow work that was accepted."""
        await self._shadows.close()

    @property
    def shadows_skipped(self) -> int:
        """Requests that a shadow did not score because its queue was full."""
        return self._shadows.skipped

    async def _fall_back(
        self,
        route: Route,
        champion: LoadedVersion,
        batch: Batch,
        request: str,
        row_flags: dict[int, list[str]],
        why: str,
        cause: Exception | None = None,
    ) -> Answer:
        flags = (f"fallback:{why}",)
        for step in route.fallback:
            if isinstance(step, ConstantFallback):
                outputs = constant_outputs(champion.signature, step, batch.rows)
                return Answer(
                    request,
                    route.endpoint,
                    route.champion,
                    "fallback",
                    batch.rows,
                    champion.signature,
                    outputs,
                    (*flags, "constant"),
                    row_flags,
                )
            try:
                other = await self._shelf.get(step.version)
                outputs = await other.predict(project(batch, champion.signature, other.signature))
            except Exception:  # noqa: S112 -- any failure of this step means the next one answers
                continue
            return Answer(
                request,
                route.endpoint,
                step.version,
                "fallback",
                batch.rows,
                other.signature,
                outputs,
                flags,
                row_flags,
            )
        raise nothing_answers(route, champion, why, cause)

    def _record(
        self, answer: Answer, spoken: Signature, batch: Batch, caller: str, started: int, scored: int
    ) -> bytes:
        if answer.signature is not spoken:
            batch = project(batch, spoken, answer.signature)
        return encode_record(
            DecisionRecord(
                request=answer.request,
                time=started,
                endpoint=answer.endpoint,
                model=answer.version.model,
                version=answer.version.number,
                role=answer.role,
                rows=batch.rows,
                latency_us=(scored - started) // _MICROSECOND,
                inputs=input_tensors(batch.matrix, batch.columns),
                outputs=tuple(Tensor.of(output) for output in answer.outputs),
                flags=answer.flags,
                row_flags=answer.row_flags,
                caller=caller,
            )
        )

    async def _record_shadow(
        self,
        work: ShadowWork,
        shadow: LoadedVersion,
        batch: Batch,
        outputs: tuple[npt.NDArray[Any], ...],
        microseconds: int,
    ) -> None:
        record = DecisionRecord(
            request=work.request,
            time=work.time,
            endpoint=work.endpoint,
            model=shadow.ref.model,
            version=shadow.ref.number,
            role="shadow",
            rows=batch.rows,
            latency_us=microseconds,
            inputs=input_tensors(batch.matrix, batch.columns),
            outputs=tuple(Tensor.of(output) for output in outputs),
            caller=work.caller,
        )
        await self._journal.append(encode_record(record))
        self.statistics.of(work.endpoint).shadowed(batch.rows)
