"""The same requests to MLServer and to Tsavo, with the same model file: the same answers.

It installs MLServer and takes a while, so it runs only where ``COMPARE_MLSERVER=1``. What differs on purpose is in
docs/serving.md, "Differences from other servers", and asserted here.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
import numpy.typing as npt
import pytest
import tritonclient.grpc
import tritonclient.http
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from tests.app.conftest import running_on
from tests.app.models import save_small_model
from tests.environments import mlserver_environment

pytestmark = pytest.mark.skipif(
    os.environ.get("COMPARE_MLSERVER") != "1", reason="compares with MLServer where COMPARE_MLSERVER=1"
)

ROWS = np.array([[0.1, 0.2, 0.3], [-1.0, 2.0, 0.5]])
# Output of MLServer's scikit-learn runtime -> that of Tsavo.
NAMES = {"predict": "label", "predict_proba": "probabilities"}


class Servers(NamedTuple):
    """Base addresses of both."""

    ours: str
    theirs: str
    our_grpc: str
    their_grpc: str


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    folder = tmp_path_factory.mktemp("mlserver")
    model, reference = save_small_model(folder)
    home = folder / "server" / "m"
    home.mkdir(parents=True)
    shutil.copy(model, home / "model.joblib")
    ports = {name: free_port() for name in ("http_port", "grpc_port", "metrics_port")}
    settings = {"host": "127.0.0.1", "parallel_workers": 0, "debug": False} | ports
    (home.parent / "settings.json").write_text(json.dumps(settings))
    parameters = {"uri": "./model.joblib", "version": "1"}
    described = {"name": "m", "implementation": "mlserver_sklearn.SKLearnModel", "parameters": parameters}
    (home / "model-settings.json").write_text(json.dumps(described))
    theirs = f"http://127.0.0.1:{ports['http_port']}"
    words = [str(mlserver_environment() / "mlserver"), "start", str(home.parent)]
    with (folder / "log").open("w") as log, subprocess.Popen(words, stdout=log, stderr=log) as process:
        try:
            with running_on(folder / "home") as running:
                options = ["--name", "m", "--reference", str(reference), "--target", "target", "--trust"]
                running.tsavo("deploy", str(model), *options)
                wait_for(f"{theirs}/v2/models/m/ready", process, folder / "log")
                assert running.grpc is not None
                yield Servers(running.gateway, theirs, running.grpc, f"127.0.0.1:{ports['grpc_port']}")
        finally:
            process.terminate()
            process.wait(30)


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if httpx.get(url, timeout=2).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    raise AssertionError(log.read_text()[-2000:])


def request(data: Any = None, datatype: str = "FP64", shape: Any = (2, 3), **more: Any) -> dict[str, Any]:
    values = ROWS.ravel().tolist() if data is None else data
    return {"inputs": [{"name": "x", "shape": list(shape), "datatype": datatype, "data": values}]} | more


def infer(servers: Servers, body: dict[str, Any], path: str = "/v2/models/m/infer") -> tuple[Any, Any]:
    """Both answers; outputs are asked for by MLServer's names."""
    asked = {"outputs": [{"name": name} for name in NAMES]} | body
    ours = asked | {"outputs": [{"name": NAMES[output["name"]]} for output in asked["outputs"]]}
    return httpx.post(servers.ours + path, json=ours), httpx.post(servers.theirs + path, json=asked)


def equal_to_rounding(ours: Any, theirs: Any) -> None:
    """Probabilities by two programs: the last bits of 1 may differ, and no more."""
    np.testing.assert_allclose(
        np.asarray(ours), np.asarray(theirs), rtol=0, atol=4 * np.finfo(np.float64).eps
    )


def alike(servers: Servers, body: dict[str, Any], path: str = "/v2/models/m/infer") -> tuple[Any, Any]:
    """Both answers, after every value of them was compared."""
    answers = [answer.raise_for_status().json() for answer in infer(servers, body, path)]
    ours, theirs = answers
    assert [output["name"] for output in ours["outputs"]] == [
        NAMES[output["name"]] for output in theirs["outputs"]
    ]
    for mine, other in zip(ours["outputs"], theirs["outputs"], strict=True):
        assert mine["datatype"] == other["datatype"]
        if other["datatype"] == "INT64":
            assert mine["data"] == other["data"]
        else:
            equal_to_rounding(mine["data"], other["data"])
    assert (ours["model_name"], ours["model_version"]) == (theirs["model_name"], theirs["model_version"])
    return ours, theirs


