"""The monitors' points go in and come out as they were."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.lake.scene import Scene
from tsavo.vocabulary import Invalid

START = datetime(2026, 3, 1, 23, 59, tzinfo=UTC)


def point(minute: int, **parts: Any) -> dict[str, Any]:
    return {
        "endpoint": "credit-risk",
        "monitor": "drift",
        "subject": "age",
        "time": START + timedelta(minutes=minute),
        "value": float(minute),
        "rows": 10,
        **parts,
    }


def test_points_come_back_in_order_within_their_window(scene: Scene) -> None:
    scene.lake.append_points([point(minute) for minute in (2, 0, 1)])
    scene.lake.append_points(
        [point(3, low=1.0, high=5.0), point(3, endpoint="sales"), point(3, monitor="quality")]
    )
    rows = scene.lake.points("credit-risk", "drift").to_pylist()
    assert [row["value"] for row in rows] == [0.0, 1.0, 2.0, 3.0]
    assert rows[3] == point(3, low=1.0, high=5.0)
    assert rows[0]["low"] is None
    later = scene.lake.points(
        "credit-risk", since=START + timedelta(minutes=1), until=START + timedelta(minutes=3)
    )
    assert later.column("value").to_pylist() == [1.0, 2.0]
    assert scene.lake.points("credit-risk", "drift", limit=2).column("value").to_pylist() == [2.0, 3.0]
    assert scene.lake.points("nobody").num_rows == 0
    assert scene.rows("SELECT count(*) FROM monitors WHERE endpoint = 'credit-risk'") == [(5,)]


def test_merging_files_changes_no_point(scene: Scene) -> None:
    for minute in range(6):
        scene.lake.append_points([point(minute)])
    before = scene.lake.points("credit-risk").to_pylist()
    assert scene.lake.maintain(most_small_files=2) == 1
    assert scene.lake.points("credit-risk").to_pylist() == before


@pytest.mark.parametrize(
    "wrong",
    [
        {"colour": "red"},
        {"time": datetime(2026, 1, 1)},
        {"time": "2026-01-01"},
    ],
)
def test_what_is_no_point_is_refused(scene: Scene, wrong: dict[str, Any]) -> None:
    with pytest.raises(Invalid):
        scene.lake.append_points([point(0, **wrong)])
    incomplete = point(0)
    del incomplete["value"]
    with pytest.raises(Invalid):
        scene.lake.append_points([incomplete])
