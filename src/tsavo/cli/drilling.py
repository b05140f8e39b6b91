"""``limit`` and ``drill``: what an endpoint may take, and whether its fallbacks would hold."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import UNSET, UnsetType

from tsavo.cli.options import Common, Options
from tsavo.cli.printing import as_text, print_json, print_table
from tsavo.vocabulary import DrillReport, StepReport

__all__ = ["drill", "limit"]


def limit(
    endpoint: str,
    /,
    *,
    milliseconds: int | Literal["none"] | None = None,
    concurrent: int | Literal["none"] | None = None,
    warm: bool | None = None,
    guard: bool | None = None,
    why: str = "",
    options: Common = Options(),
) -> int:
    """What an endpoint may take: time, requests at once, a place in memory. What is not given stays as it is.

    Parameters
    ----------
    endpoint
        The endpoint.
    milliseconds
        After so long without an answer of a version the fallback chain answers; none takes the limit away.
    concurrent
        So many requests are worked on at the same time in each gateway process, and more are turned away; none takes
        the limit away.
    warm
        Load its versions when a gateway starts, and never let go of them to make room for others.
    guard
        Let the fallback chain answer rows that lack a value which the model needs, instead of refusing the request.
    why
        Kept in the audit trail.
    """
    with options.connected() as client:
        route = client.endpoint(endpoint).limit(
            milliseconds=_given(milliseconds),
            concurrent=_given(concurrent),
            warm=UNSET if warm is None else warm,
            guard=UNSET if guard is None else guard,
            why=why,
        )
    if options.json:
        print_json({"route": route})
        return 0
    limits = route.limits
    time = f"{limits.milliseconds:,} ms" if limits.milliseconds else "no time limit"
    many = (
        f"{limits.concurrent:,} requests at once"
        if limits.concurrent
        else "half of a gateway's requests at once"
    )
    place = "always in memory" if route.warm else "in memory while there is room"
    guarded = ", guarded" if route.guard else ""
    print(f"{endpoint}: {time}, {many}, {place}{guarded}")
    return 0


def _given(value: int | Literal["none"] | None) -> int | UnsetType | None:
    return UNSET if value is None else None if value == "none" else value


def drill(
    endpoint: str,
    /,
    *,
    requests: int = 200,
    seconds: int = 60,
    why: str = "",
    options: Common = Options(),
) -> int:
    """Try every step of a fallback chain on copies of live requests; exit 1 when one cannot answer, or none came.

    No answer changes, and nothing is recorded as a decision.

    Parameters
    ----------
    endpoint
        The endpoint.
    requests
        How many live requests are tried.
    seconds
        How long they are waited for.
    why
        Kept in the audit trail.
    """
    with options.connected() as client:
        if (tell := options.progress()) is not None:
            tell(f"trying the next {requests:,} requests of '{endpoint}', for {seconds:,} s at most")
        report = client.endpoint(endpoint).drill(requests=requests, seconds=seconds, why=why)
    if options.json:
        print_json(report)
    else:
        _tell_drill(report)
    return 0 if report.holds else 1


def _tell_drill(report: DrillReport) -> None:
    if report.requests:
        print_table(
            (
                "step",
                "what",
                "requests",
                "answered",
                "failed",
                "p50",
                "p99",
                "mean difference",
                "largest",
                "same label",
            ),
            [_row(step) for step in report.steps],
        )
        for step in report.steps:
            for reason in step.reasons:
                print(f"  {step.what}: {as_text(reason)}")
        if report.skipped:
            print(f"  {report.skipped:,} requests came too fast and were left out")
    print(as_text(report.verdict[:1].upper() + report.verdict[1:] + "."))


def _row(step: StepReport) -> list[Any]:
    return [
        step.step or "champion",
        step.what,
        step.requests,
        step.answered,
        step.failed,
        _milliseconds(step.p50_us),
        _milliseconds(step.p99_us),
        step.mean_difference,
        step.largest_difference,
        None if step.equal_labels is None else f"{step.equal_labels:.1%}",
    ]


def _milliseconds(microseconds: float | None) -> str:
    return "" if microseconds is None else f"{microseconds / 1000:.3g} ms"