WHOLE = [0, 1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    "body",
    [
        request(),
        request(ROWS.tolist()),
        request(datatype="FP32"),
        request(datatype="FP16"),
        *(request(WHOLE, datatype) for datatype in ("INT8", "INT16", "INT32", "INT64")),
        *(request(WHOLE, datatype) for datatype in ("UINT8", "UINT16", "UINT32", "UINT64")),
        request(ROWS[0].tolist(), shape=(1, 3)),
        request(outputs=[{"name": "predict_proba"}]),
        request(outputs=[{"name": "predict_proba"}, {"name": "predict"}]),
        request(parameters={"anything": 1}, something="else"),
        request(parameters=None, id=None),
        {
            "inputs": [
                {"name": name, "shape": [2, *more], "datatype": "FP64", "data": ROWS[:, at].tolist()}
                for at, (name, more) in enumerate([("a", []), ("b", [1]), ("c", [])])
            ],
            "parameters": {"content_type": "pd"},
        },
    ],
)
def test_values_are_the_same(servers: Servers, body: dict[str, Any]) -> None:
    alike(servers, body)


def test_a_thousand_rows_are_the_same(servers: Servers) -> None:
    rows = np.random.default_rng(1).normal(size=(1000, 3))
    alike(servers, request(rows.ravel().tolist(), shape=rows.shape))
    alike(servers, request(rows.astype(np.float32).ravel().tolist(), "FP32", rows.shape))


def test_an_id_is_echoed_and_a_missing_one_made_up(servers: Servers) -> None:
    ours, theirs = alike(servers, request(id="my own"))
    assert ours["id"] == theirs["id"] == "my own"
    ours, theirs = alike(servers, request())
    assert ours["id"]
    assert theirs["id"]


def test_a_version_answers_at_its_own_address(servers: Servers) -> None:
    alike(servers, request(), "/v2/models/m/versions/1/infer")


def test_without_a_choice_ours_gives_all_outputs_theirs_the_labels(servers: Servers) -> None:
    ours, theirs = (
        httpx.post(f"{base}/v2/models/m/infer", json=request()).json()
        for base in (servers.ours, servers.theirs)
    )
    assert [output["name"] for output in ours["outputs"]] == ["label", "probabilities"]
    assert [output["name"] for output in theirs["outputs"]] == ["predict"]
    assert ours["outputs"][0]["shape"] == [2]
    assert theirs["outputs"][0]["shape"] == [2, 1]


@pytest.mark.parametrize(
    "path",
    [
        "/v2",
        "/v2/health/live",
        "/v2/health/ready",
        "/v2/models/m",
        "/v2/models/m/versions/1",
        "/v2/models/m/ready",
        "/v2/models/m/versions/1/ready",
        "/v2/models/m/versions/9",
        "/v2/models/nobody",
        "/v2/models/nobody/ready",
        "/v2/models/m/infer",
        "/v2/nothing",
    ],
)
def test_addresses_answer_with_the_same_status_and_members(servers: Servers, path: str) -> None:
    ours, theirs = httpx.get(servers.ours + path), httpx.get(servers.theirs + path)
    assert ours.status_code == theirs.status_code
    if theirs.content and theirs.status_code == 200:
        assert set(theirs.json()) <= set(ours.json())
    if "error" in theirs.text:
        assert isinstance(ours.json()["error"], str)


@pytest.mark.parametrize("question", [{}, {"ready": True}, {"ready": False}])
def test_the_index_of_the_repository_is_the_same(servers: Servers, question: dict[str, bool]) -> None:
    ours, theirs = (
        httpx.post(f"{base}/v2/repository/index", json=question).json()
        for base in (servers.ours, servers.theirs)
    )
    assert ours == theirs


