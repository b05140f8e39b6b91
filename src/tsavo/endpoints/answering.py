"""Who answers when: one version, and the steps that take over when it may not or cannot."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import numpy.typing as npt

from tsavo.endpoints.answers import constant_outputs, nothing_answers
from tsavo.endpoints.lanes import Lane
from tsavo.endpoints.loaded import LoadedVersion, project
from tsavo.endpoints.parts import Given, Part
from tsavo.endpoints.rules import rule_outputs
from tsavo.endpoints.shelf import VersionShelf
from tsavo.vocabulary import Batch, Fallback, RulesFallback, VersionFallback, VersionRef

__all__ = ["Answering"]


class _TooSlow(Exception):
    """A version took longer than its endpoint allows."""


class _NeedsMore(Exception):
    """A version needs values that are missing."""


class Answering:
    """Gets an answer for some rows: from the version that is to give it, else from the fallback chain.

    Before the chain of the route, the endpoint's champion stands in for a challenger that has a share and for a member
    of a family.
    """

    def __init__(self, shelf: VersionShelf) -> None:
        self._shelf = shelf

    async def give(self, lane: Lane, champion: LoadedVersion, batch: Batch, part: Part) -> Given:
        """The outputs for a part.

        Parameters
        ----------
        champion
            Of the endpoint, in whose terms `batch` is; it may have failed to load.

        Raises
        ------
        Unavailable, Overloaded
            When no step can answer.
        """
        why = part.off
        cause: Exception | None = None
        if not why:
            try:
                version, outputs = await self._predict(lane, champion, batch, part.ref)
            except _TooSlow as error:
                why, cause = "time-out", error
            except (
                Exception
            ) as error:  # a model may fail in any way on a row; then the fallback chain answers
                why, cause = "error", error
            else:
                return Given(version.ref, part.role, version.signature, outputs, part.flags)
        return await self._fall_back(lane, champion, batch, part, why, cause)

    async def _predict(
        self, lane: Lane, champion: LoadedVersion, batch: Batch, ref: VersionRef
    ) -> tuple[LoadedVersion, tuple[npt.NDArray[Any], ...]]:
        if lane.seconds is None:
            return await self._unhurried(champion, batch, ref)
        limit = asyncio.timeout(lane.seconds)
        try:
            async with limit:
                return await self._unhurried(champion, batch, ref)
        except TimeoutError as error:
            # Else it is the model's own, which is an error like any other.
            if limit.expired():
                raise _TooSlow from error
            raise

    async def _unhurried(
        self, champion: LoadedVersion, batch: Batch, ref: VersionRef
    ) -> tuple[LoadedVersion, tuple[npt.NDArray[Any], ...]]:
        version = champion
        if ref != champion.ref:
            version = self._shelf.ready(ref) or await self._shelf.get(ref)
            batch = project(batch, champion.signature, version.signature)
        return version, await version.predict(batch)

    async def _fall_back(
        self,
        lane: Lane,
        champion: LoadedVersion,
        batch: Batch,
        part: Part,
        why: str,
        cause: Exception | None,
    ) -> Given:
        route = lane.route
        flags = (*part.flags, f"fallback:{why}")
        for step in _steps(lane, part.ref):
            # Whatever keeps this step from answering, the next one is asked.
            with suppress(Exception):
                return await self._step(lane, champion, batch, step, flags, part.lacking)
        if part.refusal is not None:
            raise part.refusal
        # A challenger's or a member's own failure is nobody's business who asked the endpoint; its champion's is.
        told = cause if part.ref == route.champion else None
        raise nothing_answers(route, champion, why, told)

    async def _step(
        self,
        lane: Lane,
        champion: LoadedVersion,
        batch: Batch,
        step: Fallback,
        flags: tuple[str, ...],
        lacking: frozenset[str],
    ) -> Given:
        if isinstance(step, VersionFallback):
            if lacking:
                needs = (await self._shelf.get(step.version)).signature
                if any(field.name in lacking and not field.nullable for field in needs.inputs):
                    raise _NeedsMore
            other, outputs = await self._predict(lane, champion, batch, step.version)
            return Given(other.ref, "fallback", other.signature, outputs, flags)
        signature = champion.signature
        if isinstance(step, RulesFallback):
            outputs, kind = rule_outputs(signature, step, batch), "rules"
        else:
            outputs, kind = constant_outputs(signature, step, batch.rows), "constant"
        return Given(champion.ref, "fallback", signature, outputs, (*flags, kind))


def _steps(lane: Lane, failed: VersionRef) -> Iterator[Fallback]:
    route = lane.route
    if failed != route.champion and route.plug is None:
        yield VersionFallback(route.champion)
    for step in route.fallback:
        if not isinstance(step, VersionFallback) or step.version != failed:
            yield step
