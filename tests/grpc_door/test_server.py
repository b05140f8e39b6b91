from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import numpy as np
import pytest
import tritonclient.grpc as triton

from tests.grpc_door.served import Echo, Served, served, tensor
from tsavo.grpc import Door
from tsavo.rest import Admission
from tsavo.vocabulary import Field, Route, Unavailable, VersionRef

ONE = VersionRef("m", 1)
ROWS = [tensor("m", np.zeros((1, 2)))]


class Gate:
    """Holds the model up until it is opened."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.opened = threading.Event()

    def __call__(self) -> None:
        self.entered.release()
        self.opened.wait(20)


@contextmanager
def one_model(folder: Path, behave: Any = lambda: None, **limits: int) -> Iterator[Served]:
    model = Echo(Field("x", "float64"), Field("y", "float64"), behave=behave)
    with served(folder, {ONE: model}, [Route("e", 1, ONE)], **limits) as door:
        yield door


def failure(door: Served, method: str, body: bytes, **options: Any) -> Any:
    with pytest.raises(grpc.RpcError) as caught:
        door.call(method, body, **options)
    return caught.value


def test_what_is_no_message_or_no_method(tmp_path: Path) -> None:
    with one_model(tmp_path) as door:
        error = failure(door, "ModelInfer", b"\xff\xff\xff")
        assert error.code().name == "INVALID_ARGUMENT"
        assert "ModelInferRequest" in error.details()
        assert failure(door, "ModelGuess", b"").code().name == "UNIMPLEMENTED"
        assert door.faults == []


def test_a_fault_of_ours_is_reported_to_us_and_told_in_words(tmp_path: Path) -> None:
    with one_model(tmp_path) as door, triton.InferenceServerClient(door.address) as client:

        async def fails(*_: Any, **__: Any) -> None:
            raise LookupError("a secret of the inside")

        door._gateway._plane.infer = fails  # type: ignore[method-assign, assignment]
        with pytest.raises(triton.InferenceServerException) as caught:
            client.infer("e", ROWS)
        assert "INTERNAL" in caught.value.status()
        assert "secret" not in str(caught.value)
        assert "tsavo doctor" in str(caught.value)
        assert [type(fault) for fault in door.faults] == [LookupError]


@pytest.mark.parametrize("algorithm", [None, grpc.Compression.Gzip], ids=["plain", "gzip"])
def test_a_message_that_is_too_large_is_refused_however_small_it_travels(
    tmp_path: Path, algorithm: Any
) -> None:
    with one_model(tmp_path, max_message=1 << 20) as door:
        for size in ((1 << 20) + 1, 64 << 20):
            error = failure(door, "ModelInfer", b"\0" * size, compression=algorithm)
            assert error.code().name == "RESOURCE_EXHAUSTED"
        assert door.admission.bytes == 0


def test_compressed_messages_are_read(tmp_path: Path) -> None:
    with one_model(tmp_path) as door, triton.InferenceServerClient(door.address) as client:
        for algorithm in ("gzip", "deflate"):
            answer = client.infer("e", ROWS, compression_algorithm=algorithm)
            assert answer.as_numpy("same_x").tolist() == [0.0]


def test_too_many_calls_are_refused_and_the_others_answered(tmp_path: Path) -> None:
    gate = Gate()
    with (
        one_model(tmp_path, gate, max_calls=2) as door,
        triton.InferenceServerClient(door.address) as client,
        ThreadPoolExecutor(2) as pool,
    ):
        inside = [pool.submit(client.infer, "e", ROWS) for _ in range(2)]
        for _ in inside:
            assert gate.entered.acquire(timeout=20)
        with pytest.raises(triton.InferenceServerException, match="RESOURCE_EXHAUSTED"):
            client.infer("e", ROWS)
        gate.opened.set()
        assert [call.result(20).as_numpy("same_y").tolist() for call in inside] == [[0.0]] * 2
        assert client.infer("e", ROWS).as_numpy("same_x").tolist() == [0.0]
        assert door.admission.requests == 0


def test_bytes_that_others_hold_are_told_with_a_pause(tmp_path: Path) -> None:
    gate = Gate()
    with (
        one_model(tmp_path, gate, held_bytes=100_000) as door,
        triton.InferenceServerClient(door.address) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        large = [tensor("m", np.zeros((4000, 2)))]
        inside = pool.submit(client.infer, "e", large)
        assert gate.entered.acquire(timeout=20)
        body = triton._utils._get_inference_request("e", large, "", "", None, 0, False, False, 0, None, None)
        error = failure(door, "ModelInfer", body.SerializeToString())
        assert error.code().name == "RESOURCE_EXHAUSTED"
        assert "Try again after 1 s" in error.details()
        assert dict(error.trailing_metadata())["grpc-retry-pushback-ms"] == "1000"
        gate.opened.set()
        assert inside.result(20).as_numpy("same_x").shape == (4000,)
        assert client.infer("e", large).as_numpy("same_x").shape == (4000,)


def test_who_gives_up_leaves_nothing_behind(tmp_path: Path) -> None:
    gate = Gate()
    with one_model(tmp_path, gate) as door, triton.InferenceServerClient(door.address) as client:
        with pytest.raises(triton.InferenceServerException, match="DEADLINE_EXCEEDED"):
            client.infer("e", ROWS, client_timeout=0.2)
        gate.opened.set()
        assert client.infer("e", ROWS).as_numpy("same_x").tolist() == [0.0]
        assert door.admission.requests == 0
        assert door.faults == []


def test_what_was_begun_is_finished_when_the_door_closes(tmp_path: Path) -> None:
    gate = Gate()
    with ThreadPoolExecutor(1) as pool:
        with one_model(tmp_path, gate) as door:
            client = triton.InferenceServerClient(door.address)
            inside = pool.submit(client.infer, "e", ROWS)
            assert gate.entered.acquire(timeout=20)
            threading.Timer(0.3, gate.opened.set).start()
        assert inside.result(20).as_numpy("same_x").tolist() == [0.0]
        client.close()
        assert len(door.records()) == 1


def test_a_port_that_cannot_be_had_is_named(tmp_path: Path) -> None:
    with one_model(tmp_path) as door, socket.create_server(("127.0.0.1", 0)) as taken:
        other = Door(
            door._gateway._plane,
            version="1",
            max_message=1,
            max_calls=1,
            admission=Admission(requests=1, body_bytes=1),
            report=door.faults.append,
        )
        with pytest.raises(Unavailable, match="--grpc-port"):
            door.do(other.open(f"127.0.0.1:{taken.getsockname()[1]}"))
