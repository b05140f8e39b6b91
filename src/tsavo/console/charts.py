"""Charts as Vega-Lite specifications: plain functions that return dicts, with their data inside.

Colours are names of the page's own palette; ``console.js`` puts in what they are in light and in dark.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from tsavo.lake import Lake

__all__ = ["Chart", "bands", "endpoint_charts", "evidence_over_time", "latency_lines", "traffic_bars"]

_SCHEMA: Final = "https://vega.github.io/schema/vega-lite/v6.json"
_WINDOWS: Final = (
    timedelta(minutes=2),
    timedelta(minutes=10),
    timedelta(hours=1),
    timedelta(hours=6),
    timedelta(days=2),
    timedelta(days=14),
)
_MINUTE: Final = timedelta(minutes=1)
_BARS: Final = 60
_ROLES: Final = ["champion", "fallback", "shadow"]
_ROLE_COLORS: Final = ["accent", "alarm", "quiet"]
_ALARM_POWER: Final = 2.0


class Chart(NamedTuple):
    """A chart with its heading and what it shows in words."""

    name: str
    title: str
    words: str
    spec: dict[str, Any]


def endpoint_charts(lake: Lake, endpoint: str, now: datetime) -> list[Chart]:
    """The charts of an endpoint's page, over the shortest window that holds all of its recent traffic."""
    last = lake.activity([endpoint], now - _WINDOWS[-1])[endpoint].last or now
    window = _window(lake, endpoint, last)
    bucket = window / _BARS
    traffic = lake.traffic(endpoint, last - window, bucket).to_pylist()
    points = lake.points(endpoint, None, last - window - _MINUTE, None, 20_000).to_pylist()
    charts = [
        Chart("traffic", "Traffic", "Decisions over time, by who answered.", traffic_bars(traffic, bucket)),
        Chart("latency", "Latency", "Median and 95th percentile, in milliseconds.", latency_lines(traffic)),
    ]
    drift = _last_by_minute(_of(points, "drift", ""))
    if drift:
        words = "Evidence that inputs have left their reference, in powers of ten. Above the line: alarm."
        charts.append(Chart("drift", "Drift", words, evidence_over_time(drift)))
    losses = _by_minute([point for point in points if point["monitor"] == "performance"])
    if losses:
        words = "Loss on decisions whose outcome is known, minute by minute as outcomes came."
        charts.append(Chart("performance", "Performance", words, bands(losses)))
    return charts


def _window(lake: Lake, endpoint: str, last: datetime) -> timedelta:
    """The shortest window before the last decision that holds nine tenths of the longest one's decisions."""
    counts = [lake.activity([endpoint], last - window)[endpoint].decisions for window in _WINDOWS]
    return next(window for window, count in zip(_WINDOWS, counts, strict=True) if count >= counts[-1] * 0.9)


