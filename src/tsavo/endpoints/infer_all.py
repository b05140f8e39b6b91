"""A few rows scored by every member of a family in one pass.

The versions answer one after the other on the event loop, a few at a time so that other requests get their turn, and
all decisions are on disk together before the answer is returned.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy.typing as npt

from tsavo.endpoints.answering import Answering
from tsavo.endpoints.answers import Answer, check_wanted
from tsavo.endpoints.family_rows import FamilyRows, chosen_members, segments_of
from tsavo.endpoints.inputs import InputTensor
from tsavo.endpoints.lanes import Lane
from tsavo.endpoints.loaded import LoadedVersion
from tsavo.endpoints.origins import Course, Origin
from tsavo.endpoints.parts import Given, Part
from tsavo.endpoints.recording import Recorder, record
from tsavo.endpoints.route_table import RouteTable
from tsavo.endpoints.sealing import NO_KEYS, OPEN, Sealing, SealingDesk, written
from tsavo.endpoints.shelf import VersionShelf
from tsavo.endpoints.statistics import Statistics
from tsavo.vocabulary import Member, NotFound, Role, Signature, TsavoError, VersionRef

if TYPE_CHECKING:
    from tsavo.journal import KeptReply

__all__ = ["FamilyAnswer", "FamilyScoring", "FamilyState", "MemberAnswer"]

# Members between which others get their turn on the event loop: well below a millisecond for compiled models.
_AT_ONCE: Final = 16


class MemberAnswer(msgspec.Struct, frozen=True, gc=False):
    """What the version of one segment said.

    Attributes
    ----------
    version, role
        Who answered: the member's own version as ``champion``, else who stood in for it as ``fallback``.
    first
        Number of the first row within the request, as the decision ids have it; the others follow.
    outputs
        In the order of `signature.outputs`, an array [rows] or [rows, width] each.
    error
        Why nobody could answer for this segment; then there are no outputs, and no decision.
    """

    segment: str
    version: VersionRef
    role: Role
    first: int
    signature: Signature
    outputs: tuple[npt.NDArray[Any], ...]
    flags: tuple[str, ...] = ()
    row_flags: dict[int, list[str]] = {}
    error: TsavoError | None = None


class FamilyAnswer(msgspec.Struct, frozen=True, gc=False):
    """What members of a family said to the same rows, in order of their segments.

    Attributes
    ----------
    after
        The last segment, when there are more behind it.
    """

    request: str
    endpoint: str
    rows: int
    members: list[MemberAnswer]
    after: str | None
    recorded: bool = True

    def unrecorded(self, flag: str) -> FamilyAnswer:
        """The same answer, flagged as one whose decisions are not on disk."""
        members = [
            member
            if member.error is not None
            else msgspec.structs.replace(member, flags=(*member.flags, flag))
            for member in self.members
        ]
        return msgspec.structs.replace(self, members=members, recorded=False)


class FamilyState(msgspec.Struct, frozen=True):
    """A family as this process knows it.

    Attributes
    ----------
    members
        Segments that have a version.
    revision
        The newest of the route's and the members'.
    """

    family: str
    key: str
    dtype: str
    unseen: str
    parent: str
    members: int
    revision: int


class _Asked(msgspec.Struct, frozen=True, gc=False):
    """A request on its way; see `FamilyScoring.infer_all`."""

    rows: FamilyRows
    origin: Origin
    reply: Callable[[FamilyAnswer], Awaitable[KeptReply]] | None
    started: int


class _Scored(msgspec.Struct, frozen=True, gc=False):
    """What goes back, and what goes to disk."""

    answer: MemberAnswer
    payload: bytes | None


class FamilyScoring:
    """The part of the data plane that asks all members of a family at once.

    Parameters
    ----------
    table
        Routes and members.
    answering
        Gets an answer from a version, or from what stands in for it.
    journal, new_id, nanoseconds, statistics, runtime, desk
        As the data plane has them.
    """

    def __init__(
        self,
        table: RouteTable,
        shelf: VersionShelf,
        answering: Answering,
        journal: Recorder,
        new_id: Callable[[str], str],
        nanoseconds: Callable[[], int],
        statistics: Statistics,
        runtime: str = "",
        desk: SealingDesk = NO_KEYS,
    ) -> None:
        self._table = table
        self._shelf = shelf
        self._answering = answering
        self._journal = journal
        self._new_id = new_id
        self._nanoseconds = nanoseconds
        self._statistics = statistics
        self._runtime = runtime
        self._desk = desk

    def state(self, endpoint: str) -> FamilyState:
        """How a family stands here; raise `NotFound` or `Refused` where there is none."""
        lane = self._table.lane(endpoint)
        segments = segments_of(lane)
        route = lane.route
        members = lane.members.values()
        return FamilyState(
            family=endpoint,
            key=segments.key,
            dtype=segments.dtype,
            unseen=segments.unseen,
            parent=str(route.champion),
            members=sum(member.version is not None for member in members),
            revision=max(route.revision, *(member.revision for member in members), 0),
        )

    async def infer_all(
        self,
        endpoint: str,
        tensors: Sequence[InputTensor],
        *,
        segments: Sequence[str] | None = None,
        wanted: Sequence[str] | None = None,
        after: str = "",
        limit: int | None = None,
        origin: Origin = Origin(),
        reply: Callable[[FamilyAnswer], Awaitable[KeptReply]] | None = None,
    ) -> FamilyAnswer:
        """Score rows by the version of every segment, or of those named; when this returns, its decisions are on disk.

        Where nobody can answer for a segment, its place says why, and the others are answered all the same.

        Parameters
        ----------
        tensors
            As for one version. The column that chooses the segment is not needed: every member sees its own value.
        segments
            Only these, each of which must have a version.
        after, limit
            Go on behind this segment, with so many members at most. Rows times members is never more than the rows
            that one request may have.
        origin, reply
            As in `DataPlane.infer`.

        Raises
        ------
        NotFound, Refused, Invalid, TooLarge
            When there is no such family or segment, or the rows are wrong; nothing is recorded then.
        Unavailable, Overloaded
            When nobody can answer for any of the segments, or the decisions cannot be recorded.
        """
        started = self._nanoseconds()
        try:
            lane = self._table.lane(endpoint)
        except NotFound as error:
            self._statistics.unknown(error)
            raise
        chosen_by = segments_of(lane)
        lane.enter()
        self._statistics.in_flight += 1
        try:
            champion = await self._shelf.get(lane.route.champion)
            if wanted is not None:
                check_wanted(champion.signature, wanted)
            asked = _Asked(FamilyRows(champion, chosen_by, tensors), origin, reply, started)
            most = asked.rows.most_members(limit)
            chosen = chosen_members(lane, segments, after)
            return await self._infer(lane, champion, asked, chosen[:most], more=len(chosen) > most)
        except Exception as error:
            self._statistics.failed(endpoint, lane.route.champion, error, started, self._nanoseconds())
            raise
        finally:
            lane.leave()
            self._statistics.in_flight -= 1

    async def _infer(
        self, lane: Lane, champion: LoadedVersion, asked: _Asked, members: Sequence[Member], *, more: bool
    ) -> FamilyAnswer:
        request = self._new_id(lane.route.endpoint)
        rows = asked.rows
        if members:
            rows.check(members[0])
        sealing: Sealing = OPEN
        if members and (privacy := lane.route.privacy) is not None:
            batch, _ = rows.of(members[0])
            sealing = await self._desk.sealing(privacy, champion.signature, batch, asked.origin)
        read = self._nanoseconds()
        scored: list[_Scored] = []
        for start in range(0, len(members), _AT_ONCE):
            some = members[start : start + _AT_ONCE]
            if lane.route.plug is None:
                await self._load(some)
            for member in some:
                first = len(scored) * rows.count
                scored.append(await self._score(lane, champion, request, asked, member, first, sealing))
            await asyncio.sleep(0)
        done = self._nanoseconds()
        payloads = [one.payload for one in scored if one.payload is not None]
        if not payloads and scored and (failed := scored[0].answer.error) is not None:
            raise failed
        route = lane.route
        answer = FamilyAnswer(
            request,
            route.endpoint,
            rows.count,
            [one.answer for one in scored],
            members[-1].segment if more and members else None,
        )
        flag = None
        if payloads and asked.reply is not None:
            flag = await self._journal.append(*payloads, reply=await asked.reply(answer))
        elif payloads:
            flag = await self._journal.append(*payloads)
        if flag is not None:
            answer = answer.unrecorded(flag)
        self._statistics.of(route.endpoint).answered(
            route.champion,
            "champion",
            len(payloads) * rows.count,
            asked.started,
            read,
            done,
            self._nanoseconds(),
        )
        return answer

    async def _load(self, members: Sequence[Member]) -> None:
        """Load what is cold, all at once; whether that worked is seen version by version."""
        cold = {
            member.version
            for member in members
            if member.version is not None
            and member.plug is None
            and self._shelf.ready(member.version) is None
        }
        if cold:
            await asyncio.gather(*map(self._shelf.get, cold), return_exceptions=True)

    async def _score(
        self,
        lane: Lane,
        champion: LoadedVersion,
        request: str,
        asked: _Asked,
        member: Member,
        first: int,
        sealing: Sealing,
    ) -> _Scored:
        version = member.version or lane.route.champion
        off = "plug" if member.plug is not None or lane.route.plug is not None else ""
        part = Part(version, "champion", None, member.segment, off)
        began = self._nanoseconds()
        try:
            batch, row_flags = asked.rows.of(member)
            given: Given = await self._answering.give(lane, champion, batch, part)
        except TsavoError as error:
            failed = MemberAnswer(
                member.segment, version, "champion", first, champion.signature, (), error=error
            )
            return _Scored(failed, None)
        # How long the others took before is not this version's latency.
        scored = asked.started + self._nanoseconds() - began
        answer = Answer(
            request,
            lane.route.endpoint,
            given.ref,
            given.role,
            batch.rows,
            given.signature,
            given.outputs,
            given.flags,
            row_flags,
        )
        numbers = tuple(range(first, first + batch.rows))
        write = partial(
            record,
            answer,
            champion.signature,
            batch,
            asked.origin,
            Course(asked.started, asked.started, scored),
            runtime=self._runtime,
            segment=member.segment,
            numbers=numbers,
            sealing=sealing,
        )
        payload = await written(sealing, batch.rows, write)
        told = MemberAnswer(
            member.segment,
            given.ref,
            given.role,
            first,
            given.signature,
            given.outputs,
            given.flags,
            row_flags,
        )
        return _Scored(told, payload)
