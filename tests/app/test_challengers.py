"""Shares, limits, rule tables and the fire drill, through the real processes."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import msgspec
import numpy as np
import pytest

from tests.app.conftest import Running, tsavo
from tsavo.client import Client, connect
from tsavo.endpoints.splitting import assign
from tsavo.vocabulary import Conflict, DrillReport, Invalid, Limits, VersionRef

BODY = {"inputs": [{"name": "m", "shape": [1, 3], "datatype": "FP64", "data": [0.1, 0.2, 0.3]}]}
RULES: dict[str, Any] = {
    "rules": [
        {"when": {"column": "a", "below": 0}, "outputs": 1},
        {
            "when": [{"column": "a", "at_least": 0}, {"column": "b", "at_least": 5}],
            "outputs": {"label": 0, "probabilities": [0.75, 0.25]},
        },
    ],
    "otherwise": 0,
}


class Fleet(NamedTuple):
    """A running Tsavo with two versions of one model, and an endpoint of the test's own that serves the first."""

    running: Running
    client: Client
    name: str
    url: str

    @property
    def page(self) -> str:
        """The endpoint's page in the console."""
        answer = httpx.get(f"{self.running.console}/endpoints/{self.name}")
        assert answer.status_code == 200
        return answer.text

    def ask(self, *rows: list[float], **headers: str) -> dict[str, Any]:
        data = [cell for row in rows for cell in row]
        body = {"inputs": [{"name": "m", "shape": [len(rows), 3], "datatype": "FP64", "data": data}]}
        answer = httpx.post(self.url, json=body, headers=headers)
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told


@pytest.fixture
def fleet(two_versions: Running, request: pytest.FixtureRequest) -> Iterator[Fleet]:
    name = request.node.name.replace("_", "-")[:60]
    with connect(two_versions.console) as client:
        yield Fleet(two_versions, client, name, client.deploy("small@1", name).url)


