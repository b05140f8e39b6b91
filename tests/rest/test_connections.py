"""Slow and greedy clients, over real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
import uvloop

from tests.endpoints.test_serving import ONE, Times, World
from tsavo.rest import Admission, ConnectionLimits, Gateway, patient_protocol

BODY = json.dumps({"inputs": [{"name": "m", "shape": [1, 2], "datatype": "FP64", "data": [1, 2]}]}).encode()
LIMITS = ConnectionLimits(connections=3, head_seconds=1.0, body_seconds=1.5, answer_seconds=1.0)

Test = Callable[[int, Gateway], Coroutine[Any, Any, None]]


def request(body: bytes = BODY, length: int | None = None) -> bytes:
    size = len(body) if length is None else length
    return b"POST /v2/models/e/infer HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%s" % (size, body)


@asynccontextmanager
async def serving(gateway: Gateway, limits: ConnectionLimits) -> AsyncIterator[int]:
    config = uvicorn.Config(
        gateway, http=patient_protocol(limits), ws="none", lifespan="off", log_config=None, port=0
    )
    server = uvicorn.Server(config)
    task = asyncio.ensure_future(server.serve())
    # uvicorn says that it has started by this flag alone.
    while not server.started:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        server.should_exit = True
        await task


def with_server(
    folder: Path, test: Test, limits: ConnectionLimits = LIMITS, admission: Admission | None = None
) -> None:
    async def run() -> None:
        world = World(folder, {ONE: Times(1.0)})
        world.route()
        gateway = Gateway(
            world.plane, version="1", max_body=20 << 20, report=lambda _: None, admission=admission
        )
        async with serving(gateway, limits) as port:
            await test(port, gateway)
        await world.records()

    # As the gateway does.
    uvloop.run(run())


async def until_closed(reader: asyncio.StreamReader) -> bytes:
    with contextlib.suppress(ConnectionResetError):
        return await asyncio.wait_for(reader.read(), 8)
    return b""


@pytest.mark.parametrize(
    "sent",
    [b"", b"POST /v2/models/e/infer HTTP/1.1\r\nhost: x\r\n", request(BODY, len(BODY) + 10)],
    ids=["nothing", "half of the headers", "half of the body"],
)
def test_who_sends_too_slowly_is_cut_off(tmp_path: Path, sent: bytes) -> None:
    async def test(port: int, gateway: Gateway) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        assert await until_closed(reader) == b""
        writer.close()
        await asyncio.sleep(0.05)
        assert (gateway.admission.requests, gateway.admission.bytes) == (0, 0)

    with_server(tmp_path, test)


def test_a_byte_now_and_then_does_not_help(tmp_path: Path) -> None:
    async def test(port: int, gateway: Gateway) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        closed = asyncio.ensure_future(until_closed(reader))
        for byte in request() * 10:
            if closed.done():
                break
            writer.write(bytes([byte]))
            await asyncio.sleep(0.1)
        assert await closed == b""
        writer.close()

    with_server(tmp_path, test)


def test_a_steady_client_is_left_alone(tmp_path: Path) -> None:
    async def test(port: int, gateway: Gateway) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        # Longer together than each of the limits, and quiet for longer than any between two requests.
        for pause in (0.4, 0.4, 2.2, 0.0):
            writer.write(request())
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
            assert head.startswith(b"HTTP/1.1 200")
            length = next(int(line.split(b":")[1]) for line in head.splitlines() if b"content-length" in line)
            await reader.readexactly(length)
            await asyncio.sleep(pause)
        writer.close()

    with_server(tmp_path, test)


def test_who_never_reads_the_answers_is_cut_off(tmp_path: Path) -> None:
    rows = 1000
    tensor = {"name": "m", "shape": [rows, 2], "datatype": "FP64", "data": [at / 7 for at in range(2 * rows)]}
    large = request(json.dumps({"inputs": [tensor]}).encode())

    async def test(port: int, gateway: Gateway) -> None:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", port))
        client.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=client, limit=1024)
        with contextlib.suppress(ConnectionError, TimeoutError):
            for _ in range(2000):
                writer.write(large)
                await asyncio.wait_for(writer.drain(), 8)
        received = await until_closed(reader)
        assert received.count(b"HTTP/1.1 200") < 2000
        writer.close()

    with_server(tmp_path, test)


def test_endless_headers_are_cut_off(tmp_path: Path) -> None:
    async def test(port: int, gateway: Gateway) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /v2 HTTP/1.1\r\n")
        with contextlib.suppress(ConnectionError):
            for at in range(4000):
                writer.write(b"x-%d: %s\r\n" % (at, b"y" * 100))
                await writer.drain()
        assert await until_closed(reader) == b""

    # Long before the headers' time is over.
    with_server(tmp_path, test, ConnectionLimits())


def test_one_connection_too_many_is_told_so(tmp_path: Path) -> None:
    async def test(port: int, gateway: Gateway) -> None:
        opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        await asyncio.sleep(0.1)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        answer = await until_closed(reader)
        assert answer.startswith(b"HTTP/1.1 503")
        assert b"retry-after: 1" in answer
        for _, other in (*opened, (reader, writer)):
            other.close()

    with_server(tmp_path, test)


def test_large_requests_at_once_are_told_to_come_again(tmp_path: Path) -> None:
    async def test(port: int, gateway: Gateway) -> None:
        # The first holds what it announced while it is on its way.
        waiting, first = await asyncio.open_connection("127.0.0.1", port)
        first.write(request(BODY, 10_000))
        await asyncio.sleep(0.2)
        assert gateway.admission.bytes == 10_000
        reader, second = await asyncio.open_connection("127.0.0.1", port)
        large = b"{" + b" " * 5_000
        second.write(request(large))
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
        assert head.startswith(b"HTTP/1.1 429")
        assert b"retry-after: 1" in head
        # And what is small finds its place.
        second.close()
        reader, third = await asyncio.open_connection("127.0.0.1", port)
        third.write(request())
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
        third.close()
        first.write(b" " * (10_000 - len(BODY)))
        assert (await asyncio.wait_for(waiting.readuntil(b"\r\n\r\n"), 30)).startswith(b"HTTP/1.1 200")
        first.close()
        await asyncio.sleep(0.05)
        assert (gateway.admission.requests, gateway.admission.bytes) == (0, 0)
        assert gateway.admission.turned_away == 1

    with_server(tmp_path, test, ConnectionLimits(), Admission(requests=10, body_bytes=12_000))


def test_too_many_requests_are_told_to_come_again_and_health_still_answers(tmp_path: Path) -> None:
    async def test(port: int, gateway: Gateway) -> None:
        waiting, first = await asyncio.open_connection("127.0.0.1", port)
        first.write(request(BODY, len(BODY) + 1))
        await asyncio.sleep(0.2)
        reader, second = await asyncio.open_connection("127.0.0.1", port)
        second.write(request())
        assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)).startswith(b"HTTP/1.1 429")
        second.close()
        reader, third = await asyncio.open_connection("127.0.0.1", port)
        third.write(b"GET /v2/health/live HTTP/1.1\r\nhost: x\r\n\r\n")
        assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)).startswith(b"HTTP/1.1 200")
        third.close()
        first.write(b" ")
        assert (await asyncio.wait_for(waiting.readuntil(b"\r\n\r\n"), 30)).startswith(b"HTTP/1.1 200")
        first.close()

    with_server(tmp_path, test, ConnectionLimits(), Admission(requests=1, body_bytes=1 << 20))
