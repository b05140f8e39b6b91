"""Charts as Vega-Lite specifications: plain functions that return dicts, with their data inside.

Colours are names of the page's own palette; ``console.js`` puts in what they are in light and in dark.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from tsavo.console.series import Series, Window
from tsavo.vocabulary import Finding

__all__ = ["Chart", "endpoint_charts", "evidence_over_time", "latency_lines", "loss_lines", "traffic_bars"]

# Days and times as the pages write them, whatever step the axis takes.
_TIMES: Final = {
    "year": "%Y",
    "month": "%b",
    "date": "%d %b",
    "hours": "%H:%M",
    "minutes": "%H:%M",
    "seconds": "%H:%M:%S",
}
_SCHEMA: Final = "https://vega.github.io/schema/vega-lite/v6.json"
_HEIGHT: Final = 150
_ROLES: Final = ("champion", "challenger", "fallback", "pinned", "shadow")
_ROLE_COLORS: Final = ("accent", "good", "alarm", "muted", "quiet")
_SUBJECT_COLORS: Final = ("accent", "quiet", "good", "alarm")
# Below this there is nothing to see, and far above the line neither: the text has the figure.
_LEAST_POWER, _MOST_POWER = -2.0, 20.0


class Chart(NamedTuple):
    """A chart with its heading and what it shows in words; no specification where there is nothing to draw."""

    name: str
    title: str
    words: str
    spec: dict[str, Any] | None


def endpoint_charts(series: Series, findings: Sequence[Finding]) -> list[Chart]:
    """The charts of an endpoint's page, all over the same time; those that would hold a single point are left out."""
    window = series.window
    charts = [
        Chart(
            "traffic",
            "Traffic",
            "Decisions over time, by who answered.",
            traffic_bars(series.traffic, window) if series.traffic else None,
        ),
        Chart(
            "latency",
            "Latency",
            "What callers waited for, from request decoded to predicted.",
            latency_lines(series.traffic, window) if series.traffic else None,
        ),
    ]
    if _moments(series.drift) > 1:
        whole = [one for one in findings if one.kind == "drift" and not one.subject and one.threshold]
        threshold = whole[0].threshold if whole else None
        words = "Evidence that inputs have left their reference; above the line: alarm."
        charts.append(Chart("drift", "Drift", words, evidence_over_time(series.drift, window, threshold)))
    if _moments(series.performance) > 1:
        tolerated = {
            one.subject: one.figures["tolerated"]
            for one in findings
            if one.kind == "performance" and "tolerated" in one.figures
        }
        words = "Loss on decisions whose outcome became known; dashed: tolerated."
        charts.append(
            Chart("performance", "Performance", words, loss_lines(series.performance, window, tolerated))
        )
    return charts


def _moments(rows: Sequence[Mapping[str, Any]]) -> int:
    return len({row["time"] for row in rows})


def traffic_bars(rows: Sequence[Mapping[str, Any]], window: Window) -> dict[str, Any]:
    """Decisions by time and role, stacked; rows as `Lake.traffic` gives them."""
    values = []
    height: dict[datetime, int] = {}
    for row in sorted(rows, key=lambda row: _ROLES.index(row["role"])):
        foot = height.get(row["time"], 0)
        height[row["time"]] = foot + row["decisions"]
        values.append(
            {
                "time": _time(row["time"]),
                # A little narrower than the bucket, so that bars stand apart.
                "end": _time(row["time"] + window.bucket * 0.85),
                "foot": foot,
                "top": height[row["time"]],
                "role": row["role"],
                "decisions": row["decisions"],
            }
        )
    return _spec(
        values,
        mark={"type": "rect", "clip": True},
        encoding={
            "x": _over(window),
            "x2": {"field": "end"},
            "y": _quantity("foot", "decisions"),
            "y2": {"field": "top"},
            "color": _color("role", _ROLES, _ROLE_COLORS),
            "tooltip": _tooltip(time="temporal", role="nominal", decisions="quantitative"),
        },
    )


def latency_lines(rows: Sequence[Mapping[str, Any]], window: Window) -> dict[str, Any]:
    """Median and 95th percentile of what callers waited for; shadows, which nobody waits for, are left out."""
    answered: dict[datetime, Mapping[str, Any]] = {}
    for row in rows:
        # Where champion and fallback share a bucket, whoever answered more requests stands for it.
        known = answered.get(row["time"])
        if row["role"] != "shadow" and (known is None or row["requests"] > known["requests"]):
            answered[row["time"]] = row
    values = [
        {"time": _time(row["time"]), "latency": name, "ms": row[column] / 1000}
        for row in answered.values()
        for name, column in (("median", "p50_us"), ("95th percentile", "p95_us"))
        if row[column] is not None
    ]
    return _spec(
        values,
        mark=_LINE,
        encoding={
            "x": _over(window),
            "y": _quantity("ms", "ms"),
            "color": _color("latency", ("median", "95th percentile"), ("accent", "quiet")),
            "tooltip": _tooltip(time="temporal", latency="nominal", ms="quantitative"),
        },
    )


