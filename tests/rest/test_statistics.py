"""Metrics as a collector reads them, and statistics as Triton's clients do."""

from __future__ import annotations

import asyncio
import re
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_prometheus

from tests.endpoints.test_serving import ONE, THREE, TWO, Times, World, boom
from tests.rest.test_gateway import BODY, with_gateway
from tsavo.endpoints.statistics_file import BOUNDS_NS
from tsavo.vocabulary import Challenger, ConstantFallback, Damaged, Plug, Route, VersionFallback

NOW = datetime(2026, 1, 1, tzinfo=UTC)
OPENMETRICS = {"accept": "application/openmetrics-text; version=1.0.0; charset=utf-8"}
TWO_ROWS = {"inputs": [{"name": "m", "shape": [2, 2], "datatype": "FP64", "data": [1, 2, 3, 4]}]}
WRONG = {"inputs": [{"name": "m", "shape": [1, 2], "datatype": "BYTES", "data": ["a", "b"]}]}


def samples(families: Any) -> dict[tuple[str, ...], float]:
    """Name and label values -> value; each may be there once."""
    found: dict[tuple[str, ...], float] = {}
    for family in families:
        assert isinstance(family, Metric)
        assert family.documentation
        for sample in family.samples:
            key = (sample.name, *sample.labels.values())
            assert key not in found
            found[key] = sample.value
    return found


async def read(client: httpx.AsyncClient, query: str = "") -> dict[tuple[str, ...], float]:
    answer = await client.get(f"/metrics{query}", headers=OPENMETRICS)
    assert answer.status_code == 200, answer.text
    return samples(parse_openmetrics(answer.text))  # type: ignore[no-untyped-call]


def test_the_figures_are_those_of_the_requests(tmp_path: Path) -> None:
    async def test(client: httpx.AsyncClient, world: World, faults: list[BaseException]) -> None:
        world.versions |= {TWO: Times(2.0), THREE: Times(3.0, boom)}
        world.plane.apply(
            [
                Route("shadowed", 2, ONE, (Challenger(TWO), Challenger(THREE))),
                Route("fallen", 3, THREE, (), (VersionFallback(TWO),)),
                Route("pulled", 4, ONE, plug=Plug("me", NOW)),
                Route("quiet", 5, ONE),
            ]
        )
        for endpoint, body, status in [
            *[("e", BODY, 200)] * 3,
            *[("e", TWO_ROWS, 200)] * 2,
            ("e", WRONG, 422),
            *[("shadowed", TWO_ROWS, 200)] * 2,
            *[("fallen", BODY, 200)] * 4,
            *[("pulled", BODY, 503)] * 5,
            *[("nobody", BODY, 404)] * 6,
        ]:
            assert (await client.post(f"/v2/models/{endpoint}/infer", json=body)).status_code == status
        for content in (b"no JSON", b"{}"):
            assert (await client.post("/v2/models/e/infer", content=content)).status_code in {400, 422}
        await world.plane.close()
        found = await read(client)
        totals = {
            "tsavo_endpoints": 5,
            "tsavo_requests_total": 17,
            "tsavo_rows_total": 3 + 4 + 4 + 4,
            "tsavo_fallback_answers_total": 4,
            "tsavo_shadow_requests_total": 2,
            "tsavo_shadow_rows_total": 4,
            "tsavo_shadows_skipped_total": 2,
            "tsavo_unknown_endpoint_requests_total": 6,
            "tsavo_refused_requests_total": 2,
            "tsavo_journal_records_total": 5 + 2 + 4 + 2,
            "tsavo_request_seconds_count": 11,
        }
        assert {name: found[(name,)] for name in totals} == totals
        assert found["tsavo_failures_total", "invalid"] == 1
        assert found["tsavo_failures_total", "unavailable"] == 5
        each = {key[1]: value for key, value in found.items() if key[0] == "tsavo_endpoint_requests_total"}
        assert each == {"e": 6, "shadowed": 2, "fallen": 4, "pulled": 5}
        assert found["tsavo_endpoint_failures_total", "e", "invalid"] == 1
        assert found["tsavo_endpoint_failures_total", "pulled", "unavailable"] == 5
        assert found["tsavo_endpoint_shadows_skipped_total", "shadowed"] == 2
        assert found["tsavo_endpoint_request_seconds_count", "e"] == 5
        assert found["tsavo_gateway_requests_in_flight", "0"] == 0
        assert len(await world.records()) == totals["tsavo_journal_records_total"]

    with_gateway(tmp_path, test)


