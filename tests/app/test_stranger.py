"""A stranger's pipeline, from file to HTTP, gives the answers that scikit-learn gives."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import joblib
import numpy as np
import pandas as pd
import pytest

from tests.app.conftest import Running, tsavo
from tests.app.models import strangers_pipeline, strangers_table

DATATYPES = {"age": "INT64", "income": "FP64", "city": "BYTES", "balance": "FP64", "plan": "BYTES"}


class Stranger(NamedTuple):
    running: Running
    url: str
    pipeline: Any


@pytest.fixture(scope="module")
def stranger(running: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stranger]:
    folder = tmp_path_factory.mktemp("stranger")
    table, target = strangers_table(3000)
    pipeline = strangers_pipeline(table, target)
    joblib.dump(pipeline, folder / "model.joblib")
    table.assign(target=target).to_parquet(folder / "reference.parquet")
    words = ["--name", "stranger", "--reference", str(folder / "reference.parquet"), "--target", "target"]
    version = running.tsavo("register", str(folder / "model.joblib"), *words, "--trust")["version"]
    assert all(check["passed"] for check in version["checks"])
    assert version["lineage"]["trusted_by"]
    running.tsavo("deploy", "stranger")
    yield Stranger(running, f"{running.gateway}/v2/models/stranger/infer", pipeline)


def values(column: pd.Series) -> list[Any]:
    return [None if value is None or value != value else value for value in column.tolist()]


def request(table: pd.DataFrame) -> dict[str, Any]:
    return {
        "inputs": [
            {"name": name, "shape": [len(table)], "datatype": kind, "data": values(table[name])}
            for name, kind in DATATYPES.items()
        ]
    }


def ask(url: str, body: Any, status: int = 200) -> Any:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = httpx.post(url, content=content, timeout=30)
    assert answer.status_code == status, answer.text
    assert "Traceback" not in answer.text
    return answer.json()


@pytest.mark.parametrize("rows", [1000, 1])
def test_probabilities_equal_predict_proba_through_http(stranger: Stranger, rows: int) -> None:
    table, _ = strangers_table(1000, seed=1)
    expected = stranger.pipeline.predict_proba(table)
    parts = []
    for start in range(0, 1000 if rows == 1000 else 50, rows):
        answer = ask(stranger.url, request(table.iloc[start : start + rows]))
        outputs = {output["name"]: output for output in answer["outputs"]}
        parts.append(np.reshape(outputs["probabilities"]["data"], outputs["probabilities"]["shape"]))
    given = np.concatenate(parts)
    np.testing.assert_allclose(given, expected[: len(given)], atol=1e-5, rtol=0)


def test_every_row_of_a_request_is_a_decision(stranger: Stranger) -> None:
    table, _ = strangers_table(3, seed=2)
    answer = ask(stranger.url, request(table))
    first = answer["parameters"]["decision_id"].removesuffix(":0")
    found = stranger.running.tsavo(
        "sql",
        f"select decision_id, age, city, probabilities from stranger where decision_id like '{first}%' order by 1",
    )
    assert [row["decision_id"] for row in found] == [f"{first}:{row}" for row in range(3)]
    assert [row["age"] for row in found] == table["age"].tolist()
    assert [row["city"] for row in found] == values(table["city"])


WRONG: dict[str, tuple[Any, int, str]] = {
    "missing column": (lambda body: body["inputs"].pop(0), 422, "inputs.age"),
    "wrong type": (lambda body: body["inputs"][0].update(data=["old"]), 422, "inputs.age"),
    "null where none is taken": (lambda body: body["inputs"][0].update(data=[None]), 422, "inputs.age"),
    "empty batch": (lambda body: [t.update(shape=[0], data=[]) for t in body["inputs"]], 422, "inputs.age"),
    "unknown output": (lambda body: body.update(outputs=[{"name": "x"}]), 422, "outputs"),
}


@pytest.mark.parametrize("what", WRONG)
def test_wrong_requests_name_the_field(stranger: Stranger, what: str) -> None:
    spoil, status, field = WRONG[what]
    body = request(strangers_table(1, seed=3)[0])
    spoil(body)
    problem = ask(stranger.url, body, status)
    assert problem["status"] == status
    assert problem["field"].startswith(field)
    assert problem["detail"]


def test_an_unseen_category_is_answered_and_flagged(stranger: Stranger) -> None:
    table, _ = strangers_table(2, seed=3)
    table["city"] = ["voi", "atlantis"]
    assert ask(stranger.url, request(table))["parameters"]["row_flags"] == {"1": ["unseen:city"]}


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"inputs": [NaN]}', b"[]"])
def test_what_is_not_a_request_is_a_400_or_422(stranger: Stranger, body: bytes) -> None:
    answer = httpx.post(stranger.url, content=body)
    assert answer.status_code in (400, 422)
    assert answer.headers["content-type"] == "application/problem+json"


def test_an_unknown_endpoint_is_a_404(stranger: Stranger) -> None:
    problem = ask(stranger.url.replace("stranger", "strange"), request(strangers_table(1)[0]), 404)
    assert problem["field"] == "endpoint"
    assert problem["found"] == "'strange'"


def test_a_body_of_100_mb_is_a_413(stranger: Stranger) -> None:
    assert ask(stranger.url, b"x" * 100_000_000, 413)["kind"] == "too-large"
    # The gateway is none the worse for it.
    ask(stranger.url, request(strangers_table(1)[0]))


def test_metadata_tells_how_to_ask(stranger: Stranger) -> None:
    told = httpx.get(stranger.url.removesuffix("/infer")).json()
    assert {tensor["name"]: tensor["datatype"] for tensor in told["inputs"]} == DATATYPES
    assert [output["name"] for output in told["outputs"]] == ["label", "probabilities"]
    assert httpx.get(stranger.url.replace("/infer", "/ready")).status_code == 200


def test_files_that_cannot_be_registered(running: Running, tmp_path: Path) -> None:
    good, _ = strangers_table(50)
    joblib.dump(strangers_pipeline(*strangers_table(50), trees=2), tmp_path / "model.joblib")
    good.to_parquet(tmp_path / "reference.parquet")
    whole = (tmp_path / "model.joblib").read_bytes()
    (tmp_path / "cut.joblib").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "noise.onnx").write_bytes(b"not a model at all" * 100)
    (tmp_path / "empty").touch()
    home = ["--home", str(running.home)]
    reference = ["--reference", str(tmp_path / "reference.parquet")]
    for file, options, said in [
        ("model.joblib", reference, "--trust"),
        ("cut.joblib", [*reference, "--trust"], ""),
        ("noise.onnx", reference, ""),
        ("empty", reference, ""),
        ("nowhere.onnx", reference, "nowhere.onnx"),
    ]:
        done = tsavo("register", str(tmp_path / file), "--name", "bad", *options, *home)
        assert done.returncode == 1, (file, done.stdout)
        assert said in done.stderr
        assert "Traceback" not in done.stderr, done.stderr
    assert tsavo("show", "bad", *home).returncode == 1
