"""Input quality: which values are bad, what is tolerated, and when it alarms."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.monitors.stream import CHAMPION, by_subject, decisions, drained, run, signature
from tsavo.monitors.kinds import MonitorContext
from tsavo.vocabulary import Field

FIELDS = (Field("distance", "float64", nullable=True), Field("carrier", "string", nullable=True))


def rows(rng: np.random.Generator, n: int) -> dict[str, Any]:
    return {
        "distance": rng.uniform(100.0, 300.0, n),
        "carrier": rng.choice(np.array(["A", "B"], dtype=object), n),
    }


def context(features: dict[str, Any]) -> MonitorContext:
    return MonitorContext("flights", CHAMPION, signature(FIELDS), pa.table(features))


def test_each_reason_is_counted_and_named() -> None:
    rng = np.random.default_rng(1)
    features = rows(rng, 1_000)
    features["distance"][100:600:100] = [np.nan, np.inf, -500.0, 1e9, 350.0]
    features["carrier"][400:1_000:200] = ["Z", None, "Z"]
    found = by_subject(run(context(rows(rng, 2_000)), "quality", [decisions(features)]).findings())
    reasons = ("missing", "out of range", "unseen")
    # 350 lies outside the range 100 to 300 by a quarter of its width: within the slack.
    assert [found["distance"].figures[reason] for reason in reasons] == [1, 3, 0]
    assert [found["carrier"].figures[reason] for reason in reasons] == [1, 0, 2]
    # Rows 100, 200, 300, 400 (twice bad), 600 and 800.
    assert found[""].value == pytest.approx(6 / 1_000)
    assert not found[""].alarm


def test_a_column_that_breaks_alarms_and_the_other_does_not() -> None:
    rng = np.random.default_rng(2)
    broken = rows(rng, 2_000)
    broken["distance"][rng.random(2_000) < 0.1] = np.nan
    batches = [decisions(rows(rng, 3_000)), decisions(broken, first=3_000)]
    found = by_subject(run(context(rows(rng, 2_000)), "quality", batches).findings())
    assert (found["distance"].alarm, found["carrier"].alarm, found[""].alarm) == (True, False, True)
    assert "too many since about 2023-11-14 22:1" in found["distance"].text
    assert found["distance"].low is not None
    assert found["distance"].high is not None
    assert found["distance"].low <= 0.04 <= found["distance"].high


def test_what_the_reference_has_often_is_not_bad() -> None:
    """A third missing and categories with a long tail, as in the reference: no alarm over many rows."""
    rng = np.random.default_rng(3)

    def usual(n: int) -> dict[str, Any]:
        distance = rng.lognormal(5, 2, n)
        distance[rng.random(n) < 0.33] = np.nan
        return {"distance": distance, "carrier": (rng.zipf(1.6, n) % 90).astype(str).astype(object)}

    found = by_subject(run(context(usual(1_000)), "quality", [decisions(usual(20_000))]).findings())
    assert not any(finding.alarm for finding in found.values())
    assert found["distance"].figures["missing"] == 0


def test_without_a_reference_the_signature_says_what_is_usual() -> None:
    fields = (
        Field("distance", "float64", low=100.0, high=300.0),
        Field("carrier", "string", categories=("A", "B")),
    )
    watched = MonitorContext("flights", CHAMPION, signature(fields), None)
    batch = decisions({"distance": [150.0, np.nan, 900.0], "carrier": ["A", "C", "B"]})
    found = by_subject(run(watched, "quality", [batch]).findings())
    assert found["distance"].figures["out of range"] == 1
    assert found["distance"].figures["missing"] == 1
    assert found["carrier"].figures["unseen"] == 1


def test_batches_and_restarts_change_no_bit_and_points_carry_shares() -> None:
    rng = np.random.default_rng(4)
    watched, features = context(rows(rng, 500)), rows(rng, 900)
    features["carrier"][rng.random(900) < 0.2] = None
    table = decisions(features)
    whole = run(watched, "quality", [table])
    again = run(
        watched, "quality", [table.slice(0, 333), table.slice(333, 1), table.slice(334)], restart=True
    )
    assert again.state() == whole.state()
    assert again.findings() == whole.findings()
    points = drained(whole)["carrier"]
    missing = np.array([value is None for value in features["carrier"]])
    assert [p.value for p in points] == pytest.approx([missing[:400].mean(), missing[400:].mean()])


def test_a_small_reference_that_lacks_many_categories_raises_no_alarm() -> None:
    """150 rows of 95 carriers: a fifth of all later rows has a carrier that they lack, and that is usual."""
    rng = np.random.default_rng(6)

    def usual(n: int) -> dict[str, Any]:
        return {"distance": rng.uniform(size=n), "carrier": rng.integers(0, 95, n).astype(str).astype(object)}

    found = by_subject(run(context(usual(150)), "quality", [decisions(usual(10_000))]).findings())
    assert found["carrier"].figures["recent"] > 0.1
    assert not found["carrier"].alarm