def test_requests_in_flight_are_those_that_wait(tmp_path: Path) -> None:
    hold = threading.Event()

    async def test(client: httpx.AsyncClient, world: World, faults: list[BaseException]) -> None:
        waiting = [asyncio.ensure_future(client.post("/v2/models/e/infer", json=BODY)) for _ in range(3)]
        while (found := await read(client))["tsavo_gateway_requests_in_flight", "0"] < 3:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        assert found[("tsavo_requests_total",)] == 0
        waiting.pop().cancel()
        while (await read(client))["tsavo_gateway_requests_in_flight", "0"] > 2:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        hold.set()
        for done in await asyncio.gather(*waiting):
            assert done.status_code == 200
        found = await read(client)
        assert found["tsavo_gateway_requests_in_flight", "0"] == 0
        # Who went away got no answer, and nothing failed.
        assert found[("tsavo_requests_total",)] == 2

    def wait() -> None:
        hold.wait(20)

    with_gateway(tmp_path, test, Times(1.0, wait))


def test_the_histogram_is_cumulative_and_has_its_sum(tmp_path: Path) -> None:
    async def test(client: httpx.AsyncClient, world: World, faults: list[BaseException]) -> None:
        counters = world.plane.statistics.of("e")
        for took in (*BOUNDS_NS, BOUNDS_NS[-1] + 1):
            counters.answered(ONE, "champion", 1, 0, 0, 0, took)
        found = await read(client)
        buckets = [
            (float(key[1]), value) for key, value in found.items() if key[0] == "tsavo_request_seconds_bucket"
        ]
        assert buckets == [
            *((bound / 1e9, at + 1) for at, bound in enumerate(BOUNDS_NS)),
            (float("inf"), len(BOUNDS_NS) + 1),
        ]
        assert found[("tsavo_request_seconds_sum",)] == pytest.approx(
            (sum(BOUNDS_NS) + BOUNDS_NS[-1] + 1) / 1e9
        )

    with_gateway(tmp_path, test)


@pytest.mark.parametrize(
    ("accept", "content_type", "parse"),
    [
        (OPENMETRICS["accept"], "application/openmetrics-text; version=1.0.0", parse_openmetrics),
        ("application/openmetrics-text", "application/openmetrics-text; version=1.0.0", parse_openmetrics),
        ("text/plain", "text/plain; version=0.0.4", parse_prometheus),
        ("*/*", "text/plain; version=0.0.4", parse_prometheus),
        # What Prometheus 3 sends.
        (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
            "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
            "application/openmetrics-text; version=1.0.0",
            parse_openmetrics,
        ),
    ],
)
def test_the_format_is_what_the_collector_asks_for(
    tmp_path: Path, accept: str, content_type: str, parse: Any
) -> None:
    async def test(client: httpx.AsyncClient, world: World, faults: list[BaseException]) -> None:
        await client.post("/v2/models/e/infer", json=BODY)
        answer = await client.get("/metrics", headers={"accept": accept})
        assert answer.headers["content-type"].startswith(content_type)
        assert samples(parse(answer.text))[("tsavo_requests_total",)] == 1

    with_gateway(tmp_path, test)


def test_labels_are_bounded_and_the_rest_is_there_on_request(tmp_path: Path) -> None:
    async def test(client: httpx.AsyncClient, world: World, faults: list[BaseException]) -> None:
        names = [f"endpoint-{number:04}" for number in range(1500)]
        world.plane.apply([Route(name, 10 + at, ONE) for at, name in enumerate(names)])
        for number, name in enumerate(names):
            for _ in range(2 if number % 10 == 7 else 1):
                world.plane.statistics.of(name).answered(ONE, "champion", 1, 0, 0, 0, 5)

        def told(found: dict[tuple[str, ...], float]) -> list[str]:
            return [key[1] for key in found if key[0] == "tsavo_endpoint_rows_total"]

        usual = await read(client)
        assert told(usual) == [name for name in names if name.endswith("7")][:100]
        assert usual[("tsavo_requests_total",)] == 1650
        assert len(told(await read(client, "?endpoints=1000"))) == 1000
        none = await read(client, "?endpoints=0")
        assert told(none) == []
        assert none[("tsavo_requests_total",)] == 1650
        assert told(await read(client, "?endpoint=endpoint-0001")) == ["endpoint-0001"]
        # One that there is and that nobody asked yet.
        quiet = await read(client, "?endpoint=e")
        assert quiet["tsavo_endpoint_requests_total", "e"] == 0
        assert quiet[("tsavo_requests_total",)] == 1650

    with_gateway(tmp_path, test)


