from __future__ import annotations

import json
from datetime import timedelta
from typing import Any, get_args

import pytest

from tests.examples import NOON
from tsavo.console.charts import endpoint_charts, evidence_over_time, latency_lines, loss_lines, traffic_bars
from tsavo.console.series import Series, Window
from tsavo.vocabulary import Finding, Role

WINDOW = Window("1h", NOON - timedelta(hours=1), NOON)
MINUTE = timedelta(minutes=1)


def row(minutes: int, role: str, decisions: int, p50: float = 100, p95: float = 900) -> dict[str, Any]:
    """A bucket as the lake gives it."""
    return {
        "time": NOON - minutes * MINUTE,
        "role": role,
        "decisions": decisions,
        "requests": decisions,
        "p50_us": p50,
        "p95_us": p95,
    }


def point(minutes: int, value: float, subject: str = "") -> dict[str, Any]:
    return {"time": NOON - minutes * MINUTE, "value": value, "subject": subject, "rows": 10}


def finding(kind: Any, subject: str = "", threshold: float | None = 100.0, **figures: Any) -> Finding:
    return Finding("e", kind, kind, subject, "m@1", NOON, 10, threshold=threshold, figures=figures)


def values(spec: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = spec["data"]["values"]
    return found


def test_bars_of_one_bucket_stand_on_each_other_without_gap_or_overlap() -> None:
    rows = [row(5, "shadow", 7), row(5, "champion", 10), row(5, "fallback", 2), row(4, "champion", 1)]
    bars = [bar for bar in values(traffic_bars(rows, WINDOW)) if bar["decisions"] != 1]
    assert [bar["role"] for bar in bars] == ["champion", "fallback", "shadow"]
    assert [(bar["foot"], bar["top"]) for bar in bars] == [(0, 10), (10, 12), (12, 19)]
    assert all(bar["top"] - bar["foot"] == bar["decisions"] for bar in bars)


def test_whoever_answered_has_a_bar_of_a_colour_of_its_own() -> None:
    spec = traffic_bars([row(5, role, 1) for role in get_args(Role)], WINDOW)
    assert {bar["role"] for bar in values(spec)} == set(get_args(Role))
    scale = spec["encoding"]["color"]["scale"]
    assert len(set(scale["range"])) == len(scale["domain"]) == len(get_args(Role))


def test_a_bar_is_no_wider_than_its_bucket() -> None:
    (bar,) = values(traffic_bars([row(5, "champion", 1)], WINDOW))
    assert 0 < bar["end"] - bar["time"] < WINDOW.bucket / timedelta(milliseconds=1)


def test_nobody_waits_for_a_shadow() -> None:
    lines = values(latency_lines([row(5, "champion", 1, 200, 400), row(5, "shadow", 9, 1, 2)], WINDOW))
    assert {line["latency"]: line["ms"] for line in lines} == {"median": 0.2, "95th percentile": 0.4}


def test_while_the_plug_is_pulled_the_fallbacks_latency_is_shown() -> None:
    rows = [
        row(5, "champion", 2, 100, 100),
        row(5, "fallback", 50, 300, 300),
        row(4, "fallback", 1, 500, 500),
    ]
    assert {line["ms"] for line in values(latency_lines(rows, WINDOW))} == {0.3, 0.5}


def test_a_bucket_without_whole_requests_has_no_latency() -> None:
    assert values(latency_lines([{**row(5, "champion", 1), "p50_us": None, "p95_us": None}], WINDOW)) == []


@pytest.mark.parametrize(("value", "power"), [(100.0, 2.0), (0.0, -2.0), (1e-9, -2.0), (1e300, 20.0)])
def test_evidence_is_drawn_as_a_power_of_ten_within_bounds(value: float, power: float) -> None:
    (drawn,) = values(evidence_over_time([point(1, value)], WINDOW, 100.0))
    assert drawn["power"] == pytest.approx(power)


def test_the_line_of_alarm_is_the_monitors_own_threshold() -> None:
    def lines(threshold: float | None) -> list[Any]:
        found: list[Any] = evidence_over_time([point(1, 1.0)], WINDOW, threshold)["layer"][1]["data"][
            "values"
        ]
        return found

    assert [line["at"] for line in lines(1000.0)] == [pytest.approx(3.0)]
    assert lines(None) == []


def test_each_loss_has_its_own_tolerated_level() -> None:
    spec = loss_lines([point(1, 0.2, "error_rate")], WINDOW, {"error_rate": 0.3, "brier": 0.1})
    assert spec["layer"][1]["data"]["values"] == [{"at": 0.3, "loss": "error rate"}]


def test_a_series_of_a_single_minute_is_no_chart() -> None:
    one = Series(WINDOW, [row(5, "champion", 1)], [point(1, 5.0)], [point(1, 0.2, "brier")])
    assert [chart.name for chart in endpoint_charts(one, [])] == ["traffic", "latency"]
    two = one._replace(
        drift=[point(2, 5.0), point(1, 6.0)], performance=[point(2, 0.1, "brier"), point(1, 0.2, "brier")]
    )
    found = [finding("drift"), finding("performance", "brier", tolerated=0.3)]
    charts = {chart.name: chart.spec for chart in endpoint_charts(two, found)}
    assert list(charts) == ["traffic", "latency", "drift", "performance"]
    performance = charts["performance"]
    assert performance is not None
    assert performance["layer"][1]["data"]["values"] == [{"at": 0.3, "loss": "brier"}]


def test_without_traffic_there_is_nothing_to_draw_but_something_to_say() -> None:
    charts = endpoint_charts(Series(WINDOW, [], [], []), [])
    assert [chart.spec for chart in charts] == [None, None]
    assert all(chart.title and chart.words for chart in charts)


def test_charts_are_json_and_share_their_time() -> None:
    rows = [row(5, "champion", 1)]
    specs = [
        traffic_bars(rows, WINDOW),
        latency_lines(rows, WINDOW),
        evidence_over_time([point(1, 1.0)], WINDOW, 100.0),
        loss_lines([point(1, 0.1, "brier")], WINDOW, {}),
    ]
    domains = set()
    for spec in specs:
        assert json.loads(json.dumps(spec, allow_nan=False)) == spec
        encoding = spec.get("encoding") or spec["layer"][0]["encoding"]
        domains.add(encoding["x"]["scale"]["domain"]["expr"])
        assert encoding["x"]["scale"]["type"] == "utc"
    assert domains == {f"[{int(WINDOW.start.timestamp() * 1000)}, {int(NOON.timestamp() * 1000)}]"}
