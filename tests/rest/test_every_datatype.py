"""Every datatype that Triton's published client can send, as a matrix and as columns, with missing values."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ml_dtypes
import numpy as np
import numpy.typing as npt
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException, np_to_triton_dtype, triton_to_np_dtype

from tests.datatypes import COLUMNS, FLOATS, NUMBERS, WAYS
from tests.rest.served import Served, echo, served
from tsavo.vocabulary import Field, Route, VersionRef


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("door")
    refs = {name: VersionRef(name, 1) for name in COLUMNS}
    versions: dict[VersionRef, Any] = {
        refs[name]: echo(
            *(Field(column, dtype, nullable=dtype in ("float64", "float32", "string")) for column in "ab")
        )
        for name, dtype in COLUMNS.items()
    }
    with served(folder, versions, [Route(name, 1, ref) for name, ref in refs.items()]) as serving:
        yield serving


@pytest.fixture(scope="module")
def client(door: Served) -> Iterator[Any]:
    with triton.InferenceServerClient(door.address, network_timeout=20, connection_timeout=20) as connected:
        yield connected


def tensors(values: npt.NDArray[Any], way: str, binary: bool, datatype: str) -> list[Any]:
    if way == "matrix":
        parts = {"m": values}
    elif way == "columns":
        parts = {"a": values[:, 0], "b": values[:, 1]}
    else:
        parts = {"a": values[:, :1], "b": values[:, 1:]}
    given = []
    for name, part in parts.items():
        tensor = triton.InferInput(name, list(part.shape), datatype)
        given.append(tensor.set_data_from_numpy(np.ascontiguousarray(part), binary_data=binary))
    return given


def back(client: Any, endpoint: str, values: npt.NDArray[Any], way: str, binary: bool, datatype: str) -> Any:
    asked = [triton.InferRequestedOutput(f"same_{name}", binary_data=binary) for name in "ab"]
    answer = client.infer(endpoint, tensors(values, way, binary, datatype), outputs=asked)
    return np.stack([answer.as_numpy(f"same_{name}") for name in "ab"], axis=1)


def array_of(datatype: str, values: Any) -> npt.NDArray[Any]:
    kind = ml_dtypes.bfloat16 if datatype == "BF16" else triton_to_np_dtype(datatype)
    return np.array(values, kind)


# This client sends BF16 as raw bytes only.
SENT = [
    (datatype, binary) for datatype in NUMBERS for binary in (True, False) if binary or datatype != "BF16"
]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("datatype", "binary"), SENT)
def test_numbers(client: Any, datatype: str, way: str, binary: bool) -> None:
    values = array_of(datatype, [[0, 1], [2, 100], [7, 5]])
    for endpoint in ("floats", "singles", "whole", "small"):
        assert back(client, endpoint, values, way, binary, datatype).tolist() == values.astype(float).tolist()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("datatype", sorted(FLOATS))
def test_missing_numbers_as_raw_bytes(client: Any, datatype: str, way: str) -> None:
    values = array_of(datatype, [[np.nan, 1.5], [0.1, np.nan]])
    for endpoint, dtype in (("floats", np.float64), ("singles", np.float32)):
        answer = back(client, endpoint, values, way, True, datatype)
        expected = values.astype(np.float32 if datatype != "FP64" else np.float64).astype(dtype)
        np.testing.assert_array_equal(answer, expected)
    with pytest.raises(InferenceServerException) as refused:
        back(client, "whole", values, way, True, datatype)
    assert refused.value.status() == "422"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("datatype", sorted(FLOATS - {"BF16"}))
def test_json_and_raw_bytes_mean_the_same_numbers(client: Any, datatype: str, way: str) -> None:
    values = array_of(datatype, np.random.default_rng(0).normal(size=(40, 2)))
    raw = back(client, "floats", values, way, True, datatype)
    assert back(client, "floats", values, way, False, datatype).tobytes() == raw.tobytes()


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
@pytest.mark.parametrize("way", WAYS)
def test_truths(client: Any, way: str, binary: bool) -> None:
    values = np.array([[True, False], [False, False]])
    assert back(client, "truths", values, way, binary, "BOOL").tolist() == values.tolist()
    for endpoint in ("floats", "whole", "texts"):
        with pytest.raises(InferenceServerException) as refused:
            back(client, endpoint, values, way, binary, "BOOL")
        assert "wrong type" in refused.value.message()


@pytest.mark.parametrize("binary", [True, False], ids=["binary", "json"])
@pytest.mark.parametrize("way", WAYS)
def test_strings(client: Any, way: str, binary: bool) -> None:
    values = np.array([["voi", ""], ["Kīlauea ☃", "\x00"]], object)
    answer = back(client, "texts", values, way, binary, "BYTES")
    texts = [[v.decode() if isinstance(v, bytes) else v for v in row] for row in answer.tolist()]
    assert texts == values.tolist()
    assert np_to_triton_dtype(values.dtype) == "BYTES"


@pytest.mark.parametrize(
    "sequence",
    [
        {"sequence_id": 7, "sequence_start": True, "sequence_end": True},
        {"sequence_id": "seven"},
        {"priority": 3},
        {"timeout": 1},
        {"parameters": {"of my own": "anything", "number": 1, "yes": True}},
    ],
)
def test_parameters_that_mean_nothing_here_change_nothing(client: Any, sequence: dict[str, Any]) -> None:
    values = np.array([[0.1, 2.0]])
    answer = client.infer("floats", tensors(values, "matrix", True, "FP64"), **sequence)
    assert [answer.as_numpy(f"same_{name}").tolist() for name in "ab"] == [[0.1], [2.0]]
    assert "sequence_id" not in answer.get_response()["parameters"]
