"""Decisions as the journal keeps them: one record for each version that answered rows of a request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy.typing as npt

from tsavo.endpoints.answers import Answer
from tsavo.endpoints.loaded import LoadedVersion, project
from tsavo.endpoints.origins import Course, Origin
from tsavo.endpoints.parts import Given, Part, take_rows
from tsavo.endpoints.sealing import OPEN, Sealing
from tsavo.endpoints.shadows import ShadowWork
from tsavo.vocabulary import (
    Batch,
    DecisionRecord,
    Signature,
    Tensor,
    encode_record,
)

if TYPE_CHECKING:
    from tsavo.journal import KeptReply

__all__ = ["Recorder", "part_records", "record", "shadow_record"]

_MICROSECOND: Final = 1_000


class Recorder(Protocol):
    """The journal, as far as serving needs it."""

    def append(self, payload: bytes, *more: bytes, reply: KeptReply | None = None) -> Any:
        """An awaitable that is done when all of it is on disk (all, or nothing), with ``None``.

        Where it cannot be written and may be answered all the same, it holds the flag to answer with.
        """
        ...


def record(
    answer: Answer,
    spoken: Signature,
    batch: Batch,
    origin: Origin,
    course: Course,
    *,
    runtime: str = "",
    segment: str = "",
    numbers: tuple[int, ...] = (),
    sealing: Sealing = OPEN,
) -> bytes:
    """What is kept of an answer that one version gave.

    Parameters
    ----------
    spoken
        The signature in whose order `batch` is.
    runtime
        Digest of what scored.
    numbers
        Of the rows within the request; empty when they are all of it.
    sealing
        How the rows are recorded.
    """
    if answer.signature is not spoken:
        batch = project(batch, spoken, answer.signature)
    started, read, scored = course.started, course.read, course.scored
    begun = origin.begun or started
    veiled = sealing.veil(
        answer.signature,
        batch,
        numbers or range(batch.rows),
        answer.request,
        answer.endpoint,
        answer.version,
    )
    return encode_record(
        DecisionRecord(
            answer.request,
            started,
            answer.endpoint,
            answer.version.model,
            answer.version.number,
            answer.role,
            batch.rows,
            (scored - started) // _MICROSECOND,
            veiled.inputs,
            tuple([Tensor.of(output) for output in answer.outputs]),
            answer.flags,
            answer.row_flags,
            origin.caller,
            segment,
            numbers,
            origin.trace,
            sealing.digest(origin),
            # Clocks may be set back meanwhile.
            max(0, begun - (origin.received or begun)) // _MICROSECOND,
            max(0, read - begun) // _MICROSECOND,
            max(0, scored - read) // _MICROSECOND,
            runtime,
            veiled.hidden,
            veiled.subjects,
            veiled.sealed,
        )
    )


def part_records(
    answer: Answer,
    unseen: dict[int, list[str]],
    spoken: Signature,
    batch: Batch,
    parts: Sequence[Part],
    given: Sequence[Given],
    origin: Origin,
    course: Course,
    *,
    runtime: str = "",
    sealing: Sealing = OPEN,
) -> list[bytes]:
    """What is kept of an answer that several versions gave for some rows each.

    Parameters
    ----------
    unseen
        Flags of single rows from before anybody answered.
    """
    payloads = []
    for part, one in zip(parts, given, strict=True):
        numbers = () if part.places is None else tuple(part.places.tolist())
        flags = {at: unseen[row] for at, row in enumerate(numbers) if row in unseen} if unseen else {}
        own = Answer(
            answer.request,
            answer.endpoint,
            one.ref,
            one.role,
            len(numbers),
            one.signature,
            one.outputs,
            one.flags,
            flags,
        )
        rows = take_rows(batch, part.places)
        payloads.append(
            record(
                own,
                spoken,
                rows,
                origin,
                course,
                runtime=runtime,
                segment=part.segment,
                numbers=numbers,
                sealing=sealing,
            )
        )
    return payloads


def shadow_record(
    work: ShadowWork,
    shadow: LoadedVersion,
    batch: Batch,
    outputs: tuple[npt.NDArray[Any], ...],
    microseconds: int,
    *,
    runtime: str = "",
) -> bytes:
    """What is kept of a shadow's outputs; `batch` is as that version saw it."""
    veiled = work.sealing.veil(
        shadow.signature, batch, range(batch.rows), work.request, work.endpoint, shadow.ref
    )
    return encode_record(
        DecisionRecord(
            request=work.request,
            time=work.time,
            endpoint=work.endpoint,
            model=shadow.ref.model,
            version=shadow.ref.number,
            role="shadow",
            rows=batch.rows,
            latency_us=microseconds,
            inputs=veiled.inputs,
            outputs=tuple(Tensor.of(output) for output in outputs),
            caller=work.origin.caller,
            trace=work.origin.trace,
            digest=work.sealing.digest(work.origin),
            predict_us=microseconds,
            runtime=runtime,
            hidden=veiled.hidden,
            subjects=veiled.subjects,
            sealed=veiled.sealed,
        )
    )
