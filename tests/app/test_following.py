"""A change is answered when every gateway worker follows it: on real processes, with one that is stopped, too."""

from __future__ import annotations

import http.client
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from tests.app.conftest import Running, running_on, tsavo
from tests.app.models import save_small_model
from tsavo.client import Client, connect

BODY: dict[str, Any] = {
    "inputs": [{"name": "m", "shape": [1, 3], "datatype": "FP64", "data": [0.1, 0.2, 0.3]}]
}
WORKER = "tsavo.app.gateway_process"


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Client]]:
    """Two gateway workers that look for changes as seldom as they may, and two versions of one model."""
    folder = tmp_path_factory.mktemp("following")
    (folder / "home").mkdir()
    (folder / "home" / "tsavo.toml").write_text("[gateway]\nfollow_seconds = 0.8\n")
    with running_on(folder / "home", "--workers", "2") as running, connect(running.console) as client:
        for seed in (0, 1):
            (folder / str(seed)).mkdir()
            model, reference = save_small_model(folder / str(seed), seed)
            client.register(model, name="small", reference=reference, target="target", trust=True)
        yield running, client


def ask(url: str, times: int, body: dict[str, Any] = BODY) -> Counter[Any]:
    """What so many fresh connections are answered: the version, or the status where it is no answer."""
    address, sent = urlsplit(url), json.dumps(body)

    def one(_number: int) -> Any:
        connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=30)
        try:
            connection.request("POST", address.path, sent, {"Connection": "close"})
            answer = connection.getresponse()
            told = json.loads(answer.read())
        finally:
            connection.close()
        return told["parameters"]["version"] if answer.status == 200 else answer.status

    with ThreadPoolExecutor(8) as threads:
        return Counter(threads.map(one, range(times)))


def test_after_a_change_every_connection_meets_the_new_route(fleet: tuple[Running, Client]) -> None:
    running, client = fleet
    url = client.deploy("small@1", "fresh").url
    assert ask(url, 200) == {"small@1": 200}
    running.tsavo("deploy", "small@2", "--endpoint", "fresh")
    assert ask(url, 200) == {"small@2": 200}
    client.endpoint("fresh").rollback()
    assert ask(url, 200) == {"small@1": 200}
    client.endpoint("fresh").plug("a drill", fallback=["small@2"])
    assert ask(url, 200) == {"small@2": 200}
    # The page's form is a change like any other.
    form = httpx.post(f"{running.console}/endpoints/fresh/unplug", data={"why": "over"})
    assert form.status_code == 303
    assert ask(url, 200) == {"small@1": 200}


def test_members_of_a_family_are_met_everywhere(fleet: tuple[Running, Client]) -> None:
    _, client = fleet
    url = client.deploy("small@1", "family").url
    family = client.family("family")
    family.make("store", dtype="string")
    tensors = [*BODY["inputs"], {"name": "store", "shape": [1], "datatype": "BYTES", "data": ["a"]}]
    family.set({"a": "small@2"})
    assert ask(url, 100, {"inputs": tensors}) == {"small@2": 100}
    family.plug("a")
    assert ask(url, 100, {"inputs": tensors}) == {"small@1": 100}


def test_many_that_were_deployed_together_are_met_everywhere(
    fleet: tuple[Running, Client], tmp_path: Path
) -> None:
    _, client = fleet
    model, reference = save_small_model(tmp_path, 2)
    rows = [{"source": str(model), "name": f"many-{number}"} for number in range(4)]
    made = list(
        client.register_many(rows, deploy=True, reference=str(reference), target="target", trust=True)
    )
    assert {one.status for one in made} == {"registered"}
    for number in range(4):
        assert ask(client.endpoint(f"many-{number}").url, 50) == {f"many-{number}@1": 50}


def test_a_worker_that_is_stopped_hangs_nothing_and_is_told_of(fleet: tuple[Running, Client]) -> None:
    running, client = fleet
    client.deploy("small@1", "stopped")
    stopped = running.children(WORKER)[0]
    os.kill(stopped, signal.SIGSTOP)
    try:
        began = time.monotonic()
        answer = httpx.post(
            f"{running.console}/api/endpoints/stopped/deploy", json={"version": "small@2"}, timeout=60
        )
        assert time.monotonic() - began < 30
        assert answer.json()["champion"] == {"model": "small", "number": 2}
        assert answer.headers["X-Tsavo-Not-Following"].startswith("gateway-")
        done = tsavo("plug", "stopped", "--constant", "0", "--home", str(running.home))
        assert done.returncode == 0, done.stderr
        assert "gateway-" in done.stderr
        # What it says is true: once it has been silent for long, nobody waits for it any more.
        warnings: list[str] = []
        deadline = time.monotonic() + 30
        while not any("gateway-" in one for one in warnings):
            assert time.monotonic() < deadline
            time.sleep(0.5)
            warnings = httpx.get(f"{running.console}/api/status").json()["warnings"]
    finally:
        os.kill(stopped, signal.SIGCONT)
    client.endpoint("stopped").unplug()
    assert ask(f"{running.gateway}/v2/models/stopped/infer", 100) == {"small@2": 100}


def test_a_worker_that_is_killed_is_not_waited_for_and_its_successor_knows_the_route(
    fleet: tuple[Running, Client],
) -> None:
    running, client = fleet
    url = client.deploy("small@1", "killed").url
    before = set(running.children(WORKER))
    os.kill(min(before), signal.SIGKILL)
    answer = httpx.post(
        f"{running.console}/api/endpoints/killed/deploy", json={"version": "small@2"}, timeout=60
    )
    assert "X-Tsavo-Not-Following" not in answer.headers
    assert ask(url, 100) == {"small@2": 100}
    deadline = time.monotonic() + 30
    while len(set(running.children(WORKER)) - before) < 1:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert ask(url, 100) == {"small@2": 100}
