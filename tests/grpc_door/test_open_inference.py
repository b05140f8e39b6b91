"""The published Triton client, unmodified, and its generated messages, against the door on a real socket."""

from __future__ import annotations

import json
from typing import Any

import grpc  # type: ignore[import-untyped]
import numpy as np
import numpy.typing as npt
import pytest
import tritonclient.grpc as triton
from tritonclient.grpc import service_pb2
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from tests.grpc_door.served import Served, tensor, texts

GOOD: dict[str, npt.NDArray[Any]] = {
    "whole": np.array([1, -(2**53), 2**62]),
    "small": np.array([0, -(2**31), 2**31 - 1], np.int32),
    "number": np.array([0.1, np.nan, -1e300]),
    "single": np.array([0.1, np.nan, -1e30], np.float32),
    "yes": np.array([True, False, True]),
    "text": np.array(["nairobi", "", "Kīlauea ☃"], object),
}
DATATYPES = {
    "whole": "INT64",
    "small": "INT32",
    "number": "FP64",
    "single": "FP32",
    "yes": "BOOL",
    "text": "BYTES",
}
CONTENTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}


NUMPY_NAMES = {"FP16": "float16", "FP32": "float32", "FP64": "float64"}


def typed(**changes: npt.NDArray[Any]) -> Any:
    """A request with typed contents, which this client can only send by its generated messages."""
    request = service_pb2.ModelInferRequest(model_name="mixed", id="my own")
    for name, values in (GOOD | changes).items():
        add_typed(request, name, DATATYPES[name], values)
    return request


def add_typed(request: Any, name: str, datatype: str, values: Any) -> None:
    array = np.asarray(values)
    flat = [value.encode() if isinstance(value, str) else value for value in array.ravel().tolist()]
    given = request.inputs.add(name=name, datatype=datatype, shape=array.shape)
    getattr(given.contents, CONTENTS[datatype]).extend(flat)


def send(door: Served, request: Any) -> Any:
    return service_pb2.ModelInferResponse.FromString(door.call("ModelInfer", request.SerializeToString()))


def refused(door: Served, request: Any) -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as caught:
        send(door, request)
    return caught.value.code().name, caught.value.details()


def without_nan(values: Any) -> list[Any]:
    listed = (
        values.tolist() if isinstance(values, np.ndarray) else [v if v is None else v.item() for v in values]
    )
    return [None if value != value else value for value in listed]


