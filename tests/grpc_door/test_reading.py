from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import numpy as np
import pytest
import tritonclient.grpc as triton

from tests.grpc_door.frames import Connection
from tests.grpc_door.served import Echo, Served, served, tensor
from tsavo.grpc.reading import PATIENCE
from tsavo.vocabulary import Field, Route, VersionRef

ONE = VersionRef("m", 1)
ROWS = [tensor("m", np.zeros((1, 2)))]


@contextmanager
def one_model(folder: Path, **limits: Any) -> Iterator[Served]:
    model = Echo(Field("x", "float64"), Field("y", "float64"))
    with served(folder, {ONE: model}, [Route("e", 1, ONE)], **limits) as door:
        yield door
        assert door.faults == []
        assert (door.admission.requests, door.admission.bytes) == (0, 0)


def wait_until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def body() -> bytes:
    message: bytes = triton._utils._get_inference_request(
        "e", ROWS, "", "", None, 0, False, False, 0, None, None
    ).SerializeToString()
    return message


def test_few_messages_may_be_slow_and_the_others_are_answered(tmp_path: Path) -> None:
    with (
        one_model(tmp_path, slow_messages=2, message_seconds=4 * PATIENCE) as door,
        triton.InferenceServerClient(door.address) as client,
        ExitStack() as opened,
    ):
        connections = [opened.enter_context(Connection(door.address)) for _ in range(3)]
        for connection in connections:
            for _ in range(3):
                connection.send(connection.call("ModelInfer"), b"abc", length=1_000_000)
        reading = door.door._reading
        assert client.infer("e", ROWS).as_numpy("same_x").tolist() == [0.0]
        wait_until(lambda: reading.slow == 2)
        # Whoever sends quickly is not slow, however many are.
        assert [client.infer("e", ROWS).as_numpy("same_x").tolist() for _ in range(20)] == [[0.0]] * 20
        assert reading.slow == 2
        wait_until(lambda: reading.slow == 0)
        assert client.infer("e", ROWS).as_numpy("same_x").tolist() == [0.0]


def test_half_sent_messages_take_the_places_of_calls_for_a_while_only(tmp_path: Path) -> None:
    with (
        one_model(tmp_path, max_calls=4, slow_messages=1, message_seconds=4 * PATIENCE) as door,
        triton.InferenceServerClient(door.address) as client,
        Connection(door.address) as connection,
    ):
        for _ in range(4):
            connection.send(connection.call("ModelInfer"), b"abc", length=1_000_000)

        def answered() -> bool:
            try:
                return bool(client.infer("e", ROWS).as_numpy("same_x").tolist() == [0.0])
            except triton.InferenceServerException as error:
                assert "RESOURCE_EXHAUSTED" in error.status()
                return False

        wait_until(answered)


def test_a_slow_message_that_is_complete_in_time_is_answered(tmp_path: Path) -> None:
    message = body()

    def pieces(connection: Connection) -> None:
        stream = connection.call("ModelInfer")
        connection.send(stream, message[:10], length=len(message))
        wait_until(lambda: door.door._reading.slow == 1)
        connection.rest(stream, message[10:])

    with one_model(tmp_path, slow_messages=1, message_seconds=60) as door:
        with Connection(door.address) as connection:
            pieces(connection)
            wait_until(lambda: len(door.records()) == 1)
        assert door.door._reading.slow == 0


def test_who_goes_away_in_the_middle_of_a_message_frees_its_place(tmp_path: Path) -> None:
    with one_model(tmp_path, slow_messages=2, message_seconds=60) as door:
        reading = door.door._reading
        with Connection(door.address) as connection:
            streams = [connection.call("ModelInfer") for _ in range(2)]
            for stream in streams:
                connection.send(stream, b"abc", length=1000)
            wait_until(lambda: reading.slow == 2)
            connection.cancel(streams[0])
            wait_until(lambda: reading.slow == 1)
        wait_until(lambda: reading.slow == 0)


def test_a_call_without_a_message_is_told_so(tmp_path: Path) -> None:
    with one_model(tmp_path) as door, grpc.insecure_channel(door.address) as channel:
        call = channel.stream_unary("/inference.GRPCInferenceService/ModelInfer")
        with pytest.raises(grpc.RpcError) as refused:
            call(iter(()), timeout=20)
        assert refused.value.code().name == "INVALID_ARGUMENT"
        assert "there is no message" in refused.value.details()


def test_huge_metadata_are_refused(tmp_path: Path) -> None:
    with one_model(tmp_path) as door, grpc.insecure_channel(door.address) as channel:
        call = channel.unary_unary("/inference.GRPCInferenceService/ServerLive")
        for size in (100_000, 10_000_000):
            with pytest.raises(grpc.RpcError) as refused:
                call(b"", metadata=(("x-large", "x" * size),), timeout=20)
            assert refused.value.code().name == "RESOURCE_EXHAUSTED"
        assert call(b"", metadata=(("x-small", "x" * 1000),), timeout=20)


def test_very_many_idle_connections_hold_up_nobody(tmp_path: Path) -> None:
    with (
        one_model(tmp_path) as door,
        triton.InferenceServerClient(door.address) as client,
        ExitStack() as opened,
    ):
        for _ in range(300):
            opened.enter_context(Connection(door.address))
        assert client.infer("e", ROWS).as_numpy("same_x").tolist() == [0.0]