class Callers(threading.Thread):
    """Asks every few milliseconds until told to stop."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self.url = url
        self.halt = threading.Event()
        self.answers: list[dict[str, Any]] = []

    def run(self) -> None:
        while not self.halt.wait(0.005):
            # A new connection each time, so that every worker gets some.
            self.answers.append(httpx.post(self.url, json=BODY).json())


def test_keys_go_where_anybody_can_compute_they_go(fleet: Fleet) -> None:
    share = ["--share", "0.3", "--by", "key"]
    route = fleet.running.tsavo("deploy", "small@2", "--endpoint", fleet.name, *share)["route"]
    seed = route["split"]["seed"]
    keys = [f"customer-{number}" for number in range(60)]
    answered = {key: fleet.ask([0.1, 0.2, 0.3], **{"X-Tsavo-Key": key})["parameters"] for key in keys}
    assert {answer["version"] for answer in answered.values()} == {"small@1", "small@2"}
    for key, answer in answered.items():
        chosen = assign(seed, key, [0.3])
        assert (answer["version"], answer["role"]) == [
            ("small@2", "challenger"),
            ("small@1", "champion"),
        ][chosen], key
    # More of it keeps what it had.
    fleet.client.deploy("small@2", fleet.name, share=0.6)
    for key in keys:
        if answered[key]["version"] == "small@2":
            assert fleet.ask([0.1, 0.2, 0.3], **{"X-Tsavo-Key": key})["parameters"]["version"] == "small@2"
    counted = fleet.client.sql(f'select distinct role, version from "{fleet.name}"').to_pylist()
    assert {(row["role"], row["version"]) for row in counted} == {("champion", 1), ("challenger", 2)}
    assert "Requests are assigned by the key that callers send" in fleet.page
    form = f"{fleet.running.console}/endpoints/{fleet.name}/share"
    assert httpx.post(form, data={"version": "small@2", "percent": "62.5"}).status_code == 303
    assert fleet.client.endpoint(fleet.name).route.challengers[0].share == 0.625
    assert httpx.post(form, data={"version": "small@2", "percent": "much"}).status_code == 422
    promoted = fleet.client.endpoint(fleet.name).promote()
    assert (promoted.champion, promoted.challengers) == (VersionRef("small", 2), ())
    assert {fleet.ask([0.1, 0.2, 0.3])["parameters"]["version"] for _ in range(10)} == {"small@2"}


def test_rows_go_by_the_value_of_a_column(fleet: Fleet) -> None:
    seed = fleet.client.deploy("small@2", fleet.name, share=0.5, by="column:a").route.split.seed
    rows = [[float(number), 0.5, 0.5] for number in range(40)]
    together = fleet.ask(*rows)
    alone = [fleet.ask(row) for row in rows]
    # Whole numbers are their digits, whatever type the column has.
    expected = [assign(seed, str(number), [0.5]) for number in range(40)]
    assert [one["parameters"]["version"] for one in alone] == [
        "small@1" if chosen < 0 else "small@2" for chosen in expected
    ]
    probabilities = np.array(together["outputs"][1]["data"]).reshape(40, 2)
    apart = np.array([one["outputs"][1]["data"] for one in alone])
    np.testing.assert_array_equal(probabilities, apart)
    assert fleet.client.deploy("small@2", fleet.name, share=0).route.challengers == ()
    with pytest.raises(Conflict, match="champion already"):
        fleet.client.deploy("small@1", fleet.name, share=0.1)
    for wrong in ({"share": 0.1, "by": "column:height"}, {"by": "key"}, {"share": 0.1, "shadow": True}):
        with pytest.raises(Invalid):
            fleet.client.deploy("small@2", fleet.name, **wrong)


def test_a_rule_table_answers_when_the_plug_is_pulled(fleet: Fleet, tmp_path: Path) -> None:
    file = tmp_path / "rules.json"
    file.write_text(json.dumps(RULES))
    fleet.running.tsavo("plug", fleet.name, "--fallback", f"@{file}", "--why", "wrong since noon")
    answer = fleet.ask([-1.0, 0.0, 0.0], [1.0, 6.0, 0.0], [1.0, 0.0, 0.0])
    label, probabilities = (np.array(output["data"]).reshape(3, -1) for output in answer["outputs"])
    assert label.ravel().tolist() == [1, 0, 0]
    assert probabilities.tolist() == [[0.0, 1.0], [0.75, 0.25], [1.0, 0.0]]
    assert (answer["parameters"]["role"], answer["parameters"]["flags"]) == (
        "fallback",
        ["fallback:plug", "rules"],
    )
    page = fleet.page
    assert "a table of 2 rules" in page
    assert "where a is below 0: label 1" in page
    assert "table of 2 rules" in tsavo("show", fleet.name, "--home", str(fleet.running.home)).stdout
    with pytest.raises(Invalid, match="not a value") as caught:
        fleet.client.deploy("small@1", fleet.name, fallback=[{**RULES, "otherwise": None}])
    assert caught.value.field == "fallback.otherwise.label"
    api = f"{fleet.running.console}/api/endpoints/{fleet.name}/plug"
    for step in ({"rules": RULES["rules"]}, {"otherwise": 0}, {**RULES, "constant": 1}):
        refused = httpx.post(api, json={"fallback": [step]})
        assert refused.status_code == 422
        assert refused.json()["field"].startswith("fallback")


def test_limits_are_set_and_taken_away(fleet: Fleet) -> None:
    words = ["--milliseconds", "5000", "--concurrent", "7", "--warm"]
    route = fleet.running.tsavo("limit", fleet.name, *words)["route"]
    assert (route["limits"], route["warm"]) == ({"milliseconds": 5000, "concurrent": 7}, True)
    assert fleet.ask([0.1, 0.2, 0.3])["parameters"]["role"] == "champion"
    page = fleet.page
    assert all(words in page for words in ("at most 5,000 ms", "7 at once", "always in memory"))
    fleet.running.tsavo("limit", fleet.name, "--milliseconds", "none", "--no-warm")
    route = fleet.client.endpoint(fleet.name).route
    assert (route.limits, route.warm) == (Limits(None, 7), False)
    with pytest.raises(Invalid, match="not a limit"):
        fleet.client.endpoint(fleet.name).limit(concurrent=0)


def test_a_drill_tries_every_step_and_changes_no_answer(fleet: Fleet) -> None:
    fleet.client.deploy("small@1", fleet.name, fallback=["small@2", RULES, 1])
    caller = Callers(fleet.url)
    caller.start()
    try:
        told = fleet.running.tsavo("drill", fleet.name, "--requests", "40", "--seconds", "30")
    finally:
        caller.halt.set()
        caller.join(60)
    report = msgspec.convert(told, DrillReport)
    assert (report.state, report.holds) == ("over", True)
    assert report.requests >= 40
    assert "the chain holds" in report.verdict
    assert [step.what for step in report.steps] == ["small@1", "small@2", "rule table", "constant"]
    assert all(step.answered == step.requests > 0 for step in report.steps)
    champion, version, rules, constant = report.steps
    assert (champion.largest_difference, champion.equal_labels) == (0.0, 1.0)
    ours, theirs = (
        np.array(httpx.post(url, json=BODY).json()["outputs"][1]["data"])
        for url in (fleet.url, fleet.url.replace("/infer", "/versions/2/infer"))
    )
    assert version.largest_difference == pytest.approx(float(np.abs(ours - theirs).max()), abs=1e-6)
    # One says 0 and the other 1, of a champion that says the same every time.
    assert {rules.equal_labels, constant.equal_labels} == {0.0, 1.0}
    # Nobody was answered otherwise, and nothing else was recorded.
    assert {answer["parameters"]["role"] for answer in caller.answers} == {"champion"}
    assert len({str(answer["outputs"]) for answer in caller.answers}) == 1
    counted = fleet.client.sql(f'select role, count(*) as n from "{fleet.name}" group by 1').to_pylist()
    assert {row["role"]: row["n"] for row in counted} == {"champion": len(caller.answers) + 1, "pinned": 1}
    assert "The chain holds" in fleet.page
    assert fleet.client.endpoint(fleet.name).last_drill().drill == report.drill


def test_a_drill_without_requests_says_so(fleet: Fleet) -> None:
    with pytest.raises(Conflict, match="no fallback"):
        fleet.client.endpoint(fleet.name).drill()
    fleet.client.deploy("small@1", fleet.name, fallback=[1])
    done = tsavo("drill", fleet.name, "--seconds", "1", "--home", str(fleet.running.home))
    assert done.returncode == 1
    assert "No live request came" in done.stdout
    assert f"tsavo score {fleet.name}" in done.stdout
    begun = httpx.post(f"{fleet.running.console}/endpoints/{fleet.name}/drill", data={"why": ""})
    assert begun.status_code == 303
    assert "No live request came yet" in fleet.page
