from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.endpoints.test_serving import ONE, Times, World
from tsavo.rest import Gateway
from tsavo.rest.bodies import Disconnected, read_body
from tsavo.vocabulary import Damaged, TooLarge, Unreadable

BODY = {"inputs": [{"name": "m", "shape": [1, 2], "datatype": "FP64", "data": [1, 2]}]}
LIMIT = 10_000

Test = Callable[[httpx.AsyncClient, World, list[BaseException]], Coroutine[Any, Any, None]]


def with_gateway(folder: Path, test: Test, model: Any = None) -> None:
    async def run() -> None:
        world = World(folder, {ONE: model or Times(1.0)})
        world.route()
        faults: list[BaseException] = []
        gateway = Gateway(world.plane, version="1.2.3", max_body=LIMIT, report=faults.append)
        gateway.ready = True
        transport = httpx.ASGITransport(gateway, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
            await test(client, world, faults)
        await world.records()

    asyncio.run(run())


def test_it_scores(tmp_path: Path) -> None:
    async def test(client: httpx.AsyncClient, world: World, faults: list[BaseException]) -> None:
        answer = (await client.post("/v2/models/e/infer", json=BODY | {"id": "7"})).json()
        assert answer["outputs"] == [{"name": "value", "datatype": "FP64", "shape": [1], "data": [3.0]}]
        assert answer["id"] == "7"
        assert answer["parameters"]["version"] == "m@1"

    with_gateway(tmp_path, test)


def test_health_and_metadata(tmp_path: Path) -> None:
    async def test(client: httpx.AsyncClient, world: World, faults: list[BaseException]) -> None:
        server = (await client.get("/v2")).json()
        assert (server["name"], server["version"]) == ("tsavo", "1.2.3")
        assert "binary_tensor_data" in server["extensions"]
        assert (await client.get("/v2/health/live")).json() == {"live": True}
        assert (await client.get("/v2/health/ready")).json() == {"ready": True}
        assert (await client.get("/v2/models/e/ready")).json() == {"name": "e", "ready": True}
        told = (await client.get("/v2/models/e")).json()
        assert [tensor["datatype"] for tensor in told["inputs"]] == ["FP64", "FP64"]
        assert told["parameters"]["version"] == "m@1"

    with_gateway(tmp_path, test)


def test_a_champion_that_cannot_be_loaded_is_not_ready(tmp_path: Path) -> None:
    async def test(client: httpx.AsyncClient, world: World, faults: list[BaseException]) -> None:
        answer = await client.get("/v2/models/e/ready")
        assert answer.status_code == 503
        assert answer.json()["reason"] == "its file is gone"

    with_gateway(tmp_path, test, Damaged("its file is gone"))


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/v2/models/e/nothing", 404),
        ("GET", "/v2/models/nobody", 404),
        ("POST", "/v2/models/nobody/infer", 404),
        ("POST", "/v2/models//infer", 404),
        ("GET", "/v2/models/e/infer", 405),
        ("DELETE", "/v2/models/e", 405),
        ("POST", "/v2/health/live", 405),
    ],
)
def test_wrong_addresses_and_methods(tmp_path: Path, method: str, path: str, status: int) -> None:
    async def test(client: httpx.AsyncClient, world: World, faults: list[BaseException]) -> None:
        answer = await client.request(method, path, json=BODY)
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["status"] == status
        assert answer.json()["error"]
        assert faults == []

    with_gateway(tmp_path, test)


def test_too_large_a_body_is_refused_announced_or_not(tmp_path: Path) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 1000

    async def test(client: httpx.AsyncClient, world: World, faults: list[BaseException]) -> None:
        for content in (b"x" * (LIMIT + 1), pieces()):
            answer = await client.post("/v2/models/e/infer", content=content)
            assert answer.status_code == 413
            assert answer.json()["kind"] == "too-large"

    with_gateway(tmp_path, test)


def test_a_fault_of_ours_is_reported_to_us_and_told_in_words(tmp_path: Path) -> None:
    async def test(client: httpx.AsyncClient, world: World, faults: list[BaseException]) -> None:
        async def fails(*_: Any, **__: Any) -> None:
            raise LookupError("a secret of the inside")

        world.plane.infer = fails  # type: ignore[method-assign, assignment]
        answer = await client.post("/v2/models/e/infer", json=BODY)
        assert answer.status_code == 500
        assert "secret" not in answer.text
        assert [type(fault) for fault in faults] == [LookupError]

    with_gateway(tmp_path, test)


def receiving(*messages: dict[str, Any]) -> Callable[[], Coroutine[Any, Any, Any]]:
    waiting = list(messages)

    async def receive() -> dict[str, Any]:
        return waiting.pop(0)

    return receive


def test_a_body_in_parts_is_put_together() -> None:
    part = {"type": "http.request", "more_body": True}
    receive = receiving(
        {**part, "body": b"ab"}, {**part, "body": b""}, {"type": "http.request", "body": b"c"}
    )
    assert asyncio.run(read_body({"headers": []}, receive, 3)) == b"abc"


def test_a_client_that_goes_away_is_noticed() -> None:
    gone = {"type": "http.disconnect"}
    for messages in ([gone], [{"type": "http.request", "body": b"a", "more_body": True}, gone]):
        with pytest.raises(Disconnected):
            asyncio.run(read_body({"headers": []}, receiving(*messages), 10))


@pytest.mark.parametrize("length", [b"-1", b"x", b"9" * 30])
def test_a_length_that_is_none(length: bytes) -> None:
    with pytest.raises(Unreadable):
        asyncio.run(read_body({"headers": [(b"content-length", length)]}, receiving(), 10))


def test_a_body_without_an_announced_length_cannot_be_larger_either() -> None:
    with pytest.raises(TooLarge):
        asyncio.run(read_body({"headers": []}, receiving({"type": "http.request", "body": b"x" * 11}), 10))
