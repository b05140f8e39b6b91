"""MLflow's scoring protocol, compared with MLflow's own server and client."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import uvicorn

from tests.endpoints.test_serving import ONE
from tests.environments import mlflow_environment
from tests.rest.scoring_world import NAMES, RECORDS, ROWS, Scene, texts, with_scene
from tests.rest.served import HTTP
from tsavo.vocabulary import Batch, Damaged, Field, Output, Route, Signature

PROGRAM = Path(__file__).with_name("mlflow_protocol.py")
INVOCATIONS = "/endpoints/e/invocations"
JSON = {"content-type": "application/json"}
CSV = {"content-type": "text/csv"}

FIELDS = (
    Field("age", "int64"),
    Field("income", "float64", nullable=True),
    Field("member", "bool"),
    Field("city", "string", nullable=True),
)
FRAME = pd.DataFrame(
    {
        "age": [31, 58, -4],
        "income": [10.1, np.nan, 0.3],
        "member": [True, False, True],
        # No text is missing: MLflow's server makes the text 'None' of it in some forms, ours leaves it missing.
        "city": ["voi", 'Genève, "old"', "ham"],
    }
)


class Answers:
    """The models of mlflow_protocol.py, as a runtime gives their outputs."""

    def __init__(self, kind: str) -> None:
        outputs = {
            "labels": (Output("label", "string"), Output("probabilities", "float64", 2)),
            "values": (Output("value", "float64"),),
            "table": (Output("value", "float64"), Output("city", "string")),
        }
        self.kind = kind
        self.signature = Signature(FIELDS, outputs[kind], "generic")

    def predict(self, batch: Batch) -> tuple[npt.NDArray[Any], ...]:
        age, income, member, city = batch.columns
        value = age / 2 + np.nan_to_num(income) * member
        if self.kind == "values":
            return (value,)
        if self.kind == "table":
            return value, city
        return texts(*np.where(value > 20, "high", "low").tolist()), np.stack([value, value], axis=1)


def requests() -> list[tuple[str, str]]:
    """The same rows in every form that MLflow's server takes, by content type."""
    rows = json.loads(FRAME.to_json(orient="records"))
    split = json.loads(FRAME.to_json(orient="split"))
    columns = {name: [row[name] for row in rows] for name in FRAME}
    forms: list[dict[str, Any]] = [
        {"dataframe_split": split},
        {"dataframe_split": {key: split[key] for key in ("columns", "data")}, "params": {}},
        {"dataframe_records": rows, "params": None},
        {"dataframe_records": rows[:1], "client_request_id": "7"},
        {"instances": rows},
        {"inputs": columns},
        {"inputs": rows},
    ]
    bodies = [("application/json; charset=utf-8", json.dumps(form)) for form in forms]
    # Python's own encoder writes NaN for a missing number.
    bodies.append(("application/json", json.dumps({"dataframe_split": FRAME.to_dict(orient="split")})))
    return [*bodies, ("text/csv", FRAME.to_csv(index=False))]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("mlflow")


@pytest.mark.timeout(600)
def test_mlflows_own_server_answers_the_same_and_its_client_works_unmodified(folder: Path) -> None:
    python = mlflow_environment(folder / "environment")
    (folder / "requests.json").write_text(json.dumps(requests()))
    FRAME.to_parquet(folder / "rows.parquet")

    async def served(scene: Scene) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(
            uvicorn.Config(scene.gateway, http=HTTP, lifespan="off", log_config=None, ws="none")
        )
        serving = asyncio.create_task(server.serve([listener]))
        port = listener.getsockname()[1]
        try:
            await asyncio.to_thread(run, python, str(folder), str(port))
        finally:
            server.should_exit = True
            await serving

    records = with_scene(folder, served, Answers("labels"))
    told = json.loads((folder / "answers.json").read_text())
    labels = {"0": ["high", "high", "low"]}
    assert told["client"] == {
        "version": version("tsavo"),
        "frame": labels,
        "empty params": labels,
        "list": labels,
    }
    assert len(records) == 3
    for kind in ("labels", "values", "table"):
        compare(folder / f"again-{kind}", kind, told[kind])