def evidence_over_time(
    points: Sequence[Mapping[str, Any]], window: Window, threshold: float | None
) -> dict[str, Any]:
    """The drift monitor's evidence as a power of ten, with the line at which it alarms."""
    values = [{"time": _time(point["time"]), "power": _power(point["value"])} for point in points]
    line = {
        "mark": {**_LINE, "color": "accent"},
        "encoding": {
            "x": _over(window),
            "y": _quantity("power", "evidence, 10^y"),
            "tooltip": _tooltip(time="temporal", power="quantitative"),
        },
    }
    return _layers(values, line, _rules([] if threshold is None else [{"at": _power(threshold)}]))


def loss_lines(
    points: Sequence[Mapping[str, Any]], window: Window, tolerated: Mapping[str, float]
) -> dict[str, Any]:
    """Losses over time, one line a metric, each with the level that is tolerated."""
    values = [
        {
            "time": _time(point["time"]),
            "loss": point["subject"].replace("_", " "),
            "value": point["value"],
            "rows": point["rows"],
        }
        for point in points
    ]
    names = sorted({value["loss"] for value in values})
    color = _color("loss", names, _SUBJECT_COLORS)
    line = {
        "mark": _LINE,
        "encoding": {
            "x": _over(window),
            "y": _quantity("value", "loss", zero=False),
            "color": color,
            "tooltip": _tooltip(time="temporal", loss="nominal", value="quantitative", rows="quantitative"),
        },
    }
    levels = [
        {"at": level, "loss": subject.replace("_", " ")}
        for subject, level in sorted(tolerated.items())
        if subject.replace("_", " ") in names
    ]
    return _layers(values, line, _rules(levels, color))


_LINE: Final[dict[str, Any]] = {"type": "line", "point": {"size": 14}, "clip": True}


def _spec(values: list[dict[str, Any]], **parts: Any) -> dict[str, Any]:
    return {
        "$schema": _SCHEMA,
        "width": "container",
        "height": _HEIGHT,
        "data": {"values": values},
        **parts,
    }


def _layers(values: list[dict[str, Any]], *layers: dict[str, Any]) -> dict[str, Any]:
    return _spec(values, layer=list(layers))


def _rules(levels: list[dict[str, Any]], color: dict[str, Any] | None = None) -> dict[str, Any]:
    """Dashed lines across the chart, each at its ``at``."""
    return {
        "data": {"values": levels},
        "mark": {"type": "rule", "strokeDash": [4, 4], **({} if color else {"color": "alarm"})},
        "encoding": {
            "y": {"field": "at", "type": "quantitative"},
            **({"color": color} if color else {}),
        },
    }


def _over(window: Window) -> dict[str, Any]:
    """Time, in UTC, from the window's start to its end: every chart of a page has the same."""
    return {
        "field": "time",
        "type": "temporal",
        "title": None,
        # As an expression: Vega-Lite does not take a plain domain for a mark that reaches from x to x2.
        "scale": {
            "type": "utc",
            "domain": {"expr": f"[{_time(window.start)}, {_time(window.end)}]"},
        },
        "axis": {"format": _TIMES},
    }


def _quantity(field: str, title: str, *, zero: bool = True) -> dict[str, Any]:
    return {"field": field, "type": "quantitative", "title": title, "scale": {"zero": zero}}


def _color(field: str, names: Sequence[str], colors: Sequence[str]) -> dict[str, Any]:
    return {
        "field": field,
        "type": "nominal",
        "title": None,
        "scale": {"domain": list(names), "range": [colors[at % len(colors)] for at in range(len(names))]},
        "legend": {"orient": "top"},
    }


def _tooltip(**fields: str) -> list[dict[str, str]]:
    return [
        {"field": field, "type": kind, **({"format": ".4~g"} if kind == "quantitative" else {})}
        if kind != "temporal"
        else {"field": field, "type": kind, "format": "%Y-%m-%d %H:%M:%S", "formatType": "utc"}
        for field, kind in fields.items()
    ]


def _time(moment: datetime) -> int:
    """Milliseconds since 1970, as Vega takes times."""
    return int(moment.timestamp() * 1000)


def _power(value: float) -> float:
    """The power of ten of an e-value, within what a chart can show."""
    return _LEAST_POWER if value <= 0 else min(_MOST_POWER, max(_LEAST_POWER, math.log10(value)))
