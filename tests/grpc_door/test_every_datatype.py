"""Every datatype that Triton's published gRPC client can send, as a matrix and as columns; its other ways to ask."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException, triton_to_np_dtype

from tests.datatypes import COLUMNS, FLOATS, NUMBERS, WAYS
from tests.grpc_door.served import Echo, Served, served, tensor
from tsavo.vocabulary import Field, Route, VersionRef


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    refs = {name: VersionRef(name, 1) for name in COLUMNS}
    versions: dict[VersionRef, Any] = {
        refs[name]: Echo(*(Field(column, dtype, nullable=dtype in ("float64", "float32")) for column in "ab"))
        for name, dtype in COLUMNS.items()
    }
    routes = [Route(name, 1, ref) for name, ref in refs.items()]
    with served(tmp_path_factory.mktemp("door"), versions, routes) as serving:
        yield serving


@pytest.fixture(scope="module")
def client(door: Served) -> Iterator[Any]:
    with triton.InferenceServerClient(door.address) as connected:
        yield connected


def array_of(datatype: str, values: Any) -> npt.NDArray[Any]:
    return np.array(values, ml_dtypes.bfloat16 if datatype == "BF16" else triton_to_np_dtype(datatype))


def tensors(values: npt.NDArray[Any], way: str, datatype: str) -> list[Any]:
    if way == "matrix":
        return [tensor("m", values, datatype)]
    parts = [values[:, at] if way == "columns" else values[:, at : at + 1] for at in range(2)]
    return [
        tensor(name, np.ascontiguousarray(part), datatype) for name, part in zip("ab", parts, strict=True)
    ]


def back(client: Any, endpoint: str, values: npt.NDArray[Any], way: str, datatype: str) -> npt.NDArray[Any]:
    answer = client.infer(endpoint, tensors(values, way, datatype))
    return np.stack([answer.as_numpy(f"same_{name}") for name in "ab"], axis=1)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("datatype", NUMBERS)
def test_numbers(client: Any, datatype: str, way: str) -> None:
    values = array_of(datatype, [[0, 1], [2, 100], [7, 5]])
    for endpoint in ("floats", "singles", "whole", "small"):
        assert back(client, endpoint, values, way, datatype).tolist() == values.astype(float).tolist()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("datatype", sorted(FLOATS))
def test_missing_numbers(client: Any, datatype: str, way: str) -> None:
    values = array_of(datatype, [[np.nan, 1.5], [0.1, np.nan]])
    for endpoint, dtype in (("floats", np.float64), ("singles", np.float32)):
        expected = values.astype(np.float64).astype(dtype)
        np.testing.assert_array_equal(back(client, endpoint, values, way, datatype), expected)
    with pytest.raises(InferenceServerException) as refused:
        back(client, "whole", values, way, datatype)
    assert refused.value.status() == "StatusCode.INVALID_ARGUMENT"


@pytest.mark.parametrize("way", WAYS)
def test_truths_and_strings(client: Any, way: str) -> None:
    truths = np.array([[True, False], [False, False]])
    assert back(client, "truths", truths, way, "BOOL").tolist() == truths.tolist()
    texts = np.array([["voi", ""], ["Kīlauea ☃", "\x00"]], object)
    answer = back(client, "texts", texts, way, "BYTES").tolist()
    assert [[text.decode() for text in row] for row in answer] == texts.tolist()


ROW = np.array([[0.1, 2.0]])


def test_the_asynchronous_call(client: Any) -> None:
    came: list[Any] = []
    done = threading.Event()

    def callback(result: Any, error: Any) -> None:
        came.append(error or result.as_numpy("same_a").tolist())
        done.set()

    client.async_infer("floats", [tensor("m", ROW)], callback)
    assert done.wait(20)
    assert came == [[0.1]]


@pytest.mark.parametrize("packing", ["gzip", "deflate"])
def test_packed_messages(client: Any, packing: str) -> None:
    answer = client.infer("floats", [tensor("m", ROW)], compression_algorithm=packing)
    assert answer.as_numpy("same_b").tolist() == [2.0]


@pytest.mark.parametrize(
    "sequence",
    [{"sequence_id": 7, "sequence_start": True, "sequence_end": True}, {"priority": 3}, {"timeout": 1}],
)
def test_parameters_that_mean_nothing_here_change_nothing(client: Any, sequence: dict[str, Any]) -> None:
    answer = client.infer("floats", [tensor("m", ROW)], **sequence)
    assert answer.as_numpy("same_a").tolist() == [0.1]
    assert set(answer.get_response().parameters) == {"decision_id", "version", "role", "flags"}


def refusal(ask: Any) -> InferenceServerException:
    with pytest.raises(InferenceServerException) as caught:
        ask()
    return caught.value


def test_loading_and_unloading_are_the_control_planes_business(client: Any) -> None:
    for ask, said in (
        (client.load_model, "tsavo deploy whole --endpoint whole"),
        (client.unload_model, "tsavo plug whole"),
    ):
        refused = refusal(lambda ask=ask: ask("whole"))
        assert refused.status() == "StatusCode.FAILED_PRECONDITION"
        assert said in refused.message()
        assert refusal(lambda ask=ask: ask("nobody")).status() == "StatusCode.NOT_FOUND"


def test_what_is_not_offered_says_so(client: Any) -> None:
    for ask in (
        client.get_trace_settings,
        client.get_log_settings,
        client.get_system_shared_memory_status,
        client.get_cuda_shared_memory_status,
    ):
        assert refusal(ask).status() == "StatusCode.UNIMPLEMENTED"


def test_a_stream_ends_with_a_refusal(client: Any) -> None:
    came: list[Any] = []
    done = threading.Event()

    def callback(result: Any, error: Any) -> None:
        came.append((result, error))
        done.set()

    client.start_stream(callback)
    with suppress(InferenceServerException):  # the refusal may be here already
        client.async_stream_infer("floats", [tensor("m", ROW)])
    assert done.wait(20)
    client.stop_stream()
    (result, error), *_ = came
    assert result is None
    assert "UNIMPLEMENTED" in str(error.status())