# What MLServer does with them: 500 is a fault without words, 200 an answer about other values than were sent.
REFUSED = [
    (request([None, *WHOLE[1:]]), 500),
    (request(WHOLE[:5]), 500),
    (request(WHOLE, shape=(3, 2)), 500),
    (request([], shape=(0, 3)), 500),
    (request(WHOLE[:3], shape=(3,)), 500),
    (request([300, *WHOLE[1:]], "INT8"), 500),
    (request([-1, *WHOLE[1:]], "UINT8"), 500),
    (request(["1", "0", "1", "2", "3", "4"], "BYTES"), 500),
    (request([1.5, *WHOLE[1:]], "INT64"), 200),
    (request(["1", *WHOLE[1:]]), 200),
    (request([[1, 2], [3, 4], [5, 6]]), 200),
    (request([True, False, True, False, False, True], "BOOL"), 200),
    (request(datatype="FP8"), 422),
    (request(id=5), 422),
    ({"inputs": []}, 400),
]


@pytest.mark.parametrize(("body", "theirs"), REFUSED)
def test_what_is_wrong_is_refused_with_words(servers: Servers, body: dict[str, Any], theirs: int) -> None:
    mine, other = infer(servers, body)
    assert (mine.status_code, other.status_code) == (422, theirs)
    assert mine.json()["field"]


NUMERIC = [np.float64, np.float32, np.float16, np.int64, np.int32, np.int16, np.int8]


def by_client(
    module: Any, client: Any, rows: npt.NDArray[Any], names: Any, **how: Any
) -> list[npt.NDArray[Any]]:
    given = module.InferInput("x", list(rows.shape), np_to_triton_dtype(rows.dtype))
    given.set_data_from_numpy(rows, **how)
    wanted = [module.InferRequestedOutput(name, **how) for name in names]
    answer = client.infer("m", [given], outputs=wanted, request_id="mine")
    response = answer.get_response()
    assert (response["id"] if isinstance(response, dict) else response.id) == "mine"
    return [answer.as_numpy(name) for name in names]


def same_arrays(ours: list[npt.NDArray[Any]], theirs: list[npt.NDArray[Any]]) -> None:
    (labels, probabilities), (their_labels, their_probabilities) = ours, theirs
    assert labels.dtype == their_labels.dtype
    assert labels.tolist() == their_labels.ravel().tolist()
    assert probabilities.dtype == their_probabilities.dtype
    equal_to_rounding(probabilities, their_probabilities)


@pytest.mark.parametrize("dtype", NUMERIC)
def test_grpc_gives_the_same_values(servers: Servers, dtype: Any) -> None:
    module = tritonclient.grpc
    rows = ROWS.astype(dtype)
    with (
        module.InferenceServerClient(servers.our_grpc) as ours,
        module.InferenceServerClient(servers.their_grpc) as theirs,
    ):
        same_arrays(
            by_client(module, ours, rows, list(NAMES.values())), by_client(module, theirs, rows, list(NAMES))
        )


@pytest.mark.parametrize("dtype", NUMERIC)
def test_binary_tensors_which_mlserver_does_not_read_give_what_its_json_gives(
    servers: Servers, dtype: Any
) -> None:
    module = tritonclient.http
    rows = ROWS.astype(dtype)
    ours = module.InferenceServerClient(servers.ours.removeprefix("http://"))
    theirs = module.InferenceServerClient(servers.theirs.removeprefix("http://"))
    binary = by_client(module, ours, rows, list(NAMES.values()), binary_data=True)
    same_arrays(binary, by_client(module, theirs, rows, list(NAMES), binary_data=False))
    with pytest.raises(InferenceServerException):
        by_client(module, theirs, rows, list(NAMES), binary_data=True)


def test_grpc_tells_the_same_about_server_and_model(servers: Servers) -> None:
    module = tritonclient.grpc
    told = []
    for address in (servers.our_grpc, servers.their_grpc):
        with module.InferenceServerClient(address) as client:
            index = client.get_model_repository_index().models
            told.append(
                (
                    client.is_server_live(),
                    client.is_server_ready(),
                    client.is_model_ready("m"),
                    client.is_model_ready("m", "1"),
                    client.get_model_metadata("m").name,
                    # MLServer's has the name of an enumeration before it.
                    [(entry.name, entry.version, entry.state.removeprefix("State.")) for entry in index],
                )
            )
            with pytest.raises(InferenceServerException) as refused:
                client.get_model_metadata("nobody")
            assert refused.value.status() == "StatusCode.NOT_FOUND"
    assert told[0] == told[1]