def _by_minute(points: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """One point a subject and minute; batches that share a minute weigh by their rows."""
    sums: dict[tuple[str, datetime], list[float]] = {}
    for point in points:
        weighed = sums.setdefault((point["subject"], point["time"]), [0.0, 0])
        weighed[0] += point["value"] * point["rows"]
        weighed[1] += point["rows"]
    return [
        {"subject": subject, "time": time, "value": total / rows, "rows": rows}
        for (subject, time), (total, rows) in sums.items()
        if rows
    ]


def _last_by_minute(points: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The last point of each minute: evidence is a state, not a mean."""
    return list({point["time"]: point for point in points}.values())


def _of(points: Sequence[Mapping[str, Any]], monitor: str, subject: str) -> list[Mapping[str, Any]]:
    return [point for point in points if point["monitor"] == monitor and point["subject"] == subject]


def traffic_bars(rows: Sequence[Mapping[str, Any]], bucket: timedelta) -> dict[str, Any]:
    """Decisions by time and role, stacked.

    >>> traffic_bars([], timedelta(seconds=60))["mark"]["type"]
    'rect'
    """
    values = []
    height: dict[datetime, int] = {}
    for row in sorted(rows, key=lambda row: _ROLES.index(row["role"])):
        foot = height.get(row["time"], 0)
        height[row["time"]] = foot + row["decisions"]
        # A little narrower than the bucket, so that bars stand apart.
        span = {"time": _time(row["time"]), "end": _time(row["time"] + bucket * 0.85)}
        values.append(
            {
                **span,
                "foot": foot,
                "top": height[row["time"]],
                "role": row["role"],
                "decisions": row["decisions"],
            }
        )
    return _spec(
        values,
        mark={"type": "rect"},
        encoding={
            "x": {"field": "time", "type": "temporal", "title": None, "scale": {"type": "utc"}},
            "x2": {"field": "end"},
            "y": {"field": "foot", "type": "quantitative", "title": "decisions"},
            "y2": {"field": "top"},
            "color": _color("role", _ROLES, _ROLE_COLORS),
            "tooltip": _tooltip("time", "role", "decisions"),
        },
    )


def latency_lines(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Median and 95th percentile of what callers waited for; shadows are left out."""
    values = [
        {"time": _time(row["time"]), "latency": name, "ms": row[column] / 1000}
        for row in rows
        if row["role"] == "champion"
        for name, column in (("median", "p50_us"), ("95 %", "p95_us"))
        if row[column] is not None
    ]
    return _spec(
        values,
        mark={"type": "line", "point": {"size": 12}},
        encoding={
            "x": {"field": "time", "type": "temporal", "title": None, "scale": {"type": "utc"}},
            "y": {"field": "ms", "type": "quantitative", "title": "ms"},
            "color": _color("latency", ["median", "95 %"], ["accent", "quiet"]),
            "tooltip": _tooltip("time", "latency", "ms"),
        },
    )


def evidence_over_time(points: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The drift monitor's evidence as a power of ten, with the line at which it alarms."""
    values = [{"time": _time(point["time"]), "power": _power(point["value"])} for point in points]
    x = {"field": "time", "type": "temporal", "title": None, "scale": {"type": "utc"}}
    line = {
        "mark": {"type": "line", "color": "accent", "point": {"size": 12}},
        "encoding": {
            "x": x,
            "y": {"field": "power", "type": "quantitative", "title": "evidence, 10^y"},
            "tooltip": _tooltip("time", "power"),
        },
    }
    rule = {
        "data": {"values": [{"alarm": _ALARM_POWER}]},
        "mark": {"type": "rule", "strokeDash": [4, 4], "color": "alarm"},
        "encoding": {"y": {"field": "alarm", "type": "quantitative"}},
    }
    return {
        "$schema": _SCHEMA,
        "width": "container",
        "height": 150,
        "data": {"values": values},
        "layer": [line, rule],
    }


def bands(points: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A loss over time; its mean weighs each point by its rows."""
    values = [
        {
            "time": _time(point["time"]),
            "what": point["subject"],
            "value": point["value"],
            "rows": point["rows"],
        }
        for point in points
    ]
    names = sorted({value["what"] for value in values})
    return _spec(
        values,
        mark={"type": "line", "point": {"size": 12}},
        encoding={
            "x": {"field": "time", "type": "temporal", "title": None, "scale": {"type": "utc"}},
            "y": {"field": "value", "type": "quantitative", "title": "loss", "scale": {"zero": False}},
            "color": _color("what", names, ["accent", "quiet", "alarm"]),
            "tooltip": _tooltip("time", "what", "value", "rows"),
        },
    )


def _spec(values: list[dict[str, Any]], **parts: Any) -> dict[str, Any]:
    return {"$schema": _SCHEMA, "width": "container", "height": 150, "data": {"values": values}, **parts}


def _color(field: str, names: Sequence[str], colors: Sequence[str]) -> dict[str, Any]:
    return {
        "field": field,
        "type": "nominal",
        "title": None,
        "scale": {"domain": list(names), "range": list(colors)[: len(names)]},
        "legend": {"orient": "top"},
    }


def _tooltip(*fields: str) -> list[dict[str, str]]:
    kinds = {"time": "temporal"}
    numbers = {"decisions", "ms", "power", "value", "rows"}
    return [
        {"field": field, "type": kinds.get(field, "quantitative" if field in numbers else "nominal")}
        for field in fields
    ]


def _time(moment: datetime) -> int:
    """Milliseconds since 1970, as Vega takes times."""
    return int(moment.timestamp() * 1000)


def _power(value: float) -> float:
    """The power of ten of an e-value; far below 1 there is nothing to see."""
    import math

    return max(-2.0, math.log10(value)) if value > 0 else -2.0