@pytest.mark.parametrize(
    ("path", "status", "field"),
    [
        ("/metrics?endpoints=1001", 422, "endpoints"),
        ("/metrics?endpoints=-1", 422, "endpoints"),
        ("/metrics?endpoints=%C2%B2", 422, "endpoints"),
        ("/metrics?endpoints=", 422, "endpoints"),
        ("/metrics?endpoint=nobody", 404, "endpoint"),
        ("/metrics?enpoint=e", 422, "enpoint"),
        ("/v2/models/nobody/stats", 404, "endpoint"),
        ("/v2/models/e/versions/9/stats", 404, "version"),
        ("/v2/models/e/versions/x/stats", 404, "version"),
        ("/v2/models/stats?limit=99999", 422, "limit"),
    ],
)
def test_wrong_questions_are_told_what_is_wrong(tmp_path: Path, path: str, status: int, field: str) -> None:
    async def test(client: httpx.AsyncClient, world: World, faults: list[BaseException]) -> None:
        answer = await client.get(path)
        assert (answer.status_code, answer.json()["field"]) == (status, field)
        assert faults == []

    with_gateway(tmp_path, test)


def test_statistics_by_version(tmp_path: Path) -> None:
    async def test(client: httpx.AsyncClient, world: World, faults: list[BaseException]) -> None:
        world.versions[TWO] = Times(2.0)
        world.route(revision=2, fallback=(VersionFallback(TWO),))
        for _ in range(3):
            await client.post("/v2/models/e/infer", json=TWO_ROWS)
        await client.post("/v2/models/e/infer", json=WRONG)
        world.route(revision=3, fallback=(VersionFallback(TWO),), plug=Plug("me", NOW))
        await client.post("/v2/models/e/infer", json=BODY)
        first, second = (await client.get("/v2/models/e/stats")).json()["model_stats"]
        assert (first["name"], first["version"], second["version"]) == ("e", "1", "2")
        assert (first["inference_count"], first["execution_count"]) == (6, 3)
        assert (second["inference_count"], second["execution_count"]) == (1, 1)
        inside = first["inference_stats"]
        assert {name: part["count"] for name, part in inside.items()} == {
            "success": 3,
            "fail": 1,
            "queue": 3,
            "compute_input": 3,
            "compute_infer": 3,
            "compute_output": 3,
        }
        parts = sum(
            inside[name]["ns"] for name in ("queue", "compute_input", "compute_infer", "compute_output")
        )
        assert parts == inside["success"]["ns"] > 0
        only = (await client.get("/v2/models/e/versions/2/stats")).json()["model_stats"]
        assert only == [second]

    with_gateway(tmp_path, test)


def test_a_constant_that_answers_counts_for_the_champion_it_stands_in_for(tmp_path: Path) -> None:
    async def test(client: httpx.AsyncClient, world: World, faults: list[BaseException]) -> None:
        world.route(revision=2, fallback=(ConstantFallback({"value": 0.5}),))
        await client.post("/v2/models/e/infer", json=BODY)
        (entry,) = (await client.get("/v2/models/e/stats")).json()["model_stats"]
        assert (entry["version"], entry["execution_count"]) == ("1", 1)
        assert (await read(client))[("tsavo_fallback_answers_total",)] == 1

    with_gateway(tmp_path, test, Damaged("its file is gone"))


def test_all_endpoints_come_in_pages(tmp_path: Path) -> None:
    async def test(client: httpx.AsyncClient, world: World, faults: list[BaseException]) -> None:
        names = sorted(["e", *(f"endpoint-{number}" for number in range(249))])
        world.plane.apply([Route(name, 10 + at, ONE) for at, name in enumerate(names) if name != "e"])
        await client.post("/v2/models/e/infer", json=BODY)
        found: list[str] = []
        sizes = []
        query = ""
        while True:
            page = (await client.get(f"/v2/models/stats{query}")).json()
            sizes.append(len(page["model_stats"]))
            found += [entry["name"] for entry in page["model_stats"]]
            if "next" not in page:
                break
            query = f"?after={page['next']}"
        assert found == names
        assert sizes == [100, 100, 50]
        page = (await client.get("/v2/models/stats?limit=2&after=d")).json()
        assert [(entry["name"], entry["execution_count"]) for entry in page["model_stats"]] == [
            ("e", 1),
            ("endpoint-0", 0),
        ]

    with_gateway(tmp_path, test)


def test_every_metric_is_documented_and_no_other(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
    # The log's are the console's to tell.
    documented = {name for name in re.findall(r"tsavo_[a-z_]+", page) if not name.startswith("tsavo_ledger")}

    async def test(client: httpx.AsyncClient, world: World, faults: list[BaseException]) -> None:
        text = (await client.get("/metrics", headers=OPENMETRICS)).text
        families = list(parse_openmetrics(text))  # type: ignore[no-untyped-call]
        assert documented == {
            family.name + ("_total" if family.type == "counter" else "") for family in families
        }
        counters = [family.name for family in families if family.type == "counter"]
        assert [name for name in counters if name.endswith("_total")] == []

    with_gateway(tmp_path, test)
