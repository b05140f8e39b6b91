"""Plug, promotion, roll-back and shadows, under load, through the real processes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from tests.app.conftest import Running, tsavo

BODY = {"inputs": [{"name": "m", "shape": [1, 3], "datatype": "FP64", "data": [0.1, 0.2, 0.3]}]}


class Seen(NamedTuple):
    """One answer: when it came, its status, and what it said of itself."""

    time: float
    status: int
    role: str
    version: str
    flags: list[str]


class Caller(threading.Thread):
    """Asks without pause until told to stop."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self._url = url
        self._halt = threading.Event()
        self.seen: list[Seen] = []

    def run(self) -> None:
        with httpx.Client(timeout=30) as client:
            while not self._halt.is_set():
                answer = client.post(self._url, json=BODY)
                told: dict[str, Any] = answer.json().get("parameters", {})
                seen = Seen(
                    time.monotonic(),
                    answer.status_code,
                    told.get("role", ""),
                    told.get("version", ""),
                    told.get("flags", []),
                )
                self.seen.append(seen)

    def stop(self) -> list[Seen]:
        self._halt.set()
        self.join(60)
        return self.seen


class Fleet(NamedTuple):
    """A running Tsavo with two versions of one model, and an endpoint of the test's own that serves the first."""

    running: Running
    name: str
    url: str


@pytest.fixture
def fleet(two_versions: Running, request: pytest.FixtureRequest) -> Fleet:
    name = request.node.name.replace("_", "-")[:60]
    two_versions.tsavo("deploy", "small@1", "--endpoint", name)
    url = f"{two_versions.gateway}/v2/models/{name}/infer"
    return Fleet(two_versions, name, url)


@pytest.fixture
def group(fleet: Fleet) -> Iterator[list[Caller]]:
    """Four who ask until the test is over, however it ends."""
    started = [Caller(fleet.url) for _ in range(4)]
    for caller in started:
        caller.start()
    yield started
    for caller in started:
        caller.stop()


def until_answered_after(moment: float, group: list[Caller], seconds: float = 60) -> None:
    """Wait until each has had several answers after that moment, however slow the machine is."""
    deadline = time.monotonic() + seconds
    while not all(sum(seen.time > moment for seen in caller.seen[-100:]) >= 20 for caller in group):
        assert time.monotonic() < deadline, "they are not answered any more"
        time.sleep(0.05)


def since(moment: float, group: list[Caller]) -> list[Seen]:
    return [seen for caller in group for seen in caller.seen if seen.time > moment]


def test_the_plug_is_effective_everywhere_within_a_second_and_fails_no_request(
    fleet: Fleet, group: list[Caller]
) -> None:
    fleet.running.tsavo(
        "plug", fleet.name, "--constant", '{"label": 0, "probabilities": [0.9, 0.1]}', "--why", "drill"
    )
    pulled = time.monotonic()
    until_answered_after(pulled + 1, group)
    still = time.monotonic()
    fleet.running.tsavo("plug", fleet.name, "--off")
    released = time.monotonic()
    until_answered_after(released + 1, group)
    everything = [seen for caller in group for seen in caller.stop()]
    assert {seen.status for seen in everything} == {200}
    during = [seen for seen in everything if pulled + 1 < seen.time < still]
    assert during
    assert {(seen.role, tuple(seen.flags)) for seen in during} == {
        ("fallback", ("fallback:plug", "constant"))
    }
    afterwards = [seen for seen in everything if seen.time > released + 1]
    assert {(seen.role, tuple(seen.flags)) for seen in afterwards} == {("champion", ())}
    counted = fleet.running.tsavo("sql", f'select role, count(*) as n from "{fleet.name}" group by 1')
    recorded = {row["role"]: row["n"] for row in counted}
    assert recorded["fallback"] == sum(seen.role == "fallback" for seen in everything)


def test_without_a_fallback_a_pulled_plug_refuses_in_words(fleet: Fleet) -> None:
    fleet.running.tsavo("plug", fleet.name, "--why", "wrong answers")
    time.sleep(1)
    answer = httpx.post(fleet.url, json=BODY)
    assert answer.status_code == 503
    assert "plug" in answer.json()["detail"]
    assert "--off" in answer.json()["next_step"]
    twice = tsavo("plug", fleet.name, "--home", str(fleet.running.home))
    assert twice.returncode == 1
    assert "already" in twice.stderr


def test_shadow_promote_and_roll_back_under_load(fleet: Fleet, group: list[Caller]) -> None:
    running = fleet.running
    running.tsavo("deploy", "small@2", "--endpoint", fleet.name, "--shadow")
    time.sleep(1)
    assert {seen.version for seen in since(0, group)} == {"small@1"}
    running.tsavo("promote", fleet.name)
    promoted = time.monotonic()
    until_answered_after(promoted + 1, group)
    assert {seen.version for seen in since(promoted + 1, group)} == {"small@2"}
    running.tsavo("rollback", fleet.name)
    back = time.monotonic()
    until_answered_after(back + 1, group)
    assert {seen.version for seen in since(back + 1, group)} == {"small@1"}
    everything = [seen for caller in group for seen in caller.stop()]
    assert {seen.status for seen in everything} == {200}
    time.sleep(1)
    rows = running.tsavo(
        "sql",
        f'select role, version, count(*) as n, count(distinct decision_id) as ids from "{fleet.name}" group by 1, 2',
    )
    assert all(row["n"] == row["ids"] for row in rows)
    assert {(row["role"], row["version"]) for row in rows} >= {
        ("champion", 1),
        ("shadow", 2),
        ("champion", 2),
    }
    assert sum(row["n"] for row in rows if row["role"] != "shadow") == len(everything)


def test_a_version_that_callers_cannot_feed_is_refused(fleet: Fleet, tmp_path: Path) -> None:
    import joblib
    import pandas as pd
    from sklearn.linear_model import LogisticRegression

    table = pd.DataFrame({"other": [0.0, 1.0, 2.0, 3.0]})
    joblib.dump(LogisticRegression().fit(table, [0, 1, 0, 1]), tmp_path / "other.joblib")
    table.to_parquet(tmp_path / "other.parquet")
    words = ["--reference", str(tmp_path / "other.parquet"), "--trust"]
    fleet.running.tsavo("register", str(tmp_path / "other.joblib"), "--name", "other", *words)
    done = tsavo("deploy", "other@1", "--endpoint", fleet.name, "--home", str(fleet.running.home))
    assert done.returncode == 1
    assert "'other' is not sent by callers" in done.stderr
    assert "--endpoint" in done.stderr
    assert httpx.post(fleet.url, json=BODY).json()["parameters"]["version"] == "small@1"
