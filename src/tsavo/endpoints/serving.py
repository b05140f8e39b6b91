"""One request through an endpoint: validate, route, predict, record, answer.

The order is the promise: the record is on disk before the answer is returned. Shadow challengers score after
the answer, from a bounded queue, and can neither slow nor break it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, Protocol

import msgspec
import numpy as np
import numpy.typing as npt

from tsavo.endpoints.inputs import InputTensor
from tsavo.endpoints.loaded import LoadedVersion, VersionShelf, project
from tsavo.endpoints.shadows import ShadowQueue, ShadowWork
from tsavo.vocabulary import (
    NUMPY_DTYPES,
    Batch,
    ConstantFallback,
    DecisionRecord,
    Invalid,
    NotFound,
    Overloaded,
    Role,
    Route,
    Signature,
    Tensor,
    TsavoError,
    Unavailable,
    VersionRef,
    encode_record,
    input_tensors,
)

__all__ = ["Answer", "DataPlane", "Recorder"]

_MICROSECOND: Final = 1_000


class Recorder(Protocol):
    """The journal, as far as serving needs it."""

    def append(self, payload: bytes) -> Any:
        """An awaitable that is done when `payload` is on disk."""
        ...


class Answer(msgspec.Struct, frozen=True, gc=False):
    """What goes back to the caller; outputs are in the order of `signature.outputs`."""

    request: str
    endpoint: str
    version: VersionRef
    role: Role
    rows: int
    signature: Signature
    outputs: tuple[npt.NDArray[Any], ...]
    flags: tuple[str, ...]
    row_flags: dict[int, list[str]]


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
    """

    def __init__(
        self,
        shelf: VersionShelf,
        journal: Recorder,
        new_id: Callable[[], str],
        nanoseconds: Callable[[], int],
    ) -> None:
        self._shelf = shelf
        self._journal = journal
        self._new_id = new_id
        self._nanoseconds = nanoseconds
        self._routes: dict[str, Route] = {}
        self._coming: dict[str, Route] = {}
        self._shadows = ShadowQueue(shelf, self._record_shadow)

    def announce(self, routes: Iterable[Route]) -> None:
        """These routes are about to be followed: what they name is not forgotten."""
        self._coming.update({route.endpoint: route for route in routes})

    def apply(self, routes: Iterable[Route]) -> None:
        """Follow these routes from the next request on. A route already known at a newer revision stays."""
        for route in routes:
            present = self._routes.get(route.endpoint)
            if present is None or present.revision < route.revision:
                self._routes[route.endpoint] = route
            coming = self._coming.get(route.endpoint)
            if coming is not None and coming.revision <= route.revision:
                del self._coming[route.endpoint]

    def forget_unused(self) -> None:
        """Let go of versions that no route names any more."""
        routes = [*self._routes.values(), *self._coming.values()]
        self._shelf.keep_only({ref for route in routes for ref in route.versions()})

    @property
    def endpoints(self) -> int:
        """How many endpoints there are."""
        return len(self._routes)

    def has(self, endpoint: str) -> bool:
        """Whether there is such an endpoint."""
        return endpoint in self._routes

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
    ) -> Answer:
        """Score one request; when this returns, its decisions are on disk.

        Parameters
        ----------
        wanted
            Output names that the caller asked for; checked here, before anything is scored.

        Raises
        ------
        NotFound, Invalid, TooLarge
            When the caller is wrong; nothing is recorded then.
        Unavailable, Overloaded
            When no step of the route can answer, or the decision cannot be recorded.
        """
        started = self._nanoseconds()
        route = self.route(endpoint)
        champion = self._shelf.ready(route.champion) or await self._shelf.get(route.champion)
        if wanted is not None:
            _check_wanted(champion.signature, wanted)
        batch, row_flags = champion.reader.read(tensors)
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
        await self._journal.append(self._record(answer, champion.signature, batch, started, caller))
        if route.challengers:
            self._shadows.offer(
                ShadowWork(request, started, endpoint, champion.signature, batch, caller), route.challengers
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
                outputs = _constant_outputs(champion.signature, step, batch.rows)
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
        raise _nothing_answers(route, champion, why, cause)

    def _record(self, answer: Answer, spoken: Signature, batch: Batch, started: int, caller: str) -> bytes:
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
                latency_us=(self._nanoseconds() - started) // _MICROSECOND,
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


def _check_wanted(signature: Signature, wanted: Sequence[str]) -> None:
    known = [output.name for output in signature.outputs]
    for name in wanted:
        if name not in known:
            raise Invalid("no such output", field="outputs", found=name, expected=f"one of {known}")


def _constant_outputs(
    signature: Signature, constant: ConstantFallback, rows: int
) -> tuple[npt.NDArray[Any], ...]:
    outputs = []
    for output in signature.outputs:
        shape = (rows,) if output.width is None else (rows, output.width)
        array = np.empty(shape, dtype=NUMPY_DTYPES[output.dtype])
        array[:] = constant.outputs[output.name]
        outputs.append(array)
    return tuple(outputs)


def _nothing_answers(route: Route, champion: LoadedVersion, why: str, cause: Exception | None) -> Unavailable:
    if isinstance(cause, Overloaded) and not route.fallback:
        return cause
    known = champion.failure if cause is None else cause
    retry_after = known.retry_after if isinstance(known, TsavoError) else None
    if why == "plug" and route.plug is not None:
        reason = f"the plug of '{route.endpoint}' is pulled"
        mend = f"put it back with 'tsavo plug {route.endpoint} --off', or give it a fallback"
    else:
        # A worker names its version; it is named here already.
        told = known.reason.removeprefix(f"{champion.ref}: ") if isinstance(known, TsavoError) else ""
        said = f": {told}" if told else ""
        reason = f"{champion.ref} cannot answer{said}"
        mend = f"roll back with 'tsavo rollback {route.endpoint}', or give it a fallback"
    empty = "" if route.fallback else " and it has no fallback"
    return Unavailable(
        reason + empty, field="endpoint", found=route.endpoint, next_step=mend, retry_after=retry_after
    )
