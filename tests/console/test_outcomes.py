"""Outcomes over HTTP: what is reported, what waits, what joins later."""

from __future__ import annotations

from typing import Any

import httpx

from tests.console.conftest import ENDPOINT, Scene, ask, wait_for
from tests.lake.scene import fresh_id


def post(scene: Scene, path: str, **body: Any) -> httpx.Response:
    return scene.http.post(f"/api/endpoints/{ENDPOINT}/{path}", json=body)


def decisions(scene: Scene, rows: list[list[float]]) -> list[str]:
    data = [value for row in rows for value in row]
    body = {"inputs": [{"name": "m", "shape": [len(rows), 3], "datatype": "FP64", "data": data}]}
    answer = httpx.post(f"{scene.running.gateway}/v2/models/{ENDPOINT}/infer", json=body)
    first: str = answer.json()["parameters"]["decision_id"]
    return [f"{first.removesuffix(':0')}:{row}" for row in range(len(rows))]


def outcome_of(scene: Scene, decision: str) -> Any:
    answer = scene.http.get(f"/api/decisions/{decision}")
    assert answer.status_code == 200, answer.text
    return answer.json()["decision"]["outcome"]


def test_the_report_says_what_is_new_corrected_repeated_and_unknown(scene: Scene) -> None:
    one, two, three = ask(scene.running.gateway, 3, 0.0, 99)
    stranger = fresh_id()
    told = post(scene, "outcomes", decisions=[one, two, two, stranger], values=[1, 0, 1, 1]).json()
    sample = [{"row": 3, "decision_id": stranger}]
    assert told == {"recorded": 4, "repeated": 1, "unknown": 1, "sample": sample}
    told = post(scene, "outcomes", decisions=[one, two, three], values=[1, 0, 1]).json()
    assert told == {"recorded": 3, "corrected": 1, "unchanged": 1}
    waiting = scene.http.get(f"/api/endpoints/{ENDPOINT}/waiting").json()
    assert (waiting["total"], waiting["by_id"][0]["decision_id"]) == (1, stranger)
    checked = post(scene, "outcomes", decisions=[three], values=[0], only_check=True).json()
    assert checked == {"recorded": 1, "corrected": 1}
    assert outcome_of(scene, three) == 1


def test_a_business_key_finds_the_latest_decision_or_all(scene: Scene) -> None:
    (older,) = decisions(scene, [[123.5, 0, 0]])
    newer, other = decisions(scene, [[123.5, 1, 1], [124.5, 0, 0]])
    told = post(scene, "outcomes/keyed", key="a", keys=[123.5, 124.5], values=[1, 0]).json()
    assert told == {"recorded": 2, "decisions": 2}
    assert [outcome_of(scene, one) for one in (older, newer, other)] == [None, 1, 0]
    told = post(scene, "outcomes/keyed", key="a", keys=[123.5], values=[0], every=True).json()
    assert told == {"recorded": 1, "decisions": 2, "corrected": 1}
    assert [outcome_of(scene, one) for one in (older, newer)] == [0, 0]


def test_what_has_no_decision_yet_waits_and_joins_by_itself(scene: Scene) -> None:
    late = {"times": ["2126-01-01T00:00:00Z"]}
    told = post(scene, "outcomes/keyed", key="a", keys=[777.25], values=[1], **late).json()
    assert told == {"recorded": 1, "unknown": 1, "sample": [{"row": 0, "key": 777.25}]}
    (kept,) = scene.http.get(f"/api/endpoints/{ENDPOINT}/waiting").json()["keyed"]["items"]
    assert (kept["key"], kept["value"], kept["outcome"]) == ("a", 777.25, 1)
    (decision,) = decisions(scene, [[777.25, 0, 0]])
    assert wait_for(lambda: outcome_of(scene, decision) == 1)
    assert wait_for(
        lambda: scene.http.get(f"/api/endpoints/{ENDPOINT}/waiting").json()["keyed"]["total"] == 0
    )
    # What was made before, and not after, the outcome: the rule holds for what waits, too.
    early = {"times": ["2020-01-01T00:00:00Z"]}
    assert post(scene, "outcomes/keyed", key="a", keys=[777.25], values=[1], **early).json()["unknown"] == 1


def test_the_row_at_fault_is_named_and_nothing_is_kept(scene: Scene) -> None:
    (decision,) = decisions(scene, [[881.0, 0, 0]])
    given: list[tuple[dict[str, Any], str]] = [
        ({"key": "a", "keys": [881.0, 881.0], "values": [1, 7]}, "values[1]"),
        ({"key": "a", "keys": [881.0, "x"], "values": [1, 1]}, "keys[1]"),
        ({"key": "z", "keys": [881.0], "values": [1]}, "key"),
        ({"key": "a", "keys": [881.0], "values": [1, 0]}, "values"),
        ({"key": "a", "keys": [881.0], "values": [1], "within_seconds": 0}, "within_seconds"),
    ]
    for body, field in given:
        answer = post(scene, "outcomes/keyed", **body)
        assert (answer.status_code, answer.json()["field"]) == (422, field)
    assert outcome_of(scene, decision) is None


def test_the_lag_of_labels_is_told_in_the_api_and_on_the_page(scene: Scene) -> None:
    labels = scene.http.get(f"/api/endpoints/{ENDPOINT}/labels").json()
    assert labels["known"] >= 800
    assert 0 < labels["median_seconds"] <= labels["p95_seconds"] < 600
    assert scene.http.get(f"/api/endpoints/{ENDPOINT}").json()["labels"]["known"] >= 800
    assert "Outcomes known" in scene.http.get(f"/endpoints/{ENDPOINT}").text
