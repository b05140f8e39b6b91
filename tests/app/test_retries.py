"""Two gateway workers on one port, killed now and then: a key is one decision and one answer, whoever is asked."""

from __future__ import annotations

import itertools
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc  # type: ignore[import-untyped]
import httpx
import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from tests.app.conftest import Running, running_on
from tests.app.models import save_small_model

GATEWAY = "tsavo.app.gateway_process"
BODY = {"inputs": [{"name": "m", "shape": [1, 3], "datatype": "FP64", "data": [0.1, 0.2, 0.3]}]}
PATH = "/v2/models/small/infer"
KILLS, CLIENTS = 4, 4


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("two")
    with running_on(folder / "home", "--workers", "2") as running:
        model, reference = save_small_model(folder)
        running.tsavo("deploy", str(model), "--name", "small", "--reference", str(reference), "--trust")
        until_both_know(running)
        yield running


def until_both_know(running: Running) -> None:
    """Wait until each worker has been asked often and knew the endpoint: a new one is everywhere within a second."""
    known = 0
    while known < 30:
        answer = httpx.get(f"{running.gateway}/v2/models/small", timeout=30)
        known = known + 1 if answer.status_code == 200 else 0


def ask(running: Running, key: str, **parts: Any) -> httpx.Response:
    """Ask on a new connection, which any worker may take."""
    headers = {"idempotency-key": key, "x-tsavo-caller": parts.pop("caller", "c")}
    return httpx.post(running.gateway + PATH, json=parts.pop("json", BODY), headers=headers, timeout=30)


def decisions(running: Running, caller: str) -> list[str]:
    query = f"select decision_id from decisions where caller = '{caller}'"
    told = httpx.post(f"{running.console}/api/sql", json={"query": query, "limit": 1_000_000}, timeout=30)
    assert told.status_code == 200, told.text
    return [row[0] for row in told.json()["rows"]]


def decided_by(answer: httpx.Response) -> str:
    assert answer.status_code == 200, answer.text
    return str(answer.json()["parameters"]["decision_id"])


def test_a_retry_is_given_the_same_bytes_by_whichever_worker_gets_it(two: Running) -> None:
    first = {key: ask(two, key, caller="any") for key in map(str, range(8))}
    for key in itertools.chain(first, first, first):
        again = ask(two, key, caller="any")
        assert again.content == first[key].content
        assert again.headers["idempotency-replayed"] == "true"
    assert sorted(decisions(two, "any")) == sorted(decided_by(answer) for answer in first.values())
    assert ask(two, "0", caller="any", json=BODY | {"id": "other"}).status_code == 422


def test_many_at_the_same_moment_on_both_workers_are_one_decision_a_key(two: Running) -> None:
    start = threading.Barrier(16)

    def burst(key: str) -> httpx.Response:
        start.wait(30)
        return ask(two, key, caller="burst")

    with ThreadPoolExecutor(16) as threads:
        for number in range(5):
            answers = list(threads.map(burst, [f"burst-{number}"] * 16))
            assert {answer.status_code for answer in answers} == {200}
            assert len({answer.content for answer in answers}) == 1
            assert [answer.headers.get("idempotency-replayed") for answer in answers].count("true") == 15
    assert len(decisions(two, "burst")) == 5


def test_an_answer_that_nobody_read_outlives_the_workers(two: Running) -> None:
    host, port = two.gateway.removeprefix("http://").split(":")
    request = httpx.Request(
        "POST",
        two.gateway + PATH,
        json=BODY,
        headers={"idempotency-key": "unread", "x-tsavo-caller": "unread"},
    )
    lines = [f"POST {PATH} HTTP/1.1", *(f"{name}: {value}" for name, value in request.headers.items())]
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode() + request.content)
        deadline = time.monotonic() + 60
        while not decisions(two, "unread"):
            assert time.monotonic() < deadline
        # It is on disk, and what was sent lies unread in our own kernel.
        kill_gateways(two)
    answer = ask(two, "unread", caller="unread")
    assert [decided_by(answer)] == decisions(two, "unread")
    assert answer.headers["idempotency-replayed"] == "true"


def test_a_key_holds_by_grpc_too_and_is_not_to_be_used_by_both(two: Running) -> None:
    assert two.grpc is not None
    asked = service_pb2.ModelInferRequest(model_name="small")
    asked.inputs.add(name="m", datatype="FP64", shape=[1, 3])
    asked.raw_input_contents.append(np.array([[0.1, 0.2, 0.3]]).tobytes())
    metadata = (("idempotency-key", "g"), ("x-tsavo-caller", "grpc"))
    answers = []
    for _ in range(8):
        # A connection of its own, which any worker may take.
        with grpc.insecure_channel(two.grpc, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
            answers.append(infer(asked.SerializeToString(), metadata=metadata, timeout=30))
    assert len(set(answers)) == 1
    assert len(decisions(two, "grpc")) == 1
    assert ask(two, "g", caller="grpc").status_code == 422


def kill_gateways(running: Running) -> None:
    for pid in running.children(GATEWAY):
        os.kill(pid, signal.SIGKILL)


class Stubborn(threading.Thread):
    """A caller who asks with one key until there is an answer, then with the next."""

    def __init__(self, running: Running, name: str, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self._running, self._label, self._halt = running, name, stop
        self.answered: dict[str, str] = {}
        self.retried = self.replayed = 0

    def run(self) -> None:
        with httpx.Client(timeout=30) as client:
            for number in itertools.count():
                if self._halt.is_set():
                    return
                key = f"{self._label}-{number}"
                headers = {"idempotency-key": key, "x-tsavo-caller": "stubborn"}
                while True:
                    try:
                        answer = client.post(self._running.gateway + PATH, json=BODY, headers=headers)
                    except httpx.HTTPError:
                        self.retried += 1
                        time.sleep(0.005)
                        continue
                    break
                self.answered[key] = decided_by(answer)
                self.replayed += "idempotency-replayed" in answer.headers


def test_every_key_is_one_decision_however_often_the_workers_are_killed(two: Running) -> None:
    # A test before may have killed them: a kill that hits nobody shows nothing.
    until_both_know(two)
    stop = threading.Event()
    callers = [Stubborn(two, f"s{number}", stop) for number in range(CLIENTS)]
    for caller in callers:
        caller.start()
    for _ in range(KILLS):
        time.sleep(0.9)
        kill_gateways(two)
    time.sleep(1.0)
    stop.set()
    for caller in callers:
        caller.join(30)
    answered = [decision for caller in callers for decision in caller.answered.values()]
    assert len(answered) > 200
    assert sum(caller.retried for caller in callers) > 0
    assert sorted(decisions(two, "stubborn")) == sorted(answered)


def test_a_decision_is_found_from_its_trace_and_the_other_way_round(two: Running) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    headers = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
    answer = httpx.post(two.gateway + PATH, json=BODY, headers=headers)
    found = two.tsavo("sql", f"select decision_id from decisions where trace = '{trace}'")
    assert [row["decision_id"] for row in found] == [decided_by(answer)]
    assert two.tsavo("decision", decided_by(answer))["decision"]["trace"] == trace
