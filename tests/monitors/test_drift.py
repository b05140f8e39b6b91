"""Drift over Arrow tables: what is found, in which words, for whose rows, and restarts."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tests.monitors.stream import CHAMPION, by_subject, decisions, drained, run, signature
from tsavo.monitors.kinds import MonitorContext
from tsavo.stats import average_evidence
from tsavo.vocabulary import Damaged, Field, VersionRef

FIELDS = (Field("delay", "float64", nullable=True), Field("carrier", "string"), Field("night", "bool"))


def rows(rng: np.random.Generator, n: int, *, delay: float = 0.0, carriers: str = "ABCD") -> dict[str, Any]:
    values = rng.normal(delay, 1.0, n)
    values[rng.random(n) < 0.05] = np.nan
    return {"delay": values, "carrier": rng.choice(list(carriers), n), "night": rng.random(n) < 0.3}


def context(rng: np.random.Generator) -> MonitorContext:
    return MonitorContext("flights", CHAMPION, signature(FIELDS), pa.table(rows(rng, 4_000)))


def test_nothing_moves_nothing_is_said() -> None:
    rng = np.random.default_rng(1)
    monitor = run(context(rng), "drift", [decisions(rows(rng, 6_000))])
    assert not any(finding.alarm for finding in monitor.findings())
    assert monitor.findings()[0].text == "No drift found in 6,000 rows over 3 inputs."


def test_what_moved_from_what_to_what_since_when() -> None:
    rng = np.random.default_rng(2)
    calm = decisions(rows(rng, 4_000))
    moved = decisions(rows(rng, 8_000, delay=0.5, carriers="ABCDDD"), first=4_000)
    found = by_subject(run(context(rng), "drift", [calm, moved]).findings())
    delay, carrier, night, whole = found["delay"], found["carrier"], found["night"], found[""]
    assert (delay.alarm, carrier.alarm, night.alarm, whole.alarm) == (True, True, False, True)
    assert delay.figures["reference"] == pytest.approx(0.0, abs=0.06)
    assert delay.value == pytest.approx(0.5, abs=0.06)
    assert carrier.figures["what"] == "share 'D'"
    assert (carrier.figures["reference"], carrier.value) == pytest.approx((0.25, 0.5), abs=0.04)
    # Row 4,000 came 400 s after 22:13:20.
    assert "mean was" in delay.text
    assert abs(delay.figures["since_row"] - 4_000) < 200
    assert delay.figures["since"].startswith("2023-11-14T22:")
    assert set(whole.figures["moved"]) == {"delay", "carrier"}


def test_one_error_budget_for_the_endpoint_and_its_columns() -> None:
    rng = np.random.default_rng(3)
    moved = decisions(rows(rng, 3_000, delay=0.4))
    found = by_subject(run(context(rng), "drift", [moved]).findings())
    columns = [found[field.name] for field in FIELDS]
    assert found[""].threshold == pytest.approx(100.0)
    assert all(column.threshold == pytest.approx(300.0) for column in columns)
    assert found[""].evidence == pytest.approx(
        average_evidence([column.evidence or 0.0 for column in columns])
    )
    # No column can alarm before the endpoint does.
    alarms = [column.figures["alarm_row"] for column in columns if column.alarm]
    assert alarms
    assert 0 < found[""].figures["alarm_row"] <= min(alarms)


def test_only_this_champions_rows_count() -> None:
    rng = np.random.default_rng(4)
    strangers = [
        decisions(rows(rng, 2_000, delay=3.0), role="shadow"),
        decisions(rows(rng, 2_000, delay=3.0), role="fallback"),
        decisions(rows(rng, 2_000, delay=3.0), version=VersionRef("late", 2)),
        decisions(rows(rng, 2_000, delay=3.0), version=VersionRef("other", 1)),
    ]
    assert run(context(rng), "drift", strangers).findings() == []


@pytest.mark.parametrize("cuts", [(1,), (2_500, 2_501), (700, 4_095, 4_097, 4_500)])
def test_batches_and_restarts_change_no_bit(cuts: tuple[int, ...]) -> None:
    rng = np.random.default_rng(5)
    watched = context(rng)
    table = pa.concat_tables(
        [decisions(rows(rng, 4_000)), decisions(rows(rng, 1_000, delay=0.6), first=4_000)]
    )
    bounds = [0, *cuts, table.num_rows]
    parts = [table.slice(a, b - a) for a, b in itertools.pairwise(bounds)]
    whole, again = run(watched, "drift", [table]), run(watched, "drift", parts, restart=True)
    assert again.state() == whole.state()
    assert again.findings() == whole.findings()


def test_points_give_the_evidence_minute_by_minute() -> None:
    rng = np.random.default_rng(6)
    monitor = run(context(rng), "drift", [decisions(rows(rng, 1_500))])
    points = drained(monitor)
    assert set(points) == {"", "delay", "carrier", "night"}
    # 10 rows a second from 22:13:20 on: 400 rows in the first minute, 600 in the next, 500 in the last.
    assert [(p.time.minute, p.time.second, p.rows) for p in points[""]] == [
        (13, 0, 400),
        (14, 0, 600),
        (15, 0, 500),
    ]
    assert points["delay"][-1].value == by_subject(monitor.findings())["delay"].evidence


def test_without_a_reference_it_stays_silent() -> None:
    rng = np.random.default_rng(7)
    watched = MonitorContext("flights", CHAMPION, signature(FIELDS), None)
    assert run(watched, "drift", [decisions(rows(rng, 50))]).findings() == []


def test_states_of_other_columns_and_rows_without_an_input_are_refused() -> None:
    rng = np.random.default_rng(8)
    monitor = run(context(rng), "drift", [decisions(rows(rng, 50))])
    other = MonitorContext("flights", CHAMPION, signature(FIELDS[:2]), pa.table(rows(rng, 100)))
    with pytest.raises(Damaged, match="other columns"):
        run(other, "drift", []).restore(monitor.state())
    with pytest.raises(Damaged, match="cannot be read"):
        monitor.restore(b"\x90")
    with pytest.raises(Damaged, match="lack an input"):
        monitor.observe(decisions({"delay": [1.0]}))
