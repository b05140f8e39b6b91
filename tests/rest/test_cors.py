"""Which web pages may use the door: the rules of the Fetch standard, and requests of others refused."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.endpoints.test_serving import ONE, Times, World
from tsavo.rest import Cors, Gateway

BODY = {"inputs": [{"name": "m", "shape": [1, 2], "datatype": "FP64", "data": [1, 2]}]}
PATH = "/v2/models/e/infer"
FRIEND, STRANGER = "https://app.example.com", "https://evil.example.com"

Test = Callable[[httpx.AsyncClient, World], Coroutine[Any, Any, None]]


def with_gateway(folder: Path, origins: Sequence[str], test: Test) -> int:
    """Run the test; how many decisions the journal has then."""

    async def run() -> int:
        world = World(folder, {ONE: Times(1.0)})
        world.route()
        faults: list[BaseException] = []
        gateway = Gateway(world.plane, version="1", max_body=10_000, report=faults.append, cors=Cors(origins))
        transport = httpx.ASGITransport(gateway)
        async with httpx.AsyncClient(transport=transport, base_url="http://gateway:8080") as client:
            await test(client, world)
        assert faults == []
        assert gateway.admission.requests == 0
        return len(await world.records())

    return asyncio.run(run())


def preflight(origin: str, **more: str) -> dict[str, str]:
    asked = {"origin": origin, "access-control-request-method": "POST"}
    return asked | {name.replace("_", "-"): value for name, value in more.items()}


def told(answer: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.startswith("access-control-")}


def test_a_page_that_may_is_told_so_with_every_reply(tmp_path: Path) -> None:
    async def test(client: httpx.AsyncClient, world: World) -> None:
        asked = preflight(FRIEND, access_control_request_headers="content-type,idempotency-key")
        first = await client.options(PATH, headers=asked)
        assert (first.status_code, first.content) == (200, b"")
        assert first.headers["access-control-allow-origin"] == FRIEND
        assert "POST" in first.headers["access-control-allow-methods"]
        assert first.headers["access-control-allow-headers"] == "content-type,idempotency-key"
        assert first.headers["vary"] == "origin"
        # No page is sent the browser's cookies or certificates along.
        assert "access-control-allow-credentials" not in first.headers
        for answer in (
            await client.post(PATH, json=BODY, headers={"origin": FRIEND}),
            await client.post(PATH, json={}, headers={"origin": FRIEND}),
            await client.get("/nothing", headers={"origin": FRIEND}),
            await client.get("/v2", headers={"origin": FRIEND}),
        ):
            assert answer.headers["access-control-allow-origin"] == FRIEND
            assert "idempotency-replayed" in answer.headers["access-control-expose-headers"]
            assert answer.headers["vary"] == "origin"

    assert with_gateway(tmp_path, [FRIEND, "http://localhost:3000"], test) == 1


@pytest.mark.parametrize("origins", [[], [FRIEND]])
@pytest.mark.parametrize(
    "origin",
    [STRANGER, "null", "https://app.example.com.evil.org", "http://app.example.com", FRIEND + ":444"],
)
def test_a_page_that_may_not_is_refused_and_nothing_is_decided(
    tmp_path: Path, origins: list[str], origin: str
) -> None:
    async def test(client: httpx.AsyncClient, world: World) -> None:
        asked = await client.options(PATH, headers=preflight(origin))
        assert asked.status_code == 405
        # What a browser sends without asking first.
        plain = {"origin": origin, "content-type": "text/plain"}
        refused = await client.post(PATH, json=BODY, headers=plain)
        assert refused.status_code == 403
        assert refused.json()["field"] == "Origin"
        assert "gateway.cors_origins" in refused.json()["expected"]
        looked = await client.get("/v2", headers={"origin": origin})
        assert looked.status_code == 200
        assert told(asked) == told(refused) == told(looked) == {}

    assert with_gateway(tmp_path, origins, test) == 0


def test_off_by_default_and_callers_that_are_no_pages_see_nothing_of_it(tmp_path: Path) -> None:
    async def test(client: httpx.AsyncClient, world: World) -> None:
        answer = await client.post(PATH, json=BODY)
        assert answer.status_code == 200
        assert told(answer) == {}
        assert "vary" not in answer.headers

    assert with_gateway(tmp_path, [], test) == 1


def test_a_page_of_the_gateway_s_own_address_may(tmp_path: Path) -> None:
    async def test(client: httpx.AsyncClient, world: World) -> None:
        own = {"origin": "http://gateway:8080"}
        assert (await client.post(PATH, json=BODY, headers=own)).status_code == 200
        other = {"origin": "http://gateway:8090"}
        assert (await client.post(PATH, json=BODY, headers=other)).status_code == 403

    assert with_gateway(tmp_path, [], test) == 1


def test_a_star_lets_all_pages(tmp_path: Path) -> None:
    async def test(client: httpx.AsyncClient, world: World) -> None:
        for origin in (STRANGER, "null"):
            assert (await client.options(PATH, headers=preflight(origin))).status_code == 200
            answer = await client.post(PATH, json=BODY, headers={"origin": origin})
            assert answer.status_code == 200
            assert answer.headers["access-control-allow-origin"] == "*"

    assert with_gateway(tmp_path, ["*"], test) == 2


def test_a_preflight_does_not_repeat_what_is_no_list_of_names(tmp_path: Path) -> None:
    async def test(client: httpx.AsyncClient, world: World) -> None:
        for asked in ("x" * 3000, "a<b>", 'a"'):
            answer = await client.options(
                PATH, headers=preflight(FRIEND, access_control_request_headers=asked)
            )
            assert answer.status_code == 200
            assert "access-control-allow-headers" not in answer.headers

    with_gateway(tmp_path, [FRIEND], test)
