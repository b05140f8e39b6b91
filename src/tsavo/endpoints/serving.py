"""One request through an endpoint: validate, route, predict, record, answer.

The order is the promise: the record is on disk before the answer is returned. Shadow challengers score after
the answer, from a bounded queue, and can neither slow nor break it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import msgspec
import numpy.typing as npt

from tsavo.endpoints.answering import Answering
from tsavo.endpoints.answers import Answer, check_wanted, nothing_answers, together
from tsavo.endpoints.asking import Asked, Keeping, divided
from tsavo.endpoints.drills import DrillBook
from tsavo.endpoints.infer_all import FamilyScoring
from tsavo.endpoints.inputs import InputTensor
from tsavo.endpoints.lanes import Lane
from tsavo.endpoints.loaded import LoadedVersion
from tsavo.endpoints.origins import Course, Origin
from tsavo.endpoints.parts import (
    Given,
    Part,
    spoken_signature,
    take_rows,
)
from tsavo.endpoints.recording import Recorder, part_records, record, shadow_record
from tsavo.endpoints.route_table import RouteTable
from tsavo.endpoints.sealing import NO_KEYS, OPEN, Sealing, SealingDesk, written
from tsavo.endpoints.shadows import ShadowQueue, ShadowWork
from tsavo.endpoints.shelf import VersionShelf
from tsavo.endpoints.statistics import Statistics
from tsavo.runtimes import RuntimeState
from tsavo.vocabulary import (
    Batch,
    Member,
    NotFound,
    Overloaded,
    Route,
    Signature,
    TsavoError,
    Version,
    VersionRef,
)

__all__ = ["DataPlane"]

_ANY_NUMBER: Final = 1 << 62
# Parts of a request between which others get their turn on the event loop.
_PARTS_AT_ONCE: Final = 32


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
    concurrent
        Requests that one endpoint may have worked on at the same time where its route does not say: fewer than the
        gateway takes in altogether, so that a slow endpoint leaves room for the others.
    drills
        Fire drills that are under way.
    runtime
        Digest of what scores here, kept with every decision.
    desk
        Seals personal data.
    """

    def __init__(
        self,
        shelf: VersionShelf,
        journal: Recorder,
        new_id: Callable[[str], str],
        nanoseconds: Callable[[], int],
        statistics: Statistics | None = None,
        *,
        concurrent: int = _ANY_NUMBER,
        drills: DrillBook | None = None,
        runtime: str = "",
        desk: SealingDesk = NO_KEYS,
    ) -> None:
        self.shelf = shelf
        self._journal = journal
        self._new_id = new_id
        self._runtime = runtime
        self._desk = desk
        self._nanoseconds = nanoseconds
        self.statistics = Statistics() if statistics is None else statistics
        self._drills = DrillBook(shelf, nanoseconds) if drills is None else drills
        self._table = RouteTable(shelf, concurrent=concurrent)
        self._answering = Answering(shelf)
        self.families = FamilyScoring(
            self._table, shelf, self._answering, journal, new_id, nanoseconds, self.statistics, runtime, desk
        )
        self._shadows = ShadowQueue(
            shelf, self._record_shadow, lambda endpoint: self.statistics.of(endpoint).skipped()
        )

    def announce(self, routes: Iterable[Route]) -> None:
        """These routes are about to be followed: what they name is not forgotten."""
        self._table.announce(routes)

    def apply(self, routes: Sequence[Route], members: Iterable[Member] = ()) -> None:
        """Follow these from the next request on. What is already known at a newer revision stays."""
        self._table.apply(routes, members)
        for route in routes:
            self._drills.follow(route)

    def forget_unused(self) -> None:
        """Let go of versions that nothing names any more."""
        self._table.forget_unused()

    @property
    def endpoints(self) -> int:
        """How many endpoints there are."""
        return len(self._table)

    def has(self, endpoint: str) -> bool:
        """Whether there is such an endpoint."""
        return endpoint in self._table

    def names(self, *, after: str = "", limit: int) -> list[str]:
        """The first `limit` names of endpoints behind `after`, in alphabetical order."""
        return sorted(name for name in self._table.names() if name > after)[:limit]

    def route(self, endpoint: str) -> Route:
        """The route of `endpoint`; raise `NotFound` when there is none."""
        return self._table.lane(endpoint).route

    def routes(self) -> list[Route]:
        """The routes of all endpoints, as they are now."""
        return self._table.routes()

    def members(self, endpoint: str) -> Mapping[str, Member]:
        """Segments of a family by the text of their value; one without a version was taken out."""
        return self._table.lane(endpoint).members

    def state(self, ref: VersionRef) -> RuntimeState:
        """How a version is doing in this process; asking neither loads it nor counts as asking for it."""
        return self.shelf.state(ref)

    async def champion(self, endpoint: str) -> LoadedVersion:
        """The champion of `endpoint`, whose signature is what callers speak."""
        return await self.shelf.get(self.route(endpoint).champion)

    async def spoken(self, endpoint: str) -> Signature:
        """What callers of `endpoint` send and get: the champion's signature, with the key where it is a family."""
        return self.described(endpoint, await self.champion(endpoint)).signature

    def described(self, endpoint: str, loaded: LoadedVersion) -> Version:
        """A version of `endpoint` as its callers see it: the champion of a family takes the key as well."""
        route = self.route(endpoint)
        if route.segments is None or loaded.ref != route.champion:
            return loaded.version
        spoken = spoken_signature(loaded.signature, route.segments)
        return msgspec.structs.replace(loaded.version, signature=spoken)

    async def infer(
        self,
        endpoint: str,
        tensors: Sequence[InputTensor],
        *,
        wanted: Sequence[str] | None = None,
        origin: Origin = Origin(),
        pin: int | None = None,
        key: str = "",
        reply: Keeping | None = None,
    ) -> Answer:
        """Score one request; when this returns, its decisions are on disk.

        Parameters
        ----------
        wanted
            Output names that the caller asked for; checked here, before anything is scored.
        origin
            Where the request comes from; kept with its decisions.
        pin
            Number of the one version of the route that is to answer, for tests: nothing falls back for it.
        key
            What the caller wants to be assigned by, where traffic is divided by such a key.
        reply
            Makes of the answer what is kept beside its decisions, on disk together with them.

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
            lane = self._table.lane(endpoint)
        except NotFound as error:
            statistics.unknown(error)
            raise
        asked = Asked(tensors, wanted, origin, key, reply, started)
        try:
            lane.enter()
        except Overloaded as error:
            statistics.failed(endpoint, lane.route.champion, error, started, started)
            raise
        statistics.in_flight += 1
        try:
            if pin is not None:
                return await self._infer_pinned(lane.route, pin, asked)
            return await self._infer(lane, asked)
        except Exception as error:
            statistics.failed(endpoint, lane.route.champion, error, started, self._nanoseconds())
            raise
        finally:
            lane.leave()
            statistics.in_flight -= 1

    async def _infer(self, lane: Lane, asked: Asked) -> Answer:
        route = lane.route
        champion = self.shelf.ready(route.champion) or await self.shelf.get(route.champion)
        signature = champion.signature
        if asked.wanted is not None:
            check_wanted(signature, asked.wanted)
        request = self._new_id(route.endpoint)
        if lane.plain:
            batch, row_flags = champion.reader.read(asked.tensors)
            parts = [Part(route.champion, "champion", off="" if route.plug is None else "plug")]
        else:
            batch, row_flags, parts = divided(lane, champion, request, asked)
        personal = route.privacy
        sealing = (
            OPEN if personal is None else await self._desk.sealing(personal, signature, batch, asked.origin)
        )
        read = self._nanoseconds()
        if len(parts) == 1:
            part = parts[0]
            try:
                first = await self._answering.give(lane, champion, batch, part)
            except TsavoError:
                self._drill(route, signature, batch, None)
                raise
            scored = self._nanoseconds()
            answer = Answer(
                request,
                route.endpoint,
                first.ref,
                first.role,
                batch.rows,
                first.signature,
                first.outputs,
                first.flags,
                row_flags,
            )
            course = Course(asked.started, read, scored)
            answer = await self._keep_one(answer, signature, batch, asked, course, sealing, part.segment)
        else:
            given = await self._give_each(lane, champion, batch, parts)
            scored = self._nanoseconds()
            answer = together(request, route, signature, batch.rows, parts, given, row_flags)
            payloads = await written(
                sealing,
                batch.rows,
                partial(
                    part_records,
                    answer,
                    row_flags,
                    signature,
                    batch,
                    parts,
                    given,
                    asked.origin,
                    Course(asked.started, read, scored),
                    runtime=self._runtime,
                    sealing=sealing,
                ),
            )
            answer = await self._keep(payloads, answer, asked)
        self.statistics.of(route.endpoint).answered(
            answer.version, answer.role, answer.rows, asked.started, read, scored, self._nanoseconds()
        )
        # Models are not made to look at rows that lack what they need.
        whole = lane.plain or not any(part.lacking for part in parts)
        if route.drill is not None and whole:
            self._drill(route, signature, batch, answer)
        if lane.shadows and whole:
            self._shadows.offer(
                ShadowWork(request, asked.started, route.endpoint, signature, batch, asked.origin, sealing),
                lane.shadows,
            )
        return answer

    def _drill(self, route: Route, signature: Signature, batch: Batch, answer: Answer | None) -> None:
        drill = self._drills.of(route.endpoint)
        if drill is not None:
            drill.offer(signature, batch, answer)

    async def _give_each(
        self, lane: Lane, champion: LoadedVersion, batch: Batch, parts: Sequence[Part]
    ) -> list[Given]:
        # All that is cold is loaded at once; whether that worked is seen part by part.
        cold = {part.ref for part in parts if not part.off and self.shelf.ready(part.ref) is None}
        if cold:
            await asyncio.gather(*(self.shelf.get(ref) for ref in cold), return_exceptions=True)
        given = []
        for at, part in enumerate(parts):
            if at % _PARTS_AT_ONCE == _PARTS_AT_ONCE - 1:
                await asyncio.sleep(0)
            given.append(await self._answering.give(lane, champion, take_rows(batch, part.places), part))
        return given

    async def _keep_one(
        self,
        answer: Answer,
        spoken: Signature,
        batch: Batch,
        asked: Asked,
        course: Course,
        sealing: Sealing,
        segment: str = "",
    ) -> Answer:
        """As `_keep`, of what one version answered."""
        write = partial(
            record,
            answer,
            spoken,
            batch,
            asked.origin,
            course,
            runtime=self._runtime,
            segment=segment,
            sealing=sealing,
        )
        return await self._keep((await written(sealing, batch.rows, write),), answer, asked)

    async def _keep(self, payloads: Sequence[bytes], answer: Answer, asked: Asked) -> Answer:
        """The answer, once its decisions are on disk; flagged, where it may be given without."""
        if asked.reply is None:
            flag = await self._journal.append(*payloads)
        else:
            flag = await self._journal.append(*payloads, reply=await asked.reply(answer))
        return answer if flag is None else answer.unrecorded(flag)

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
        return await self.shelf.get(self.pinned(endpoint, number))

    async def _infer_pinned(self, route: Route, number: int, asked: Asked) -> Answer:
        version = await self.version(route.endpoint, number)
        if asked.wanted is not None:
            check_wanted(version.signature, asked.wanted)
        batch, row_flags = version.reader.read(asked.tensors)
        personal, signature = route.privacy, version.signature
        sealing = (
            OPEN if personal is None else await self._desk.sealing(personal, signature, batch, asked.origin)
        )
        read = self._nanoseconds()
        # A pulled plug is off for everybody; the versions beside the champion are not what it was pulled for.
        if route.plug is not None and version.ref == route.champion:
            raise nothing_answers(route, version, "plug", None)
        try:
            outputs = await version.predict(batch)
        except Exception as error:  # a model may fail in any way on a row
            raise nothing_answers(route, version, "error", error) from error
        answer = Answer(
            self._new_id(route.endpoint),
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
        course = Course(asked.started, read, scored)
        answer = await self._keep_one(answer, signature, batch, asked, course, sealing)
        self.statistics.of(answer.endpoint).answered(
            answer.version, answer.role, answer.rows, asked.started, read, scored, self._nanoseconds()
        )
        return answer

    async def close(self) -> None:
        """Finish the shadow work that was accepted, and end drills."""
        await self._drills.close()
        await self._shadows.close()

    @property
    def shadows_skipped(self) -> int:
        """Requests that a shadow did not score because its queue was full."""
        return self._shadows.skipped

    async def _record_shadow(
        self,
        work: ShadowWork,
        shadow: LoadedVersion,
        batch: Batch,
        outputs: tuple[npt.NDArray[Any], ...],
        microseconds: int,
    ) -> None:
        write = partial(shadow_record, work, shadow, batch, outputs, microseconds, runtime=self._runtime)
        await self._journal.append(await written(work.sealing, batch.rows, write))
        self.statistics.of(work.endpoint).shadowed(batch.rows)
