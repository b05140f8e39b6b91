from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.lake.scene import START, Scene, decision
from tsavo.console.series import WINDOWS, mean_by_minute, most_by_minute, read_series
from tsavo.vocabulary import Invalid

ENDPOINT = "credit-risk"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST = EPOCH + timedelta(microseconds=START // 1000)


def busy_at(folder: Path, seconds: Sequence[int]) -> Scene:
    """A lake with one decision at each of these seconds after the start."""
    scene = Scene(folder)
    scene.write(*(decision(second) for second in seconds))
    return scene


def at(second: int) -> datetime:
    return FIRST + timedelta(seconds=second)


@pytest.mark.parametrize(
    ("seconds", "name"),
    [
        (range(100), "2min"),
        (range(0, 500, 5), "10min"),
        (range(0, 3000, 60), "1h"),
        (range(0, 20_000, 500), "6h"),
        (range(0, 80_000, 4000), "1d"),
        # One late straggler does not stretch what is shown: nine tenths are in the last minutes.
        ([0, *range(50_000, 50_100)], "2min"),
    ],
)
def test_the_shortest_window_that_holds_nearly_everything_is_shown(
    tmp_path: Path, seconds: Sequence[int], name: str
) -> None:
    scene = busy_at(tmp_path, seconds)
    last = at(max(seconds))
    shown = read_series(scene.lake, ENDPOINT, None, last=last, now=at(90_000))
    assert shown.window.name == name
    assert shown.window.end == last
    inside = [second for second in seconds if at(second) >= shown.window.start]
    assert sum(row["decisions"] for row in shown.traffic) == len(inside) >= 0.9 * len(seconds)
    buckets = {row["time"] for row in shown.traffic}
    assert len(buckets) <= 61


def test_a_window_that_is_asked_for_ends_now(tmp_path: Path) -> None:
    scene = busy_at(tmp_path, range(60))
    now = at(3000)
    for name, length in WINDOWS.items():
        shown = read_series(scene.lake, ENDPOINT, name, last=at(59), now=now)
        assert (shown.window.start, shown.window.end) == (now - length, now)
        expected = 60 if length >= timedelta(hours=1) else 0
        assert sum(row["decisions"] for row in shown.traffic) == expected


def test_an_unknown_window_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    with pytest.raises(Invalid) as caught:
        read_series(Scene(tmp_path).lake, ENDPOINT, "forever", last=None, now=FIRST)
    assert caught.value.field == "window"
    assert "1h" in str(caught.value.expected)


def test_an_endpoint_that_nobody_asked_has_empty_charts(tmp_path: Path) -> None:
    shown = read_series(Scene(tmp_path).lake, ENDPOINT, None, last=None, now=FIRST)
    assert (shown.traffic, shown.drift, shown.performance) == ([], [], [])
    assert shown.window.end == FIRST


def test_points_are_those_of_the_endpoint_as_a_whole(tmp_path: Path) -> None:
    scene = busy_at(tmp_path, range(100))
    minute = at(30)

    def point(monitor: str, subject: str, value: float) -> dict[str, Any]:
        return {
            "endpoint": ENDPOINT,
            "monitor": monitor,
            "subject": subject,
            "time": minute,
            "value": value,
            "rows": 10,
        }

    scene.lake.append_points(
        [
            point("drift", "", 5.0),
            point("drift", "age", 7.0),
            point("performance", "brier", 0.25),
            point("latency", "p95", 100.0),
            {**point("drift", "", 9.0), "endpoint": "other"},
        ]
    )
    shown = read_series(scene.lake, ENDPOINT, None, last=at(99), now=at(99))
    assert [row["value"] for row in shown.drift] == [5.0]
    assert [(row["subject"], row["value"]) for row in shown.performance] == [("brier", 0.25)]


def test_batches_of_one_minute_weigh_by_their_rows() -> None:
    points = [
        {"subject": "brier", "time": FIRST, "value": 0.1, "rows": 1},
        {"subject": "brier", "time": FIRST, "value": 0.4, "rows": 3},
        {"subject": "error_rate", "time": FIRST, "value": 1.0, "rows": 2},
        {"subject": "empty", "time": FIRST, "value": 1.0, "rows": 0},
    ]
    mean = {row["subject"]: row for row in mean_by_minute(points)}
    assert mean.keys() == {"brier", "error_rate"}
    assert mean["brier"]["value"] == pytest.approx((0.1 + 3 * 0.4) / 4)
    assert mean["brier"]["rows"] == 4


def test_a_minutes_evidence_is_the_most_there_was() -> None:
    points = [{"time": FIRST, "value": value} for value in (1.0, 50.0, 3.0)]
    assert most_by_minute(points) == [{"time": FIRST, "value": 50.0}]