def test_health(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("mixed")
    assert client.is_model_ready("mixed", "1")
    assert not client.is_model_ready("mixed", "9")
    assert not client.is_model_ready("mixed", "latest")
    assert not client.is_model_ready("nobody")
    assert not client.is_model_ready("broken")


def test_server_metadata(client: Any) -> None:
    told = client.get_server_metadata()
    assert (told.name, told.version) == ("tsavo", "1.2.3")
    assert {"model_configuration", "statistics"} <= set(told.extensions)


def test_model_metadata_lists_the_routes_versions_champion_first(client: Any) -> None:
    told = client.get_model_metadata("mixed")
    assert list(told.versions) == ["2", "1", "3"]
    assert told.platform == "tsavo_onnx"
    assert {given.name: given.datatype for given in told.inputs} == DATATYPES
    assert [list(given.shape) for given in told.outputs] == [[-1]] * 6
    assert client.get_model_metadata("mixed", "1").name == "mixed"


def test_model_configuration(client: Any) -> None:
    config = client.get_model_config("mixed", as_json=True)["config"]
    assert config["name"] == "mixed"
    assert {given["name"]: given["data_type"] for given in config["input"]} == {
        name: "TYPE_STRING" if datatype == "BYTES" else f"TYPE_{datatype}"
        for name, datatype in DATATYPES.items()
    }
    assert all(given["dims"] == ["-1"] for given in config["input"] + config["output"])


def test_the_index_lists_every_version_and_its_state(client: Any) -> None:
    client.is_model_ready("broken")
    listed = {(entry.name, entry.version): entry for entry in client.get_model_repository_index().models}
    assert listed.keys() == {
        ("mixed", "2"), ("mixed", "1"), ("mixed", "3"), ("matrix", "7"), ("broken", "1"), ("plugged", "7"),
        ("fallen", "1"),
    }  # fmt: skip
    assert listed["mixed", "1"].state == "READY"
    assert (listed["broken", "1"].state, listed["broken", "1"].reason) == ("UNAVAILABLE", "its file is gone")
    assert listed["plugged", "7"].reason == "the plug is pulled: wrong since noon"


@pytest.mark.parametrize("asked", [None, ["same_text", "same_whole"]], ids=["all", "asked"])
def test_every_type_goes_there_and_back_raw(client: Any, asked: list[str] | None) -> None:
    outputs = None if asked is None else [triton.InferRequestedOutput(name) for name in asked]
    given = [tensor(name, values) for name, values in GOOD.items()]
    answer = client.infer("mixed", given, outputs=outputs, request_id="my own")
    response = answer.get_response()
    assert (response.model_name, response.model_version, response.id) == ("mixed", "2", "my own")
    assert len(response.raw_output_contents) == len(response.outputs)
    assert [output.name for output in response.outputs] == (asked or [f"same_{name}" for name in GOOD])
    for output in response.outputs:
        name = output.name.removeprefix("same_")
        values = answer.as_numpy(output.name)
        if name == "text":
            assert texts(values) == GOOD["text"].tolist()
        else:
            assert values.dtype == GOOD[name].dtype
            np.testing.assert_array_equal(values, GOOD[name])


def test_every_type_goes_there_and_back_typed(door: Served) -> None:
    response = send(door, typed())
    assert response.id == "my own"
    assert list(response.raw_output_contents) == []
    for output in response.outputs:
        name = output.name.removeprefix("same_")
        assert (output.datatype, list(output.shape)) == (DATATYPES[name], [3])
        values = list(getattr(output.contents, CONTENTS[output.datatype]))
        if name == "text":
            assert texts(values) == GOOD["text"].tolist()
        else:
            np.testing.assert_array_equal(np.array(values, GOOD[name].dtype), GOOD[name])


def test_one_matrix_in_the_order_of_the_columns(client: Any) -> None:
    matrix = np.arange(40.0).reshape(2, 20)
    matrix[1, 3] = np.nan
    answer = client.infer("matrix", [tensor("any-name", matrix)])
    given = np.column_stack([answer.as_numpy(f"same_x{column}") for column in range(20)])
    np.testing.assert_array_equal(given, matrix)


def test_columns_in_two_dimensions(client: Any) -> None:
    given = [tensor(name, values.reshape(3, 1)) for name, values in GOOD.items()]
    assert client.infer("mixed", given).as_numpy("same_whole").tolist() == GOOD["whole"].tolist()


@pytest.mark.parametrize("datatype", [*(name for name in CONTENTS if name != "BYTES"), "FP16"])
def test_every_datatype_carries_numbers_raw(client: Any, datatype: str) -> None:
    column = "yes" if datatype == "BOOL" else "whole"
    array = np.array([1, 0, 1], NUMPY_NAMES.get(datatype, datatype.lower()))
    assert np_to_triton_dtype(array.dtype) == datatype
    given = [tensor(name, values) for name, values in (GOOD | {column: array}).items()]
    assert client.infer("mixed", given).as_numpy(f"same_{column}").tolist() == [1, 0, 1]


@pytest.mark.parametrize("datatype", [name for name in CONTENTS if name != "BYTES"])
def test_every_datatype_carries_numbers_typed(door: Served, datatype: str) -> None:
    column = "yes" if datatype == "BOOL" else "whole"
    request = _value(column, datatype, *([True, False, True] if datatype == "BOOL" else [1, 0, 1]))
    (told,) = [output for output in send(door, request).outputs if output.name == f"same_{column}"]
    assert list(getattr(told.contents, CONTENTS[told.datatype])) == [1, 0, 1]


def test_the_answer_says_what_answered(door: Served, client: Any) -> None:
    def asked(endpoint: str, version: str = "") -> tuple[Any, dict[str, str]]:
        given = [tensor(name, values) for name, values in GOOD.items()]
        response = client.infer(endpoint, given, version, headers={"x-tsavo-caller": "me"}).get_response()
        return response, {name: value.string_param for name, value in response.parameters.items()}

    response, told = asked("mixed")
    assert told["role"] == "champion"
    assert told["version"] == "m@2"
    assert told["flags"] == ""
    assert json.loads(told["row_flags"]) == {"1": ["unseen:text"], "2": ["unseen:text"]}
    assert told["decision_id"] == f"{response.id}:0"
    (record,) = [
        record for record in door.records() if record.request == response.id and record.role != "shadow"
    ]
    assert (record.caller, record.rows, record.version) == ("me", 3, 2)
    response, told = asked("mixed", "1")
    assert (response.model_version, told["version"], told["role"]) == ("1", "m@1", "pinned")
    response, told = asked("fallen")
    assert (response.model_version, told["role"], told["flags"]) == ("1", "fallback", "fallback:error")


def test_the_answers_are_those_of_the_rest_door(door: Served) -> None:
    inputs = [
        {"name": name, "shape": [3], "datatype": DATATYPES[name], "data": without_nan(values)}
        for name, values in GOOD.items()
    ]
    document = door.rest("/v2/models/mixed/infer", {"inputs": inputs})
    expected = {output["name"]: output["data"] for output in document["outputs"]}
    for output in send(door, typed()).outputs:
        values = getattr(output.contents, CONTENTS[output.datatype])
        if output.datatype == "BYTES":
            assert texts(values) == expected[output.name]
        else:
            # JSON has the shortest digits of a 32-bit float.
            dtype = GOOD[output.name.removeprefix("same_")].dtype
            there = [None if value is None else dtype.type(value) for value in expected[output.name]]
            assert without_nan(np.array(values, dtype)) == without_nan(there)


def test_statistics_count_what_was_answered(door: Served, client: Any) -> None:
    def counted() -> tuple[int, int, int]:
        (entry,) = client.get_inference_statistics("mixed", "2").model_stats
        assert (entry.name, entry.version) == ("mixed", "2")
        return entry.inference_count, entry.execution_count, entry.inference_stats.success.count

    before = counted()
    send(door, typed())
    assert counted() == (before[0] + 3, before[1] + 1, before[2] + 1)
    assert {entry.name for entry in client.get_inference_statistics().model_stats} >= {"mixed"}
    with pytest.raises(InferenceServerException, match="NOT_FOUND"):
        client.get_inference_statistics("nobody")


def _without(name: str) -> Any:
    request = typed()
    del request.inputs[list(GOOD).index(name)]
    return request


def _changed(**parts: Any) -> Any:
    request = typed()
    place = list(GOOD).index(parts.pop("name", "whole"))
    for part, value in parts.items():
        if part == "shape":
            request.inputs[place].ClearField("shape")
            request.inputs[place].shape.extend(value)
        else:
            setattr(request.inputs[place], part, value)
    return request


def _raw_of(*contents: bytes, typed_too: bool = False) -> Any:
    request = typed()
    if not typed_too:
        for given in request.inputs:
            given.ClearField("contents")
    request.raw_input_contents.extend(contents)
    return request


def _value(name: str, datatype: str, *values: Any) -> Any:
    request = _without(name)
    given = request.inputs.add(name=name, datatype=datatype, shape=[3])
    getattr(given.contents, CONTENTS[datatype]).extend(values)
    return request


def _asking(parameter: str) -> Any:
    request = typed()
    request.outputs.add(name="same_whole").parameters[parameter].int64_param = 1
    return request


def _named(**parts: str) -> Any:
    request = typed()
    for part, value in parts.items():
        setattr(request, part, value)
    return request


def _outputs(*names: str) -> Any:
    request = typed()
    for name in names:
        request.outputs.add(name=name)
    return request


@pytest.mark.parametrize(
    ("request_", "code", "said"),
    [
        (_named(model_name="nobody"), "NOT_FOUND", "endpoint"),
        (_named(model_name=""), "NOT_FOUND", "endpoint"),
        (_named(model_version="9"), "NOT_FOUND", "m@1"),
        (_named(model_version="latest"), "NOT_FOUND", "version"),
        (_named(model_name="broken"), "UNAVAILABLE", "its file is gone"),
        (_named(model_name="plugged"), "INVALID_ARGUMENT", "inputs.x0"),
        (_outputs("nothing"), "INVALID_ARGUMENT", "same_whole"),
        (_outputs("same_whole", "same_whole"), "INVALID_ARGUMENT", "twice"),
        (_asking("classification"), "INVALID_ARGUMENT", "outputs.same_whole.parameters.classification"),
        (_asking("shared_memory_region"), "INVALID_ARGUMENT", "shared_memory_region"),
        (_without("text"), "INVALID_ARGUMENT", "inputs.text"),
        (_changed(datatype="BF16"), "INVALID_ARGUMENT", "inputs.whole.datatype"),
        (_changed(datatype="FP16"), "INVALID_ARGUMENT", "raw_input_contents"),
        (_changed(datatype="FP64"), "INVALID_ARGUMENT", "some in int64_contents"),
        (_changed(shape=[2]), "INVALID_ARGUMENT", "inputs.whole.contents.int64_contents"),
        (_changed(shape=[]), "INVALID_ARGUMENT", "inputs.whole.shape"),
        (_changed(shape=[-3]), "INVALID_ARGUMENT", "inputs.whole.shape"),
        (_changed(shape=[2**62, 2**62]), "INVALID_ARGUMENT", "inputs.whole"),
        (_value("whole", "INT8", 1, 2, 128), "INVALID_ARGUMENT", "inputs.whole[2]"),
        (_value("whole", "UINT16", 1, 2**16, 0), "INVALID_ARGUMENT", "0 to 65535"),
        (_value("small", "INT64", 1, 2**31, 0), "INVALID_ARGUMENT", "inputs.small[1]"),
        (_value("text", "BYTES", b"a", b"\xff", b"c"), "INVALID_ARGUMENT", "inputs.text[1]"),
        (_value("number", "FP64", 1.0, float("inf"), 2.0), "INVALID_ARGUMENT", "inputs.number[1]"),
        (_raw_of(b"x"), "INVALID_ARGUMENT", "raw_input_contents"),
        (_raw_of(*[b""] * 6), "INVALID_ARGUMENT", "inputs.whole"),
        (_raw_of(*[b""] * 6, typed_too=True), "INVALID_ARGUMENT", "inputs.whole.contents"),
    ],
)
def test_what_is_wrong_is_told_with_its_field(door: Served, request_: Any, code: str, said: str) -> None:
    before = len(door.records())
    got, details = refused(door, request_)
    assert got == code
    assert said in details
    assert "\n" not in details
    assert len(door.records()) == before


def test_tensors_in_shared_memory_are_refused(client: Any) -> None:
    given = triton.InferInput("x0", [1], "FP64")
    given.set_shared_memory("region", 8)
    with pytest.raises(InferenceServerException, match=r"shared memory.*inputs.x0"):
        client.infer("matrix", [given])


def test_a_pulled_plug_is_told_as_unavailable(client: Any) -> None:
    with pytest.raises(InferenceServerException, match=r"UNAVAILABLE.*plug of 'plugged' is pulled"):
        client.infer("plugged", [tensor("m", np.zeros((1, 20)))])


def test_too_many_rows(client: Any) -> None:
    with pytest.raises(InferenceServerException, match=r"INVALID_ARGUMENT.*too many rows"):
        client.infer("matrix", [tensor("m", np.zeros((5001, 20)))])
