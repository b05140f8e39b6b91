"""The published Triton client, unmodified, against the door on a real socket."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from tests.rest.served import Echo, Served, echo, served
from tsavo.vocabulary import Challenger, Damaged, Field, Route, TsavoError, VersionFallback, VersionRef

MIXED = echo(
    Field("whole", "int64"),
    Field("small", "int32"),
    Field("number", "float64", nullable=True),
    Field("single", "float32", nullable=True),
    Field("yes", "bool"),
    Field("text", "string"),
)
MATRIX = echo(*(Field(f"x{column}", "float64", nullable=True) for column in range(20)))
ONE, TWO, OTHER, BROKEN = (
    VersionRef("m", 1),
    VersionRef("m", 2),
    VersionRef("matrix", 7),
    VersionRef("broken", 1),
)
VERSIONS: dict[VersionRef, Echo | TsavoError] = {
    ONE: MIXED,
    TWO: MIXED,
    OTHER: MATRIX,
    BROKEN: Damaged("its file is gone"),
}
ROUTES = [
    Route("mixed", 1, TWO, (Challenger(VersionRef("m", 3)),), (VersionFallback(ONE),)),
    Route("matrix", 2, OTHER),
    Route("broken", 3, BROKEN),
]
GOOD: dict[str, npt.NDArray[Any]] = {
    "whole": np.array([1, -(2**53), 2**62]),
    "small": np.array([0, -(2**31), 2**31 - 1], np.int32),
    "number": np.array([0.1, np.nan, -1e300]),
    "single": np.array([0.1, np.nan, -1e30], np.float32),
    "yes": np.array([True, False, True]),
    "text": np.array(["nairobi", "", "Kīlauea ☃"], object),
}


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    versions = VERSIONS | {VersionRef("m", 3): MIXED}
    with served(tmp_path_factory.mktemp("door"), versions, ROUTES) as serving:
        yield serving


@pytest.fixture(scope="module")
def client(door: Served) -> Iterator[Any]:
    with triton.InferenceServerClient(door.address, network_timeout=20, connection_timeout=20) as connected:
        yield connected


def tensor(name: str, values: npt.NDArray[Any], *, binary: bool = True) -> Any:
    given = triton.InferInput(name, list(values.shape), np_to_triton_dtype(values.dtype))
    return given.set_data_from_numpy(values, binary_data=binary)


def tensors(*, binary: bool = True, **changes: npt.NDArray[Any]) -> list[Any]:
    return [tensor(name, values, binary=binary) for name, values in (GOOD | changes).items()]


def texts(values: npt.NDArray[Any]) -> list[str]:
    return [value.decode() if isinstance(value, bytes) else value for value in values.tolist()]


def test_health(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("mixed")
    assert client.is_model_ready("mixed", "1")
    assert not client.is_model_ready("mixed", "9")
    assert not client.is_model_ready("nobody")
    assert not client.is_model_ready("broken")


def test_server_metadata(client: Any) -> None:
    told = client.get_server_metadata()
    assert told["name"] == "tsavo"
    assert {"binary_tensor_data", "model_configuration", "statistics"} <= set(told["extensions"])
    (told,) = client.get_inference_statistics("mixed", "2")["model_stats"]
    assert (told["name"], told["version"]) == ("mixed", "2")


def test_model_metadata_lists_the_routes_versions_champion_first(client: Any) -> None:
    told = client.get_model_metadata("mixed")
    assert told["versions"] == ["2", "1", "3"]
    assert {tensor["name"]: tensor["datatype"] for tensor in told["inputs"]} == {
        "whole": "INT64",
        "small": "INT32",
        "number": "FP64",
        "single": "FP32",
        "yes": "BOOL",
        "text": "BYTES",
    }
    assert told["parameters"]["version"] == "m@2"
    assert client.get_model_metadata("mixed", "1")["parameters"]["version"] == "m@1"


def test_model_configuration(client: Any) -> None:
    told = client.get_model_config("mixed")
    assert told["name"] == "mixed"
    assert told["max_batch_size"] == 0
    assert {(given["name"], given["data_type"]) for given in told["input"]} == {
        ("whole", "TYPE_INT64"),
        ("small", "TYPE_INT32"),
        ("number", "TYPE_FP64"),
        ("single", "TYPE_FP32"),
        ("yes", "TYPE_BOOL"),
        ("text", "TYPE_STRING"),
    }
    assert all(given["dims"] == [-1] for given in told["input"] + told["output"])
    assert client.get_model_config("mixed", "1")["parameters"]["version"] == {"string_value": "m@1"}


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
@pytest.mark.parametrize("asked", [None, True, False], ids=["all", "asked-binary", "asked-json"])
def test_every_type_goes_there_and_back(client: Any, binary: bool, asked: bool | None) -> None:
    given = tensors(binary=binary)
    if not binary:  # a missing value is null in JSON; this client writes NaN, which is not JSON
        filled = {name: np.nan_to_num(GOOD[name], nan=2.5) for name in ("number", "single")}
        given = tensors(binary=False, **filled)
    outputs = None if asked is None else [triton.InferRequestedOutput(f"same_{name}", asked) for name in GOOD]
    answer = client.infer("mixed", given, outputs=outputs, request_id="my own")
    response = answer.get_response()
    assert response["id"] == "my own"
    assert response["model_version"] == "2"
    assert all(("data" in output) == (asked is False) for output in response["outputs"])
    for name, values in GOOD.items():
        expected = values if binary or values.dtype.kind != "f" else np.nan_to_num(values, nan=2.5)
        back = answer.as_numpy(f"same_{name}")
        if name == "text":
            assert texts(back) == expected.tolist()
        else:
            assert back.dtype == expected.dtype
            assert back.tobytes() == expected.tobytes()


NUMERIC = [np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64]


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
@pytest.mark.parametrize("dtype", [*NUMERIC, np.float16, np.float32, np.float64])
def test_every_numeric_datatype_is_taken_where_its_values_fit(client: Any, dtype: Any, binary: bool) -> None:
    values = np.array([1, 100, 127], dtype)
    for column in ("whole", "small", "number", "single"):
        given = tensors()
        given[list(GOOD).index(column)] = tensor(column, values, binary=binary)
        answer = client.infer("mixed", given)
        assert answer.as_numpy(f"same_{column}").tolist() == values.tolist()


def test_a_matrix_goes_there_and_back_bit_for_bit(client: Any, door: Served) -> None:
    values = np.random.default_rng(0).normal(size=(1000, 20))
    values[::7, 3] = np.nan
    answer = client.infer("matrix", [tensor("all columns", values)])
    back = np.stack([answer.as_numpy(f"same_x{column}") for column in range(20)], axis=1)
    assert back.tobytes() == values.tobytes()
    (record,) = [record for record in door.records() if record.rows == 1000]
    assert record.inputs[0].array().tobytes() == values.tobytes()
    assert answer.get_response()["parameters"]["decision_id"] == f"{record.request}:0"


def test_many_strings_go_there_and_back(client: Any) -> None:
    many = {name: np.resize(values, 5000) for name, values in GOOD.items()}
    many["text"] = np.array([f"{row:060}" for row in range(5000)], object)
    answer = client.infer("mixed", [tensor(name, values) for name, values in many.items()])
    assert texts(answer.as_numpy("same_text")) == many["text"].tolist()


def test_outputs_come_in_the_order_asked_for_each_as_asked(client: Any) -> None:
    asked = [
        triton.InferRequestedOutput("same_yes", binary_data=False),
        triton.InferRequestedOutput("same_whole", binary_data=True),
        triton.InferRequestedOutput("same_text", binary_data=True),
    ]
    answer = client.infer("mixed", tensors(), outputs=asked)
    outputs = answer.get_response()["outputs"]
    assert [(output["name"], "data" in output) for output in outputs] == [
        ("same_yes", True),
        ("same_whole", False),
        ("same_text", False),
    ]
    assert answer.as_numpy("same_whole").tolist() == GOOD["whole"].tolist()
    assert texts(answer.as_numpy("same_text")) == GOOD["text"].tolist()


def test_a_version_is_pinned(client: Any, door: Served) -> None:
    answer = client.infer("mixed", tensors(), model_version="1", request_id="pinned")
    response = answer.get_response()
    assert (response["model_version"], response["parameters"]["role"]) == ("1", "pinned")
    asked = response["parameters"]["decision_id"].partition(":")[0]
    assert [record.version for record in door.records() if record.request == asked] == [1]


@pytest.mark.parametrize("packing", ["gzip", "deflate"])
@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
def test_bodies_are_packed_and_unpacked(client: Any, packing: str, binary: bool) -> None:
    values = np.random.default_rng(1).normal(size=(2000, 20)).round(2)
    asked = [triton.InferRequestedOutput(f"same_x{column}", binary) for column in range(20)]
    answer = client.infer(
        "matrix",
        [tensor("m", values, binary=binary)],
        outputs=asked,
        request_compression_algorithm=packing,
        response_compression_algorithm=packing,
    )
    for column in range(20):
        assert answer.as_numpy(f"same_x{column}").tolist() == values[:, column].tolist()


def test_the_asynchronous_call(client: Any) -> None:
    answer = client.async_infer("mixed", tensors()).get_result()
    assert answer.as_numpy("same_whole").tolist() == GOOD["whole"].tolist()


def test_parameters_of_a_request_are_taken(client: Any) -> None:
    client.infer("mixed", tensors(), priority=3, timeout=1_000_000, parameters={"tenant": "south", "n": 1})


def refused(ask: Callable[[], Any]) -> InferenceServerException:
    with pytest.raises(InferenceServerException) as caught:
        ask()
    # What the client says when it cannot find the message in the answer.
    assert "exception occurred in the client" not in caught.value.message()
    return caught.value


def test_errors_arrive_in_our_words(client: Any) -> None:
    error = refused(lambda: client.infer("mixed", tensors()[1:]))
    assert error.status() == "422"
    assert "a column is missing: whole (field: inputs.whole" in error.message()
    error = refused(lambda: client.infer("nobody", tensors()))
    assert error.status() == "404"
    assert "there is no such endpoint (field: endpoint; found: 'nobody')" in error.message()
    error = refused(lambda: client.infer("mixed", tensors(), model_version="9"))
    assert error.status() == "404"
    assert "['m@1', 'm@2', 'm@3']" in error.message()
    error = refused(lambda: client.infer("broken", tensors()))
    assert error.status() == "503"
    assert "its file is gone" in error.message()
    asked = [triton.InferRequestedOutput("nothing")]
    assert "no such output" in refused(lambda: client.infer("mixed", tensors(), outputs=asked)).message()
    asked = [triton.InferRequestedOutput("same_text", class_count=3)]
    assert "not offered" in refused(lambda: client.infer("mixed", tensors(), outputs=asked)).message()
    nan_in_json = [tensor("m", np.full((1, 20), np.nan), binary=False)]
    assert "a missing value is null" in refused(lambda: client.infer("matrix", nan_in_json)).message()
    assert "there is nothing at this address" in refused(client.get_trace_settings).message()


def test_shared_memory_is_refused(client: Any) -> None:
    given = triton.InferInput("m", [1, 20], "FP64")
    given.set_shared_memory("region", 160)
    error = refused(lambda: client.infer("matrix", [given]))
    assert "inputs.m.parameters.shared_memory_region" in error.message()


def test_the_repository_index(client: Any) -> None:
    listed = client.get_model_repository_index()
    assert [(entry["name"], entry["version"]) for entry in listed] == [
        ("broken", "1"),
        ("matrix", "7"),
        ("mixed", "2"),
        ("mixed", "1"),
        ("mixed", "3"),
    ]
    assert listed[0]["state"] == "UNAVAILABLE"
    assert listed[0]["reason"] == "its file is gone"
    assert {entry["state"] for entry in listed[1:]} == {"READY"}


def test_loading_and_unloading_are_the_control_planes_business(client: Any) -> None:
    assert "tsavo deploy m --endpoint mixed" in refused(lambda: client.load_model("mixed")).message()
    assert "tsavo plug mixed" in refused(lambda: client.unload_model("mixed")).message()
    assert refused(lambda: client.load_model("nobody")).status() == "404"


def test_a_request_that_is_put_together_elsewhere(client: Any, door: Served) -> None:
    body, length = triton.InferenceServerClient.generate_request_body(tensors())
    answer = httpx.post(
        f"{door.url}/v2/models/mixed/infer",
        content=body,
        headers={"Inference-Header-Content-Length": str(length)},
    )
    assert answer.headers["content-type"] == "application/octet-stream"
    size = int(answer.headers["inference-header-content-length"])
    told = json.loads(answer.content[:size])
    sizes = [output["parameters"]["binary_data_size"] for output in told["outputs"]]
    assert size + sum(sizes) == len(answer.content)
    parsed = triton.InferenceServerClient.parse_response_body(answer.content, header_length=size)
    assert parsed.as_numpy("same_small").tolist() == GOOD["small"].tolist()
