"""HTTP/1.1 over real sockets: what RFC 9112 says, and what clients do all the same."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.endpoints.test_serving import ONE, Times, World
from tests.rest.test_connections import BODY, request, serving, until_closed, with_server
from tsavo.rest import ConnectionLimits, Gateway

LIMITS = ConnectionLimits()
LIVE = b"GET /v2/health/live HTTP/1.1\r\nhost: x\r\n\r\n"


class Reply(NamedTuple):
    status: int
    headers: dict[bytes, bytes]
    body: bytes

    @property
    def value(self) -> float:
        """What the model answered."""
        return float(json.loads(self.body)["outputs"][0]["data"][0])


async def read_reply(reader: asyncio.StreamReader, *, head: bool = False) -> Reply:
    start, *lines = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30))[:-4].split(b"\r\n")
    # What belongs to the reply before would stand in front.
    assert start.startswith(b"HTTP/1.1 "), start
    headers = dict(line.split(b": ", 1) for line in lines)
    length = 0 if head else int(headers.get(b"content-length", b"0"))
    return Reply(int(start.split(b" ")[1]), headers, await asyncio.wait_for(reader.readexactly(length), 30))


def infer(x: float) -> bytes:
    return request(BODY.replace(b"[1, 2]}", b"[%d, 0]}" % x))


def test_requests_in_one_piece_are_answered_in_their_order(tmp_path: Path) -> None:
    async def test(port: int, _gateway: Gateway) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        # More than may wait at the same time.
        writer.write(b"".join(map(infer, range(200))))
        assert [(await read_reply(reader)).value for _ in range(200)] == list(range(200))
        writer.close()

    with_server(tmp_path, test, LIMITS)


def test_pieces_of_any_size_make_the_same_requests(tmp_path: Path) -> None:
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (BODY[:7], BODY[7:60], BODY[60:]))
    sent = (
        infer(5)
        + b"POST /v2/models/e/infer HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
        + chunks
        + b"0\r\ntrailer: left alone\r\n\r\n"
        + LIVE
        + infer(6)
    )

    async def test(port: int, _gateway: Gateway) -> None:
        @settings(max_examples=25, deadline=None)
        @given(cuts=st.lists(st.integers(1, len(sent) - 1), max_size=12, unique=True))
        def cut_at(cuts: list[int]) -> None:
            # hypothesis calls functions, so each of its turns has a loop in a thread of its own.
            asyncio.run(talk(sorted(cuts)))

        async def talk(cuts: list[int]) -> None:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True):
                writer.write(sent[start:end])
                await writer.drain()
                await asyncio.sleep(0.001)
            values = [(await read_reply(reader)).value, (await read_reply(reader)).value]
            assert (await read_reply(reader)).body == b'{"live":true}'
            assert [*values, (await read_reply(reader)).value] == [5, 3, 6]
            writer.close()
            await writer.wait_closed()

        await asyncio.to_thread(cut_at)

    with_server(tmp_path, test, LIMITS)


@pytest.mark.parametrize(
    ("sent", "connection"),
    [
        (b"GET /v2/health/live HTTP/1.0\r\n\r\n", b"close"),
        (b"GET /v2/health/live HTTP/1.0\r\nconnection: keep-alive\r\n\r\n", b"keep-alive"),
        (b"GET /v2/health/live HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", b"close"),
        (LIVE, None),
    ],
    ids=["1.0", "1.0 that stays", "1.1 that goes", "1.1"],
)
def test_who_stays_and_who_goes(tmp_path: Path, sent: bytes, connection: bytes | None) -> None:
    async def test(port: int, _gateway: Gateway) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        reply = await read_reply(reader)
        assert (reply.status, reply.headers.get(b"connection")) == (200, connection)
        assert b"date" in reply.headers
        if connection == b"close":
            assert await until_closed(reader) == b""
        else:
            writer.write(LIVE)
            assert (await read_reply(reader)).status == 200
        writer.close()

    with_server(tmp_path, test, LIMITS)


@pytest.mark.parametrize(
    "sent",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /v2 HTTP/1.1\r\nhost : x\r\n\r\n",
        b"POST /v2/models/e/infer HTTP/1.1\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /v2/models/e/infer HTTP/1.1\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nabcdef",
        b"POST /v2/models/e/infer HTTP/1.1\r\ncontent-length: -5\r\n\r\n",
    ],
    ids=["TLS", "HTTP/2", "space in a header", "two lengths", "two content-lengths", "negative"],
)
def test_what_is_no_http_is_refused_and_the_connection_closed(tmp_path: Path, sent: bytes) -> None:
    async def test(port: int, gateway: Gateway) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent + LIVE)
        reply = await read_reply(reader)
        assert (reply.status, reply.headers[b"connection"]) == (400, b"close")
        assert json.loads(reply.body)["field"] == "request"
        assert await until_closed(reader) == b""
        writer.close()
        assert gateway.admission.requests == 0

    with_server(tmp_path, test, LIMITS)


def test_what_comes_before_nonsense_is_answered(tmp_path: Path) -> None:
    async def test(port: int, _gateway: Gateway) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(infer(7) + b"nonsense\r\n\r\n")
        assert (await read_reply(reader)).value == 7
        assert await until_closed(reader) == b""
        writer.close()

    with_server(tmp_path, test, LIMITS)


def test_who_sends_no_more_still_gets_the_answers(tmp_path: Path) -> None:
    async def test(port: int, _gateway: Gateway) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(infer(1) + infer(2))
        writer.write_eof()
        assert [(await read_reply(reader)).value for _ in range(2)] == [1, 2]
        assert await until_closed(reader) == b""
        writer.close()

    with_server(tmp_path, test, LIMITS)


def test_a_client_that_waits_is_told_to_go_on(tmp_path: Path) -> None:
    async def test(port: int, _gateway: Gateway) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request(b"", len(BODY)).replace(b"\r\n\r\n", b"\r\nexpect: 100-continue\r\n\r\n"))
        assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30) == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(BODY)
        assert (await read_reply(reader)).value == 3
        # Who is refused need not send it.
        writer.write(request(b"", 100 << 20).replace(b"\r\n\r\n", b"\r\nexpect: 100-continue\r\n\r\n"))
        writer.close()

    with_server(tmp_path, test, LIMITS)


def test_a_head_request_gets_no_body(tmp_path: Path) -> None:
    async def test(port: int, _gateway: Gateway) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(LIVE.replace(b"GET", b"HEAD") + LIVE)
        assert (await read_reply(reader, head=True)).headers[b"content-length"] == b"13"
        assert (await read_reply(reader)).body == b'{"live":true}'
        writer.close()

    with_server(tmp_path, test, LIMITS)


def test_addresses_as_clients_write_them(tmp_path: Path) -> None:
    async def test(port: int, _gateway: Gateway) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for target, status in (
            (b"/v2/models/%65/ready", 200),
            (b"http://127.0.0.1/v2/health/live", 200),
            (b"/v2/health/live?x=%00", 200),
            (b"/v2/models/%ff%00/ready", 404),
            (b"/v2/../etc/passwd", 404),
            (b"*", 404),
        ):
            writer.write(b"GET %b HTTP/1.1\r\nhost: x\r\n\r\n" % target)
            assert (await read_reply(reader)).status == status, target
        writer.close()

    with_server(tmp_path, test, LIMITS)


def test_a_wish_for_another_protocol_is_passed_over(tmp_path: Path) -> None:
    # Java's client asks for HTTP/2 this way with its first request.
    wish = b"\r\nconnection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAEAAEAAAAI\r\n\r\n"

    async def test(port: int, _gateway: Gateway) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(infer(4).replace(b"\r\n\r\n", wish, 1) + infer(5))
        assert [(await read_reply(reader)).value for _ in range(2)] == [4, 5]
        for piece in (
            infer(6).replace(b"\r\n\r\n", wish, 1)[:200],
            infer(6).replace(b"\r\n\r\n", wish, 1)[200:],
        ):
            writer.write(piece)
            await asyncio.sleep(0.05)
        assert (await read_reply(reader)).value == 6
        # Once more is a client, a thousand times is none.
        writer.write(LIVE.replace(b"\r\n\r\n", wish, 1) * 1000)
        assert (await until_closed(reader)).count(b"HTTP/1.1 200") < 100
        writer.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(LIVE)
        assert (await read_reply(reader)).status == 200
        writer.close()

    with_server(tmp_path, test, LIMITS)


def test_a_refused_body_is_thrown_away_and_the_connection_goes_on(tmp_path: Path) -> None:
    async def test(port: int, gateway: Gateway) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request(b"x" * (21 << 20)) + infer(9))
        assert (await read_reply(reader)).status == 413
        assert (await read_reply(reader)).value == 9
        writer.close()
        await asyncio.sleep(0.05)
        assert (gateway.admission.requests, gateway.admission.bytes) == (0, 0)

    with_server(tmp_path, test, LIMITS)


def test_a_body_that_nobody_reads_is_thrown_away_too(tmp_path: Path) -> None:
    async def test(port: int, _gateway: Gateway) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(request(b"x" * (3 << 20)).replace(b"/v2/models/e/infer", b"/nowhere") + infer(9))
        assert (await read_reply(reader)).status == 404
        assert (await read_reply(reader)).value == 9
        writer.close()

    with_server(tmp_path, test, LIMITS)


def test_a_large_body_in_many_pieces(tmp_path: Path) -> None:
    rows = 900
    tensor = {"name": "m", "shape": [rows, 2], "datatype": "FP64", "data": [at / 7 for at in range(2 * rows)]}
    body = json.dumps({"inputs": [tensor]}).encode() + b" " * (4 << 20)

    async def test(port: int, _gateway: Gateway) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
        for _ in range(2):
            writer.write(request(body))
            await writer.drain()
            answer = json.loads((await read_reply(reader)).body)["outputs"][0]["data"]
            assert answer == [at / 7 + (at + 1) / 7 for at in range(0, 2 * rows, 2)]
        writer.close()

    with_server(tmp_path, test, LIMITS)


def test_clients_that_vanish_leave_nothing_behind(tmp_path: Path) -> None:
    whole = infer(3)

    async def test(port: int, gateway: Gateway) -> None:
        for size in range(1, len(whole) + 1, 7):
            client = socket.create_connection(("127.0.0.1", port))
            client.sendall(whole[:size])
            # A reset, not an orderly end.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()
        await asyncio.sleep(0.3)
        assert (gateway.admission.requests, gateway.admission.bytes) == (0, 0)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(LIVE)
        assert (await read_reply(reader)).status == 200
        writer.close()

    with_server(tmp_path, test, LIMITS)


def test_any_bytes_at_all_leave_it_standing(tmp_path: Path) -> None:
    async def test(port: int, gateway: Gateway) -> None:
        @settings(max_examples=60, deadline=None)
        @given(
            st.lists(
                st.one_of(
                    st.binary(max_size=80),
                    st.sampled_from([infer(1), LIVE, infer(2)[:50], b"\r\n", b"POST ", b"HTTP/1.1\r\n"]),
                ),
                max_size=6,
            )
        )
        def send(parts: list[bytes]) -> None:
            with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
                client.sendall(b"".join(parts))
                client.shutdown(socket.SHUT_WR)
                while True:
                    try:
                        if not client.recv(65536):
                            break
                    except ConnectionResetError:
                        break

        await asyncio.to_thread(send)
        await asyncio.sleep(0.05)
        assert (gateway.admission.requests, gateway.admission.bytes) == (0, 0)

    with_server(tmp_path, test, LIMITS)


def test_a_server_that_stops_finishes_what_was_begun(tmp_path: Path) -> None:
    async def run() -> None:
        hold = asyncio.Event()
        world = World(tmp_path, {ONE: Times(1.0)})
        world.route()
        gateway = Gateway(world.plane, version="1", max_body=1 << 20, report=lambda _: None)
        respond = gateway.respond

        async def slowly(*args: Any) -> Any:
            await hold.wait()
            return await respond(*args)

        gateway.respond = slowly  # type: ignore[method-assign,assignment]
        async with serving(gateway, LIMITS) as port:
            quiet, idle = await asyncio.open_connection("127.0.0.1", port)
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(infer(8))
            await asyncio.sleep(0.1)
            asyncio.get_running_loop().call_later(0.5, hold.set)
            ended = asyncio.ensure_future(until_closed(quiet))
        assert await ended == b""
        reply = await read_reply(reader)
        assert (reply.value, reply.headers[b"connection"]) == (8, b"close")
        assert await until_closed(reader) == b""
        for one in (idle, writer):
            one.close()
        await world.records()

    asyncio.run(run())
