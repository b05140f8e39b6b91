"""The door of a real Tsavo: started by its command line, asked by the published client, stopped under load."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from tests.app.conftest import Running, running_on, tsavo
from tests.app.models import save_small_model
from tests.grpc_door.served import tensor

ROWS = np.array([[0.1, 0.2, 0.3], [-1.0, 2.0, 0.5]])
GATEWAY = "tsavo.app.gateway_process"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Two gateway workers, and one small model."""
    folder = tmp_path_factory.mktemp("small")
    model, reference = save_small_model(folder)
    with running_on(folder / "home", "--workers", "2") as running:
        words = ["--name", "small", "--reference", str(reference), "--target", "target", "--trust"]
        running.tsavo("deploy", str(model), *words)
        yield running


def asked(client: Any, rows: Any = ROWS, caller: str = "test") -> tuple[Any, str]:
    """The answer, and the request part of its decisions' ids."""
    answer = client.infer("small", [tensor("m", rows)], headers={"x-tsavo-caller": caller})
    return answer, answer.get_response().parameters["decision_id"].string_param.removesuffix(":0")


def decisions(running: Running, caller: str) -> Counter[str]:
    """How many rows were recorded for each request of a caller."""
    query = f"select decision_id from decisions where caller = '{caller}'"
    listed = tsavo("sql", query, "--home", str(running.home), "--json")
    assert listed.returncode == 0, listed.stderr
    return Counter(row["decision_id"].rpartition(":")[0] for row in json.loads(listed.stdout))


def test_health_and_the_answers_of_the_rest_door(small: Running) -> None:
    with triton.InferenceServerClient(small.grpc) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready("small")
        answer, request = asked(client)
    inputs = {"name": "m", "shape": [2, 3], "datatype": "FP64", "data": ROWS.ravel().tolist()}
    url, caller = f"{small.gateway}/v2/models/small/infer", {"x-tsavo-caller": "test"}
    rest = httpx.post(url, json={"inputs": [inputs]}, headers=caller).json()
    for output in rest["outputs"]:
        assert answer.as_numpy(output["name"]).ravel().tolist() == output["data"]
    other = rest["parameters"]["decision_id"].removesuffix(":0")
    assert decisions(small, "test") == {request: 2, other: 2}


def listening(running: Running) -> set[int]:
    """Gateway processes that listen on the gRPC port."""
    port = f":{int(str(running.grpc).rpartition(':')[2]):04X}"
    tables = [Path(f"/proc/net/{table}") for table in ("tcp", "tcp6")]
    words = [line.split() for table in tables if table.exists() for line in table.read_text().splitlines()]
    sockets = {f"socket:[{word[9]}]" for word in words if word[1].endswith(port) and word[3] == "0A"}
    found = set()
    for pid in running.children(GATEWAY):
        for file in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):  # what was open when the folder was read may be closed by now
                if str(file.readlink()) in sockets:
                    found.add(pid)
    return found


def test_all_workers_share_the_port_and_a_killed_one_comes_back(small: Running) -> None:
    before = listening(small)
    assert before == set(small.children(GATEWAY))
    assert len(before) == 2
    time.sleep(0.6)
    killed = min(before)
    os.kill(killed, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while len(after := listening(small)) < 2 or killed in after:
        assert time.monotonic() < deadline, "the worker did not come back"
        time.sleep(0.05)
    with triton.InferenceServerClient(small.grpc) as client:
        assert asked(client)[0].as_numpy("label").shape == (2,)


def test_another_tsavo_cannot_share_the_port_unawares(small: Running, tmp_path: Path) -> None:
    port = str(small.grpc).rpartition(":")[2]
    words = ["--port", "0", "--grpc-port", port, "--console-port", "0"]
    done = tsavo("up", "--home", str(tmp_path / "other"), *words)
    assert done.returncode == 1
    assert port in done.stderr
    assert "--grpc-port" in done.stderr


class Load(threading.Thread):
    """Asks without pause until there is no answer any more, and notes what was answered."""

    def __init__(self, address: str) -> None:
        super().__init__(daemon=True)
        self._address = address
        self.answered: list[str] = []
        self.ended_by = ""

    def run(self) -> None:
        with triton.InferenceServerClient(self._address) as client:
            while True:
                try:
                    self.answered.append(asked(client, ROWS[:1], "load")[1])
                except InferenceServerException as error:
                    self.ended_by = str(error.status())
                    return


def test_when_it_is_stopped_under_load_what_was_recorded_was_answered(small: Running) -> None:
    loads = [Load(str(small.grpc)) for _ in range(6)]
    for load in loads:
        load.start()
    time.sleep(1.0)
    started = time.monotonic()
    assert tsavo("down", "--home", str(small.home)).returncode == 0
    assert time.monotonic() - started < 20
    for load in loads:
        load.join(20)
    assert {load.ended_by for load in loads} <= {"StatusCode.UNAVAILABLE", "StatusCode.CANCELLED"}
    answered = [request for load in loads for request in load.answered]
    assert len(answered) > 100
    # What was begun was finished, so nobody was left without the answer to a decision, either.
    assert Counter(answered) == decisions(small, "load")


def test_where_the_port_is_off_the_library_is_not_loaded(tmp_path: Path) -> None:
    with running_on(tmp_path / "home", "--grpc-port", "-1") as running:
        assert running.grpc is None
        (pid,) = running.children(GATEWAY)
        maps = Path(f"/proc/{pid}/maps").read_text()
        assert "onnxruntime" in maps
        assert "cygrpc" not in maps
        assert httpx.get(f"{running.gateway}/v2/health/ready").status_code == 200
