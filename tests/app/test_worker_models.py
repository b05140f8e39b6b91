"""Acceptance: worker models that leak, sleep and exit, behind a real gateway, beside one that must not notice."""

from __future__ import annotations

import json
import os
import signal
import statistics
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.app.conftest import Running, running_on
from tests.app.models import save_small_model
from tests.runtimes.python_worker.models import has_process

SECONDS = 2.0
DEEDS = {
    "leaky": "KEPT.append(np.ones(30_000_000)); time.sleep(0.1)",
    "sleepy": "time.sleep(1000)",
    "gone": "os._exit(3)",
}
REASONS = {
    "leaky": "went beyond 700 MiB of memory",
    "sleepy": "did not answer within 2 s",
    "gone": "ended by itself with code 3",
}
CODE = """
import os
import time

import numpy as np

KEPT = []


def predict(columns: dict):
    if columns["x"][0] < 0:
        {deed}
    return {{"value": columns["x"] * 2}}
"""


def project(folder: Path, name: str) -> Path:
    """A folder of Python code, as somebody would bring it."""
    made = folder / name
    made.mkdir()
    (made / "model.py").write_text(CODE.format(deed=DEEDS[name]))
    return made


def request(x: float) -> dict[str, Any]:
    return {"inputs": [{"name": "x", "shape": [1], "datatype": "FP64", "data": [x]}]}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("worker-models")
    home = folder / "home"
    home.mkdir(mode=0o700)
    (home / "tsavo.toml").write_text(f"[worker]\nseconds = {SECONDS}\nmemory_mib = 700\n")
    reference = folder / "reference.csv"
    reference.write_text("x\n" + "\n".join(f"{number}.5" for number in range(1, 40)))
    with running_on(home) as started:
        model, table = save_small_model(folder)
        started.tsavo("deploy", str(model), "--name", "small", "--reference", str(table), "--trust")
        for name in DEEDS:
            words = ["--task", "regression", "--reference", str(reference), "--trust"]
            started.tsavo("deploy", str(project(folder, name)), "--name", name, *words)
        started.tsavo("deploy", "gone", "--endpoint", "backed", "--constant", json.dumps({"value": 0.5}))
        yield started


def ask(running: Running, endpoint: str, x: float) -> httpx.Response:
    return httpx.post(f"{running.gateway}/v2/models/{endpoint}/infer", json=request(x), timeout=30)


def until_well(running: Running, endpoint: str) -> None:
    deadline = time.monotonic() + 60
    while (answer := ask(running, endpoint, 4.0)).status_code != 200:
        assert answer.status_code == 503
        assert time.monotonic() < deadline, answer.text
        time.sleep(0.1)
    assert answer.json()["outputs"][0]["data"] == [8.0]


def until_broken(running: Running, endpoint: str) -> httpx.Response:
    for _ in range(50):
        started = time.monotonic()
        answer = ask(running, endpoint, -1.0)
        if answer.status_code != 200:
            # Its time limit, and what a busy machine adds.
            assert time.monotonic() - started < SECONDS + 15
            return answer
    raise AssertionError("nothing that it did broke it")


@pytest.mark.parametrize("name", DEEDS)
def test_a_worker_model_that_breaks_is_told_about_and_comes_back(running: Running, name: str) -> None:
    until_well(running, name)
    answer = until_broken(running, name)
    assert answer.status_code == 503
    problem = answer.json()
    assert REASONS[name] in problem["reason"]
    assert int(answer.headers["retry-after"]) >= 1
    told = httpx.get(f"{running.gateway}/v2/models/{name}").json()["parameters"]
    assert told["runtime"] == "python"
    assert REASONS[name] in told["state"]["reason"]
    ready = httpx.get(f"{running.gateway}/v2/models/{name}/ready")
    assert ready.status_code == 503 or told["state"]["name"] != "backing-off"
    until_well(running, name)
    assert httpx.get(f"{running.gateway}/v2/models/{name}/ready").status_code == 200


def test_the_fallback_answers_and_every_answer_is_recorded(running: Running) -> None:
    until_well(running, "backed")
    answer = ask(running, "backed", -1.0)
    assert answer.status_code == 200, answer.text
    assert answer.json()["outputs"][0]["data"] == [0.5]
    assert answer.json()["parameters"]["role"] == "fallback"
    given = answer.json()["parameters"]["decision_id"]
    rows = running.tsavo("sql", f"select role from decisions where decision_id = '{given}'")
    assert rows == [{"role": "fallback"}]


def test_others_do_not_notice(running: Running) -> None:
    """An endpoint of a compiled model, while three others leak, sleep and exit without a pause."""
    body = {"inputs": [{"name": "m", "shape": [1, 3], "datatype": "FP64", "data": [1, 2, 3]}]}
    url = f"{running.gateway}/v2/models/small/infer"
    stop = threading.Event()

    def torment(name: str) -> None:
        while not stop.is_set():
            ask(running, name, -1.0)
            stop.wait(0.05)

    callers = [threading.Thread(target=torment, args=(name,), daemon=True) for name in DEEDS]
    for caller in callers:
        caller.start()
    waited = []
    with httpx.Client(timeout=5) as client:
        end = time.monotonic() + 5
        while time.monotonic() < end:
            started = time.monotonic()
            assert client.post(url, json=body).status_code == 200
            waited.append(time.monotonic() - started)
    stop.set()
    for caller in callers:
        caller.join(30)
    # No figure is promised on a shared machine, but to wait for a hanging model would take seconds.
    assert statistics.median(waited) < 0.1
    assert max(waited) < SECONDS / 2


def test_workers_end_with_the_gateway(running: Running) -> None:
    until_well(running, "sleepy")
    state = httpx.get(f"{running.gateway}/v2/models/sleepy").json()["parameters"]["state"]
    worker = state["process"]
    assert has_process(worker)
    (gateway,) = running.children("tsavo.app.gateway_process")
    os.kill(gateway, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while has_process(worker):
        assert time.monotonic() < deadline, "the worker outlived its gateway"
        time.sleep(0.02)
    deadline = time.monotonic() + 60
    while True:
        try:
            until_well(running, "sleepy")
            return
        except httpx.HTTPError:
            assert time.monotonic() < deadline, "the gateway did not come back"
            time.sleep(0.1)
