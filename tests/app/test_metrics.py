"""Figures of two gateway workers, added up by whichever is asked, through the real processes."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import httpx
import pytest
import tritonclient.http as triton
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from tests.app.conftest import Running, running_on
from tests.app.models import save_small_model
from tsavo.endpoints import Statistics
from tsavo.storage import Home
from tsavo.vocabulary import VersionRef

BODY = {
    "inputs": [{"name": "m", "shape": [2, 3], "datatype": "FP64", "data": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]}]
}
WRONG = {"inputs": [{"name": "m", "shape": [1, 2], "datatype": "FP64", "data": [1, 2]}]}
ACCEPT = {"accept": "application/openmetrics-text; version=1.0.0", "connection": "close"}
WORKER = "tsavo.app.gateway_process"


class Scrape(NamedTuple):
    """One answer of /metrics: name and label values -> value."""

    figures: dict[tuple[str, ...], float]

    def total(self, name: str) -> float:
        """A figure without labels."""
        return self.figures[(f"tsavo_{name}",)]

    def of_workers(self, name: str) -> list[float]:
        """A figure of each worker, in their order."""
        found = {key[1]: value for key, value in self.figures.items() if key[0] == f"tsavo_gateway_{name}"}
        return [found[worker] for worker in sorted(found)]


def scrape(running: Running, query: str = "") -> Scrape:
    """Ask on a connection of its own, so that either worker may answer."""
    answer = httpx.get(f"{running.gateway}/metrics{query}", headers=ACCEPT, timeout=30)
    assert answer.status_code == 200, answer.text
    families = text_string_to_metric_families(answer.text)  # type: ignore[no-untyped-call]
    return Scrape(
        {
            (sample.name, *sample.labels.values()): sample.value
            for family in families
            for sample in family.samples
        }
    )


def send(running: Running, endpoint: str, body: Any, times: int) -> list[int]:
    """So many requests, over connections that are spread over the workers; the statuses."""

    def one_connection(count: int) -> list[int]:
        with httpx.Client(timeout=30) as client:
            url = f"{running.gateway}/v2/models/{endpoint}/infer"
            return [client.post(url, json=body).status_code for _ in range(count)]

    with ThreadPoolExecutor(8) as threads:
        return [status for found in threads.map(one_connection, [times // 8] * 8) for status in found]


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("metrics")
    # What a run before this one counted.
    before = Statistics(Home(folder / "home").statistics / "gateway-1")
    before.of("one").answered(VersionRef("small", 1), "champion", 1, 0, 0, 0, 1)
    with running_on(folder / "home", "--workers", "2") as running:
        model, reference = save_small_model(folder)
        words = ["--reference", str(reference), "--target", "target", "--trust"]
        running.tsavo("register", str(model), "--name", "small", *words)
        for endpoint in ("one", "other"):
            running.tsavo("deploy", "small", "--endpoint", endpoint)
        # Until both follow the routes.
        deadline = time.monotonic() + 60
        while len(set(revisions := scrape(running).of_workers("route_revision"))) != 1 or not revisions[0]:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield running


def test_a_new_start_counts_from_zero(two_workers: Running) -> None:
    found = scrape(two_workers)
    assert found.total("requests_total") == 0
    assert found.of_workers("starts_total") == [1, 1]


def test_the_sums_are_exact_whichever_worker_answers(two_workers: Running) -> None:
    before = scrape(two_workers)
    assert set(send(two_workers, "one", BODY, 80)) == {200}
    assert set(send(two_workers, "other", BODY, 40)) == {200}
    assert set(send(two_workers, "one", WRONG, 16)) == {422}
    assert set(send(two_workers, "nobody", BODY, 8)) == {404}
    answered_by = set()
    for _ in range(20):
        found = scrape(two_workers)
        for name, more in [
            ("requests_total", 136),
            ("rows_total", 240),
            ("request_seconds_count", 120),
            ("journal_records_total", 120),
            ("unknown_endpoint_requests_total", 8),
        ]:
            assert found.total(name) - before.total(name) == more, name
        assert found.figures["tsavo_endpoint_requests_total", "one"] == 96
        assert found.figures["tsavo_endpoint_failures_total", "one", "invalid"] == 16
        assert found.figures["tsavo_endpoint_rows_total", "other"] == 80
        # Who is asked has written down a moment ago how it is doing.
        reported = found.of_workers("reported_timestamp_seconds")
        answered_by.add(reported.index(max(reported)))
        assert all(value > 10e6 for value in found.of_workers("resident_memory_bytes"))
    assert answered_by == {0, 1}


def test_both_workers_took_their_share(two_workers: Running) -> None:
    send(two_workers, "one", BODY, 80)
    deadline = time.monotonic() + 60
    while not all(loaded := scrape(two_workers).of_workers("loaded_versions")):
        assert time.monotonic() < deadline, loaded
        send(two_workers, "one", BODY, 80)
    assert all(value > 0 for value in scrape(two_workers).of_workers("loaded_versions_bytes"))


def test_a_killed_workers_counts_stay(two_workers: Running) -> None:
    send(two_workers, "one", BODY, 80)
    before = scrape(two_workers)
    killed = two_workers.children(WORKER)
    for number, pid in enumerate(killed, start=1):
        os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 60
        while True:
            found = scrape(two_workers)
            for name in ("requests_total", "rows_total", "request_seconds_sum", "journal_records_total"):
                assert found.total(name) >= before.total(name)
            if sum(found.of_workers("starts_total")) == 2 + number:
                break
            assert time.monotonic() < deadline
            time.sleep(0.05)
    assert len(two_workers.children(WORKER)) == 2
    assert scrape(two_workers).total("requests_total") == before.total("requests_total")
    # The first routes that a new worker reads are there before it answers.
    assert set(send(two_workers, "one", BODY, 80)) == {200}
    assert scrape(two_workers).total("requests_total") == before.total("requests_total") + 80


def test_tritons_own_client_reads_the_statistics(two_workers: Running) -> None:
    client = triton.InferenceServerClient(two_workers.gateway.removeprefix("http://"))
    try:
        (before,) = client.get_inference_statistics("one")["model_stats"]
        send(two_workers, "one", BODY, 16)
        (now,) = client.get_inference_statistics("one")["model_stats"]
        assert (now["name"], now["version"]) == ("one", "1")
        assert now["execution_count"] - before["execution_count"] == 16
        assert now["inference_count"] - before["inference_count"] == 32
        assert abs(now["last_inference"] / 1000 - time.time()) < 60
        success = now["inference_stats"]["success"]
        assert success["count"] == now["execution_count"]
        assert success["ns"] > before["inference_stats"]["success"]["ns"]
        assert client.get_inference_statistics("one", "1")["model_stats"] == [now]
        everything = client.get_inference_statistics()["model_stats"]
        assert [entry["name"] for entry in everything] == ["one", "other"]
        assert everything[0] == now
        with pytest.raises(triton.InferenceServerException, match="no such version"):
            client.get_inference_statistics("one", "9")
        with pytest.raises(triton.InferenceServerException, match="no such endpoint"):
            client.get_inference_statistics("nobody")
    finally:
        client.close()
