"""Latency and throughput from recorded decisions."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from tests.monitors.stream import CHAMPION, by_subject, decisions, drained, run, signature
from tsavo.monitors.kinds import MonitorContext
from tsavo.vocabulary import Field

CONTEXT = MonitorContext("flights", CHAMPION, signature([Field("x", "float64")]), None)


def requests(latency_us: np.ndarray, first: int = 0, role: str = "champion") -> pa.Table:
    return decisions({"x": np.zeros(latency_us.size)}, latency_us=latency_us, first=first, role=role)


def test_quantiles_and_rows_per_second() -> None:
    latency = np.random.default_rng(1).lognormal(6, 1, 3_000).round()
    monitor = run(CONTEXT, "latency", [requests(latency)])
    found = by_subject(monitor.findings())
    for subject, q in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        exact = np.quantile(latency, q, method="inverted_cdf")
        assert found[subject].value == pytest.approx(exact, rel=1 / 128)
    # One row every 100 ms.
    assert found["rows_per_second"].value == pytest.approx(10.0)
    assert not found[""].alarm
    points = drained(monitor)
    assert [p.rows for p in points["p95"]] == [400, 600, 600, 600, 600, 200]
    assert points["p50"][0].value == pytest.approx(np.median(latency[:400]))


def test_too_many_slow_requests_alarm_and_few_do_not() -> None:
    rng = np.random.default_rng(2)
    few, many = (np.where(rng.random(4_000) < share, 80_000, 500) for share in (0.008, 0.03))
    assert not by_subject(run(CONTEXT, "latency", [requests(few)]).findings())[""].alarm
    alarmed = by_subject(run(CONTEXT, "latency", [requests(few), requests(many, 4_000)]).findings())[""]
    assert alarmed.alarm
    assert "too many since about 2023-11-14 22:" in alarmed.text


def test_a_request_counts_once_and_shadows_never() -> None:
    batch = requests(np.full(5, 900.0))
    ids = pa.array([f"0197f0a0-0000-7000-8000-000000000000:{row}" for row in range(5)])
    one_request = batch.set_column(batch.schema.get_field_index("decision_id"), "decision_id", ids)
    monitor = run(CONTEXT, "latency", [one_request, requests(np.full(50, 1e6), 9, role="shadow")])
    found = by_subject(monitor.findings())
    assert (found["p50"].rows, found["rows_per_second"].rows) == (1, 5)
    assert found["p99"].value == pytest.approx(900.0)
    for role in ("fallback", "challenger"):
        alone = run(CONTEXT, "latency", [requests(np.ones(3), role=role)])
        assert by_subject(alone.findings())["p50"].rows == 3


def test_batches_and_restarts_change_no_bit() -> None:
    table = requests(np.random.default_rng(3).lognormal(6, 1, 1_500).round())
    parts = [table.slice(0, 1), table.slice(1, 777), table.slice(778)]
    whole, again = run(CONTEXT, "latency", [table]), run(CONTEXT, "latency", parts, restart=True)
    assert again.state() == whole.state()
    assert again.findings() == whole.findings()
