"""A running Tsavo with a model that has been deployed, asked, told outcomes, and alarmed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
import pytest

from tests.app.conftest import Running, running_on
from tests.app.models import save_small_model

ENDPOINT = "small.v1"


class Scene(NamedTuple):
    """The running Tsavo, a client of its console, one decision's id, and what the first four requests' ids precede."""

    running: Running
    http: httpx.Client
    decision: str
    end: str


def ask(url: str, rows: int, shift: float, seed: int) -> list[str]:
    """Score `rows` rows that have moved by `shift`; return their decision ids."""
    data = np.random.default_rng(seed).normal(shift, 1, size=rows * 3).tolist()
    body = {"inputs": [{"name": "m", "shape": [rows, 3], "datatype": "FP64", "data": data}]}
    answer = httpx.post(f"{url}/v2/models/{ENDPOINT}/infer", json=body)
    assert answer.status_code == 200, answer.text
    first: str = answer.json()["parameters"]["decision_id"]
    return [f"{first.removesuffix(':0')}:{row}" for row in range(rows)]


def wait_for(look: Any, seconds: float = 60) -> Any:
    """Ask until there is something."""
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.1)
    return found


@pytest.fixture(scope="package")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Shared by all modules: whoever counts decisions counts those of its own, or those before `Scene.end`."""
    folder = tmp_path_factory.mktemp("console")
    model, reference = save_small_model(folder)
    home = Path(folder / "home")
    home.mkdir()
    (home / "tsavo.toml").write_text("[keeper]\nship_seconds = 0.1\n")
    with running_on(home) as running, httpx.Client(base_url=running.console, timeout=30) as http:
        words = ["--name", "small", "--reference", str(reference), "--target", "target", "--trust"]
        running.tsavo("register", str(model), *words)
        running.tsavo("deploy", "small", "--endpoint", ENDPOINT, "--constant", "0")
        wait_for(lambda: httpx.get(f"{running.gateway}/v2/models/{ENDPOINT}/ready").status_code == 200)
        ids = [decision for seed in range(4) for decision in ask(running.gateway, 200, 2.0, seed)]
        given = {"decisions": ids, "values": [0] * len(ids)}
        assert http.post(f"/api/endpoints/{ENDPOINT}/outcomes", json=given).json() == {"recorded": len(ids)}
        wait_for(lambda: http.get("/api/alerts").json()["total"] >= 2)
        # A semicolon comes behind the colon of any row of the last request.
        yield Scene(running, http, ids[0], ids[-1].partition(":")[0] + ";")
