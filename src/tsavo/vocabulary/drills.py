"""Fire drills: what each gateway worker found out about a fallback chain, and what that comes to."""

from __future__ import annotations

from typing import Literal

import msgspec

from tsavo.vocabulary.endpoints import Drill

__all__ = ["DrillReport", "StepReport", "StepTried", "WorkerDrill"]


class StepTried(msgspec.Struct):
    """One step of a chain, as far as one worker has tried it.

    Attributes
    ----------
    step
        0 for the champion, else its place in the chain from 1.
    reasons
        Why it failed -> on how many requests; the first few.
    latencies_us
        Of each answered request, in microseconds.
    compared, differences, largest
        Numbers that the step and the real answer both had; their absolute differences added up, and the largest.
    lacking
        Numbers that were missing (NaN) in one of the two only.
    labels, equal
        Rows with labels (or other outputs that are no numbers), and on how many the step said the same.
    given_up
        It did not answer in time, so it was not tried again.
    """

    step: int
    what: str
    requests: int = 0
    rows: int = 0
    answered: int = 0
    failed: int = 0
    reasons: dict[str, int] = {}
    latencies_us: list[int] = []
    compared: int = 0
    differences: float = 0.0
    largest: float = 0.0
    lacking: int = 0
    labels: int = 0
    equal: int = 0
    given_up: bool = False


class WorkerDrill(msgspec.Struct):
    """What one gateway worker did for a drill.

    Attributes
    ----------
    drill
        The drill's id.
    skipped
        Requests that were not tried because earlier ones still waited.
    """

    drill: str
    worker: str
    requests: int = 0
    rows: int = 0
    skipped: int = 0
    steps: list[StepTried] = []


class StepReport(msgspec.Struct, frozen=True):
    """One step of a chain, over all workers.

    Attributes
    ----------
    step
        0 for the champion, which is tried for comparison; else its place in the chain from 1.
    what
        A version, ``constant`` or ``rule table``.
    requests, rows
        Tried.
    reasons
        Why it failed, the most frequent first.
    p50_us, p99_us
        Of answered requests, in microseconds.
    mean_difference, largest_difference
        Between its numbers and those that were really answered; ``None`` where there was nothing to compare.
    lacking
        Numbers that were missing in one of the two only.
    equal_labels
        The share of rows on which it said the same label as the real answer, from 0 to 1.
    given_up
        It did not answer in time, so it was not tried again.
    """

    step: int
    what: str
    requests: int
    rows: int
    answered: int
    failed: int
    reasons: tuple[str, ...]
    p50_us: float | None
    p99_us: float | None
    mean_difference: float | None
    largest_difference: float | None
    lacking: int
    equal_labels: float | None
    given_up: bool


class DrillReport(msgspec.Struct, frozen=True):
    """What a drill has found so far.

    Attributes
    ----------
    state
        ``over`` once enough requests were tried, or its time is up.
    requests, rows, skipped
        Copies of live requests that were tried, the rows in them, and requests that came too fast to be tried.
    holds
        Whether every step answered every request; ``None`` before a request came.
    verdict
        The same in words, with the next step.
    """

    endpoint: str
    drill: Drill
    state: Literal["running", "over"]
    requests: int
    rows: int
    skipped: int
    steps: tuple[StepReport, ...]
    holds: bool | None
    verdict: str