def run(python: Path, *words: str) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MLFLOW_")}
    done = subprocess.run(
        [python, PROGRAM, *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        cwd=words[0],
        env={**environment, "MLFLOW_TRACKING_URI": f"sqlite:///{words[0]}/mlflow.db"},
    )
    assert done.returncode == 0, done.stderr


def compare(journal: Path, kind: str, told: list[Any]) -> None:
    journal.mkdir()

    async def test(scene: Scene) -> None:
        for (content_type, body), (status, response) in zip(requests(), told, strict=True):
            assert status == 200
            answer = await scene.post(
                INVOCATIONS, content=body.encode(), headers={"content-type": content_type}
            )
            assert answer.headers["content-type"] == "application/json"
            expected = json.loads(response, parse_constant=lambda _: None)
            assert answer.json() == expected

    with_scene(journal, test, Answers(kind))


def test_health_and_version_for_load_balancers(tmp_path: Path) -> None:
    async def test(scene: Scene) -> None:
        for path in ("/endpoints/e/ping", "/endpoints/e/health", "/ping", "/health"):
            answer = await scene.get(path)
            assert answer.content == b"\n"
            assert (await scene.client.head(path)).status_code == 200
        for path in ("/endpoints/e/version", "/version"):
            answer = await scene.get(path)
            assert answer.text == version("tsavo")
            assert answer.headers["content-type"].startswith("text/plain")
        for path in ("ping", "health", "version"):
            await scene.get(f"/endpoints/nobody/{path}", status=404)

    with_scene(tmp_path, test)


def test_who_cannot_answer_is_not_healthy(tmp_path: Path) -> None:
    async def test(scene: Scene) -> None:
        for path in ("/endpoints/e/ping", "/endpoints/e/health", "/ping", "/health"):
            assert (await scene.get(path, status=503)).json()["reason"] == "its file is gone"

    with_scene(tmp_path, test, Damaged("its file is gone"))


def test_the_plain_addresses_are_the_only_endpoints(tmp_path: Path) -> None:
    body = json.dumps({"dataframe_records": RECORDS})

    async def test(scene: Scene) -> None:
        named = await scene.post(INVOCATIONS, content=body, headers=JSON)
        assert (await scene.post("/invocations", content=body, headers=JSON)).json() == named.json()
        scene.world.plane.apply([Route("second", 2, ONE)])
        for path in ("/ping", "/health"):
            problem = (await scene.get(path, status=404)).json()
            assert problem["next_step"] == f"use /endpoints/{{endpoint}}{path}"
        problem = (await scene.post("/invocations", content=body, headers=JSON, status=404)).json()
        assert problem["next_step"] == "use /endpoints/{endpoint}/invocations"
        assert (await scene.get("/version")).text == version("tsavo")

    assert len(with_scene(tmp_path, test)) == 2


def test_where_an_answer_came_from_is_in_its_headers(tmp_path: Path) -> None:
    async def test(scene: Scene) -> None:
        answer = await scene.post(INVOCATIONS, content=json.dumps({"instances": ROWS}), headers=JSON)
        ids.append(answer.headers["x-tsavo-decision-id"])
        assert answer.headers["x-tsavo-version"] == "m@1"
        assert answer.headers["x-tsavo-role"] == "champion"
        assert answer.headers["x-tsavo-flags"] == "unseen:city"

    ids: list[str] = []
    (record,) = with_scene(tmp_path, test)
    assert ids == [f"{record.request}:0"]


@pytest.mark.parametrize(
    ("body", "headers", "status", "field"),
    [
        ("", JSON, 400, "body"),
        ("{}", JSON, 422, "body"),
        ("[]", JSON, 422, "body"),
        (json.dumps({"instances": ROWS, "inputs": ROWS}), JSON, 422, "body"),
        (json.dumps({"instances": []}), JSON, 422, "instances"),
        (json.dumps({"inputs": {}}), JSON, 422, "inputs"),
        (json.dumps({"inputs": 5}), JSON, 422, "inputs"),
        (json.dumps({"instances": ROWS, "params": {"depth": 1}}), JSON, 422, "params.depth"),
        (json.dumps({"dataframe_split": {"columns": NAMES}}), JSON, 422, "dataframe_split"),
        (json.dumps({"dataframe_split": {"data": ROWS, "rows": 1}}), JSON, 422, "dataframe_split"),
        (
            json.dumps({"dataframe_split": {"columns": NAMES[1:], "data": ROWS}}),
            JSON,
            422,
            "dataframe_split.data[0]",
        ),
        (json.dumps({"dataframe_records": [RECORDS[0], {}]}), JSON, 422, "dataframe_records[1].age"),
        (json.dumps({"dataframe_records": [1]}), JSON, 422, "dataframe_records[0]"),
        ("age\n1\n", CSV, 422, "inputs.income"),
        ("age\n1,2\n", CSV, 400, "body"),
        (json.dumps({"instances": ROWS}), {"content-type": "application/x-npy"}, 400, "Content-Type"),
        ("", {"content-type": "application/vnd.apache.arrow.stream"}, 400, "Content-Type"),
    ],
)
def test_bad_requests_name_the_field(
    tmp_path: Path, body: str, headers: dict[str, str], status: int, field: str
) -> None:
    async def test(scene: Scene) -> None:
        answer = await scene.post(INVOCATIONS, content=body, headers=headers, status=status)
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["field"] == field

    assert with_scene(tmp_path, test) == []


def test_rows_without_column_names_have_the_order_of_the_signature(tmp_path: Path) -> None:
    async def test(scene: Scene) -> None:
        for form in ({"dataframe_split": {"data": ROWS}}, {"inputs": ROWS}, {"instances": RECORDS}):
            answer = await scene.post(INVOCATIONS, content=json.dumps(form), headers=JSON)
            assert answer.json() == {"predictions": ["yes", "yes", "no"]}
            # No content type at all is JSON.
            assert (await scene.post(INVOCATIONS, content=json.dumps(form))).json() == answer.json()

    with_scene(tmp_path, test)
