"""What comes beside a message: keys that make a call safe to send again, traces, and who calls."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import grpc  # type: ignore[import-untyped]
import numpy as np
import pytest
from tritonclient.grpc import service_pb2

from tests.grpc_door.conftest import MATRIX, OTHER
from tests.grpc_door.served import Echo, Served, served
from tsavo.grpc.metadata import read_metadata
from tsavo.vocabulary import Route, VersionRef

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{PARENT}-01"
KEY = ("idempotency-key", "k")


def until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def request(number: float = 1.0, parameters: dict[str, str] | None = None) -> Any:
    asked = service_pb2.ModelInferRequest(model_name="matrix")
    asked.inputs.add(name="m", datatype="FP64", shape=[1, 20])
    asked.raw_input_contents.append(np.full((1, 20), number).tobytes())
    for name, value in (parameters or {}).items():
        asked.parameters[name].string_param = value
    return asked


class Caller:
    """Sends messages with metadata and reads what comes with the answer."""

    def __init__(self, channel: Any) -> None:
        self._infer = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")

    def infer(self, asked: Any, *metadata: tuple[str, str]) -> tuple[bytes, dict[str, str]]:
        answer, call = self._infer.with_call(asked.SerializeToString(), metadata=metadata, timeout=30)
        return answer, dict(call.trailing_metadata())

    def refusal(self, asked: Any, *metadata: tuple[str, str]) -> Any:
        with pytest.raises(grpc.RpcError) as refused:
            self.infer(asked, *metadata)
        return refused.value


@pytest.fixture
def caller(tmp_path: Path) -> Iterator[tuple[Caller, Served]]:
    with (
        served(tmp_path, {OTHER: MATRIX}, [Route("matrix", 1, OTHER)]) as door,
        grpc.insecure_channel(door.address) as channel,
    ):
        yield Caller(channel), door
        assert door.faults == []
        assert (door.admission.requests, door.admission.bytes) == (0, 0)


def test_the_same_call_again_gets_the_same_bytes_and_no_second_decision(
    caller: tuple[Caller, Served],
) -> None:
    calls, door = caller
    names = {f"p{number}": str(number) for number in range(20)}
    first, told = calls.infer(request(1.0, names), KEY)
    # The same entries in another order are the same message.
    again, told_again = calls.infer(request(1.0, dict(reversed(names.items()))), KEY)
    assert again == first
    assert "idempotency-replayed" not in told
    assert told_again["idempotency-replayed"] == "true"
    assert calls.infer(request(1.0, names), ("idempotency-key", "other"))[0] != first
    assert calls.infer(request(1.0, names))[0] != first
    assert len(door.records()) == 3
    assert service_pb2.ModelInferResponse.FromString(again).model_name == "matrix"


def test_the_key_of_another_call_or_no_key_at_all_is_an_invalid_argument(
    caller: tuple[Caller, Served],
) -> None:
    calls, door = caller
    calls.infer(request(), KEY)
    for asked, key in ((request(2.0), "k"), (request(), "a b"), (request(), "x" * 256)):
        refused = calls.refusal(asked, ("idempotency-key", key))
        assert refused.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert "Idempotency-Key" in refused.details()
    assert len(door.records()) == 1


def test_a_caller_that_hangs_up_and_calls_again_gets_the_one_answer(tmp_path: Path) -> None:
    go, begun = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        go.wait(20)

    slow, ref = Echo(*MATRIX.signature.inputs, behave=wait), VersionRef("slow", 1)
    with (
        served(tmp_path, {ref: slow}, [Route("matrix", 1, ref)]) as door,
        grpc.insecure_channel(door.address) as channel,
        ThreadPoolExecutor(1) as threads,
    ):
        calls = Caller(channel)
        first = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer").future(
            request().SerializeToString(), metadata=(KEY,), timeout=30
        )
        assert begun.wait(20)
        first.cancel()
        until(lambda: door.admission.requests == 0)
        again = threads.submit(calls.infer, request(), KEY)
        until(lambda: door.admission.requests == 1)
        go.set()
        answer, told = again.result(30)
        assert told["idempotency-replayed"] == "true"
        assert len(door.records()) == 1
        assert door.records()[0].request in service_pb2.ModelInferResponse.FromString(answer).id


def test_a_trace_is_continued_and_kept_with_the_decision_and_told_with_a_refusal_too(
    caller: tuple[Caller, Served],
) -> None:
    calls, door = caller
    _, told = calls.infer(request(), ("traceparent", GOOD), ("tracestate", "a=1"))
    assert told["traceresponse"] == told["traceparent"]
    assert told["traceparent"].startswith(f"00-{TRACE}-")
    assert PARENT not in told["traceparent"]
    assert told["tracestate"] == "a=1"
    (record,) = door.records()
    assert record.trace == TRACE
    asked = request()
    asked.model_name = "nobody"
    refused = calls.refusal(asked, ("traceparent", GOOD))
    assert dict(refused.trailing_metadata())["traceresponse"].startswith(f"00-{TRACE}-")
    assert "traceresponse" not in calls.infer(request(), ("traceparent", GOOD.upper()))[1]


def test_metadata_that_is_not_ours_is_left_alone() -> None:
    asked = read_metadata([("user-agent", "x"), ("x-tsavo-caller", "c" * 200), ("x-tsavo-key", "s")])
    assert (asked.caller, asked.split_key, asked.key, asked.trace) == ("c" * 100, "s", None, None)
    assert read_metadata(None).key is None
    # Of two traces it is not known which one it is.
    assert read_metadata([("traceparent", GOOD), ("traceparent", GOOD)]).trace is None
