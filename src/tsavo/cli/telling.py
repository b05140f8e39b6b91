"""Endpoints, models and versions, told to a person."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from tsavo.cli.printing import as_text, print_pairs, print_table
from tsavo.vocabulary import (
    Alert,
    ConstantFallback,
    Fallback,
    Field,
    Finding,
    Model,
    Route,
    RulesFallback,
    RuntimeName,
    Verification,
    Version,
    span_words,
)

__all__ = ["tell_endpoint", "tell_findings", "tell_model", "tell_version", "told_challengers"]


def tell_endpoint(told: dict[str, Any]) -> None:
    """An endpoint with its route, its findings and its open alerts."""
    route = msgspec.convert(told["route"], Route)
    plug = route.plug
    limits = route.limits
    print_pairs(
        [
            ("endpoint", route.endpoint),
            ("state", f"PLUG PULLED by {plug.by}: {plug.why or 'no reason given'}" if plug else "serving"),
            ("champion", route.champion),
            ("family", _told_family(route, told.get("members"))),
            ("challengers", told_challengers(route)),
            ("fallback", [_told_step(step) for step in route.fallback]),
            ("time limit", f"{limits.milliseconds:,} ms" if limits.milliseconds else None),
            ("at once", f"{limits.concurrent:,} requests in each gateway" if limits.concurrent else None),
            ("warm", "always in memory" if route.warm else None),
            ("guard", "rows that lack a value go to the fallback chain" if route.guard else None),
            ("changed", f"{route.changed:%Y-%m-%d %H:%M:%S} by {route.changed_by}" if route.changed else ""),
            ("outcomes", _told_labels(told.get("labels"))),
            ("address", told.get("url")),
        ]
    )
    tell_findings(msgspec.convert(told.get("findings", []), list[Finding]))
    alerts = msgspec.convert(told.get("alerts", []), list[Alert])
    if alerts:
        print("\nopen alerts")
        for alert in alerts:
            print(f"  {alert.id}  {as_text(alert.text)}")
    print()


def _told_labels(labels: dict[str, Any] | None) -> str:
    if not labels or labels["median_seconds"] is None:
        return ""
    median, most = span_words(labels["median_seconds"]), span_words(labels["p95_seconds"])
    lag = f"{median} after the decision (median), 95 % within {most}"
    return f"{labels['known']:,} known, {labels['corrected']:,} corrected; they come {lag}"


def _told_family(route: Route, members: int | None) -> str:
    if route.segments is None:
        return ""
    others = "answered by the champion" if route.segments.unseen == "parent" else "refused"
    return f"{members or 0:,} members by '{as_text(route.segments.key)}'; rows of other segments are {others}"


def told_challengers(route: Route) -> list[str]:
    """Each challenger with its part, as a person would say it."""
    return [
        f"shadow {one.version}"
        if one.mode == "shadow"
        else f"{one.version} answers {one.share * 100:.4g} % by {route.split.by}"
        for one in route.challengers
    ]


def _told_step(step: Fallback) -> str:
    if isinstance(step, ConstantFallback):
        return f"constant {step.outputs}"
    if isinstance(step, RulesFallback):
        return f"table of {len(step.rules)} {'rule' if len(step.rules) == 1 else 'rules'}"
    return str(step.version)


def tell_findings(findings: list[Finding]) -> None:
    """What the monitors say, in their own words."""
    if findings:
        print("\nmonitors")
    for finding in findings:
        print(f"  {'ALARM' if finding.alarm else '     '} {finding.monitor:<12} {as_text(finding.text)}")


def tell_model(told: dict[str, Any]) -> None:
    """A model with its brief and its versions."""
    model = msgspec.convert(told["model"], Model)
    brief = model.brief
    print_pairs(
        [
            ("model", model.name),
            ("owner", model.owner),
            ("problem", brief.problem),
            ("decision", brief.decision),
            ("value", brief.value),
            ("assumptions", brief.assumptions),
        ]
    )
    versions = msgspec.convert(told["versions"]["items"], list[Version])
    rows = [
        [
            version.ref,
            version.created,
            version.lineage.registered_by,
            version.lineage.framework,
            _checks(version),
        ]
        for version in versions
    ]
    print()
    print_table(("version", "registered", "by", "framework", "checks"), rows, nothing="No versions yet.")


def _checks(version: Version) -> str:
    failed = [check.name for check in version.checks if not check.passed]
    return f"failed: {', '.join(failed)}" if failed else f"{len(version.checks)} passed"


def tell_version(version: Version, verifications: Sequence[Verification] = ()) -> None:
    """A version with its signature, how it runs, its checks, its lineage, and its latest verifications."""
    lineage, signature = version.lineage, version.signature
    environment = version.environment
    print_pairs(
        [
            ("version", version.ref),
            ("digest", version.digest),
            ("artifact", version.artifact),
            ("task", signature.task),
            ("classes", list(signature.classes or [])),
            ("runtime", f"{_RUNTIMES[version.runtime]}, {version.artifact_bytes:,} bytes"),
            ("why", version.reason),
            ("environment", f"Python {environment.python}, {environment.digest}" if environment else None),
            ("its packages", environment.requirements if environment else None),
            ("registered", f"{version.created:%Y-%m-%d %H:%M:%S} by {lineage.registered_by}"),
            ("source", f"{lineage.source_name} ({lineage.source_format}, {lineage.framework})"),
            ("source digest", lineage.source_digest),
            ("trusted by", lineage.trusted_by or "nobody had to: it carries no code"),
            ("code commit", lineage.code_commit),
            ("reference", f"{version.reference.rows:,} rows" if version.reference else "none"),
            ("reference digest", version.reference.digest if version.reference else None),
            ("data digest", lineage.data_digest),
            ("target", version.reference.target if version.reference else None),
            ("golden rows", f"{version.golden.rows:,}" if version.golden else "none"),
            ("python", lineage.python),
            ("libraries", lineage.libraries),
        ]
    )
    print()
    rows = [[field.name, field.dtype, field.unit, field.nullable, _seen(field)] for field in signature.inputs]
    print_table(("input", "type", "unit", "may be missing", "seen in the reference"), rows)
    print()
    print_table(
        ("output", "type", "values a row"),
        [[output.name, output.dtype, output.width or 1] for output in signature.outputs],
    )
    print()
    for check in version.checks:
        print(f"{'ok ' if check.passed else 'NO '} {check.name}: {as_text(check.summary)}")
        print_pairs([(f"    {name.replace('_', ' ')}", figure) for name, figure in check.figures.items()])
    for found in verifications:
        asked = f" beside {', '.join(found.requirements)}" if found.requirements else ""
        print(
            f"{'ok ' if found.fine else 'NO '} verified {found.time:%Y-%m-%d %H:%M:%S} by {as_text(found.by)}"
            f"{as_text(asked)}: {as_text(found.summary)}"
        )


_RUNTIMES: Final[dict[RuntimeName, str]] = {
    "onnx": "compiled (ONNX), in the gateway's own process",
    "python": "as it is, in a Python worker",
}


def _seen(field: Field) -> str:
    if field.categories is not None:
        shown = as_text(field.categories[:6])
        more = f" and {len(field.categories) - 6} more" if len(field.categories) > 6 else ""
        return f"{shown}{more} (others are {'refused' if field.unseen == 'refuse' else 'flagged'})"
    return "" if field.low is None or field.high is None else f"{field.low:.6g} to {field.high:.6g}"
