"""One decision, pages of the latest, traffic: shipped or not makes no difference."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from tests.lake.scene import START, Scene, decision, fresh_id, outcome, row_id
from tsavo.lake.tables import LakeTable, Snapshot
from tsavo.storage import name_mark
from tsavo.vocabulary import DecisionRecord, Invalid, NotFound

START_TIME = datetime.fromtimestamp(START // 10**9, UTC)


@pytest.mark.parametrize("shipped", [0, 1, 2])
def test_a_decision_is_found_with_its_shadow_and_outcome(scene: Scene, shipped: int) -> None:
    scene.write(decision(1, endpoint="other"), decision(2, rows=2))
    if shipped > 0:
        scene.ship()
    scene.write(decision(2, rows=2, version=2, role="shadow"), outcome([row_id(2, 1)], ["late"]))
    if shipped > 1:
        scene.ship()
    found = scene.lake.decision(row_id(2, 1))
    assert (found["decision_id"], found["role"], found["version"]) == (row_id(2, 1), "champion", 1)
    assert found["features"]["age"] == 3.0
    assert found["outcome"] == "late"
    assert found["explanation"] is None
    (shadow,) = found["shadows"]
    assert (shadow["role"], shadow["features"]["carrier"], shadow["outcome"]) == ("shadow", "s2", "late")


def test_what_is_not_there_or_no_id_is_said(scene: Scene) -> None:
    scene.write(decision(1))
    with pytest.raises(NotFound):
        scene.lake.decision(fresh_id())
    with pytest.raises(NotFound):
        scene.lake.decision(row_id(1, 1))
    with pytest.raises(Invalid):
        scene.lake.decision("'; DROP TABLE decisions; --")


def test_pages_of_the_latest_join_to_all_answered_decisions_newest_first(scene: Scene) -> None:
    for number in range(12):
        scene.write(decision(number, rows=2), decision(number, rows=2, version=2, role="shadow"))
        if number % 3 == 0 and number < 10:
            scene.ship()
    found, token = [], None
    while True:
        page, token = scene.lake.recent("credit-risk", 5, token)
        assert len(page) <= 5
        found += [row["decision_id"] for row in page]
        if token is None:
            break
    assert found == [row_id(number, row) for number in reversed(range(12)) for row in (1, 0)]
    assert scene.lake.recent("nobody", 5) == ([], None)


def test_a_page_token_that_is_none_is_refused(scene: Scene) -> None:
    with pytest.raises(Invalid, match="not a page"):
        scene.lake.recent("credit-risk", 5, "x' OR 1=1 --")


@pytest.mark.parametrize("shipped", [True, False])
def test_traffic_counts_rows_and_requests_by_role(scene: Scene, shipped: bool) -> None:
    scene.write(*[decision(number, rows=2) for number in range(120)], decision(3, version=2, role="shadow"))
    if shipped:
        scene.ship()
    rows = scene.lake.traffic(
        "credit-risk", START_TIME + timedelta(seconds=20), timedelta(minutes=1)
    ).to_pylist()
    champion = [row for row in rows if row["role"] == "champion"]
    assert sum(row["decisions"] for row in champion) == 200
    assert sum(row["requests"] for row in champion) == 100
    assert all(row["time"].second == 0 for row in rows)
    assert [row for row in rows if row["role"] == "shadow"] == []
    (row,) = scene.lake.traffic("credit-risk", START_TIME, timedelta(days=1)).to_pylist()[:1]
    # Latencies are 100 to 199 us once, and 100 to 119 us again.
    values = sorted([100 + number % 100 for number in range(120)])
    assert row["p50_us"] == (values[59] + values[60]) / 2


def test_activity_tells_busy_endpoints_from_quiet_ones(scene: Scene) -> None:
    scene.write(*[decision(number) for number in range(10)])
    scene.ship()
    scene.write(decision(10), decision(10, version=2, role="shadow"))
    since = START_TIME + timedelta(seconds=5)
    activity = scene.lake.activity(["credit-risk", "nobody"], since)
    assert activity["credit-risk"].decisions == 6
    assert activity["credit-risk"].last == START_TIME + timedelta(seconds=10)
    assert activity["nobody"] == (0, None, None)
    late = scene.lake.activity(["credit-risk"], START_TIME + timedelta(days=1))["credit-risk"]
    assert late.decisions == 0
    assert late.last is not None


def test_the_backlog_and_known_outcomes_are_counted(scene: Scene) -> None:
    scene.write(decision(1), outcome([row_id(1)], [1], at=1), outcome([row_id(1)], [0], at=2))
    assert [(entry["name"], entry["rows"]) for entry in scene.lake.backlog()] == [("gateway-0.db", 3)]
    assert scene.lake.outcomes_count("credit-risk") == 1
    scene.ship()
    assert [entry["rows"] for entry in scene.lake.backlog()] == [0]
    assert scene.lake.outcomes_count("credit-risk") == 1


def marked(number: int, endpoint: str) -> DecisionRecord:
    """A decision whose id has the mark of its endpoint, as gateways make them."""
    record = decision(number, endpoint=endpoint)
    return replace(record, request=record.request[:-4] + name_mark(endpoint))


def test_a_decision_is_looked_for_where_its_mark_fits(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    records = [marked(number, f"e{number:02d}") for number in range(40)]
    scene.write(*records)
    scene.ship()
    lake = scene.reopened()
    opened: list[str] = []
    original = LakeTable.snapshot

    def counted(table: LakeTable, journals: Iterable[str] = ()) -> Snapshot | None:
        opened.append(table.path.name)
        return original(table, journals)

    monkeypatch.setattr(LakeTable, "snapshot", counted)
    assert lake.decision(f"{records[33].request}:0")["endpoint"] == "e33"
    assert set(opened) == {"e33"}


def test_ids_without_a_mark_are_found_all_the_same(scene: Scene) -> None:
    scene.write(*[decision(number, endpoint=f"e{number:02d}") for number in range(20)])
    scene.ship()
    lake = scene.reopened()
    for number in range(20):
        assert lake.decision(row_id(number))["endpoint"] == f"e{number:02d}"
    with pytest.raises(NotFound):
        lake.decision(row_id(99))


def test_two_endpoints_with_one_mark_are_told_apart(scene: Scene) -> None:
    names: dict[str, str] = {}
    for number in range(3_000):
        other = names.setdefault(name_mark(f"n{number}"), f"n{number}")
        if other != f"n{number}":
            break
    records = [marked(1, other), marked(2, f"n{number}")]
    scene.write(*records)
    scene.ship()
    for record in records:
        assert scene.lake.decision(f"{record.request}:0")["endpoint"] == record.endpoint
