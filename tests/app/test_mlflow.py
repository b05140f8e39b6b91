"""Models that the real mlflow package saved answer here as ``mlflow.pyfunc.load_model(...).predict`` does."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import tsavo
from tests.app.conftest import Running
from tests.environments import ROOT, mlflow_environment
from tsavo.client import Registered
from tsavo.vocabulary import NotFound, Unavailable, Untrusted

PROGRAM = Path(__file__).with_name("mlflow_models.py")
BESIDE = ("xgboost-cpu", "lightgbm")
ANSWERS_LIKE = {
    "sklearn": "label",
    "sklearn-bare": "value",
    "xgboost": "label",
    "xgboost-booster": "value",
    "lightgbm": "label",
    "lightgbm-booster": "value",
}


def pinned(names: tuple[str, ...]) -> str:
    """What requirements/check.txt pins for these libraries, with its hashes."""
    text = (ROOT / "requirements" / "check.txt").read_text()
    blocks = re.split(r"\n(?=[A-Za-z0-9])", text)
    return "\n".join(block for block in blocks if block.startswith(tuple(f"{name}==" for name in names)))


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with MLflow and the libraries of the models, which is not Tsavo's own."""
    folder = tmp_path_factory.mktemp("mlflow")
    (folder / "beside.txt").write_text(pinned(BESIDE))
    words = ["--no-deps", "--require-hashes", "-r", str(folder / "beside.txt")]
    return mlflow_environment(folder / "environment", *words)


def environment() -> dict[str, str]:
    """Without settings of MLflow's; and it may keep what it compiles, which takes it seconds at every start."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("MLFLOW_") and name != "PYTHONDONTWRITEBYTECODE"
    }


def run(python: Path, *words: str) -> None:
    done = subprocess.run(
        [python, PROGRAM, *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        # Not into the working folder, where MLflow would keep its own records.
        cwd=words[0],
        env={**environment(), "MLFLOW_TRACKING_URI": f"sqlite:///{words[0]}/mlflow.db"},
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def saved(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders that MLflow saved, and its own answers in answers.json."""
    folder = tmp_path_factory.mktemp("saved")
    run(python, str(folder))
    return folder


@pytest.fixture(scope="module")
def client(running: Running) -> Iterator[tsavo.Client]:
    with tsavo.connect(running.console) as client:
        yield client


def deployed(client: tsavo.Client, registered: Registered, rows: pd.DataFrame) -> dict[str, Any]:
    scores = client.deploy(registered).score(rows)
    return {name: values.tolist() for name, values in scores.outputs.items()}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", sorted(ANSWERS_LIKE))
def test_native_models_answer_as_mlflow_does(name: str, saved: Path, client: tsavo.Client) -> None:
    told = json.loads((saved / "answers.json").read_text())[name]
    rows = pd.read_parquet(saved / f"{told['rows']}.parquet")
    # No trust: MLflow's default formats of these carry no code.
    registered = client.register(saved / name, name=f"mlflow-{name}")
    version = registered.version
    assert version.lineage.source_format == "mlflow"
    assert version.lineage.trusted_by is None
    assert version.environment is None
    assert [field.name for field in version.signature.inputs] == list(rows.columns)
    # A few rows of an example are no data to compare live traffic with.
    assert version.reference is None
    answers = deployed(client, registered, rows)[ANSWERS_LIKE[name]]
    np.testing.assert_allclose(answers, told["answers"][""], rtol=1e-6, atol=1e-6)


@pytest.mark.timeout(600)
def test_a_function_answers_as_mlflow_does_in_an_environment_of_its_own(
    saved: Path, client: tsavo.Client
) -> None:
    with pytest.raises(Untrusted):
        client.register(saved / "function", name="mlflow-function")
    registered = client.register(saved / "function", name="mlflow-function", trust=True)
    version = registered.version
    assert version.runtime == "python"
    assert version.lineage.trusted_by is not None
    assert version.environment is not None
    assert "six==1.17.0" in version.environment.requirements
    told = json.loads((saved / "answers.json").read_text())["function"]["answers"]
    answers = deployed(client, registered, pd.read_parquet(saved / "table.parquet"))
    assert answers["size"] == told["size"]
    np.testing.assert_array_equal(answers["ratio"], told["ratio"])


@pytest.fixture(scope="module")
def server(python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real ``mlflow server``, with its records in SQLite."""
    folder = tmp_path_factory.mktemp("server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    where = [
        "--backend-store-uri",
        f"sqlite:///{folder}/mlflow.db",
        "--artifacts-destination",
        f"{folder}/kept",
    ]
    words = ["server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1", *where]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [python, "-m", "mlflow", *words],
            cwd=folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**environment(), "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"},
        )
    try:
        _await(f"http://127.0.0.1:{port}/health", process, folder / "log")
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _await(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    pytest.fail(f"MLflow's server did not start:\n{log.read_text()[-2000:]}")


@pytest.mark.timeout(600)
def test_models_of_a_live_server(
    python: Path, server: str, running: Running, client: tsavo.Client, tmp_path: Path
) -> None:
    pytest.importorskip("mlflow", reason="needs the extra 'mlflow'")
    run(python, str(tmp_path), server)
    told = json.loads((tmp_path / "logged.json").read_text())
    rows = pd.read_parquet(tmp_path / "logged.parquet")
    # By the registry's name through the command line, with the address given; by its run, with it in the environment.
    first = running.tsavo("register", "models:/tumour/1", "--name", "tumour", "--tracking-uri", server)
    version = client.version("tumour@1")
    assert first["new"]
    assert version.lineage.source_name == f"models:/tumour/1 (run {told['run']})"
    assert deployed(client, Registered(version, new=True), rows)["label"] == told["answers"]
    for uri in (told["uri"], f"runs:/{told['run']}/tumour"):
        again = client.register(uri, name="tumour", tracking_uri=server)
        assert again.version.lineage.source_digest == version.lineage.source_digest
    with pytest.raises((NotFound, Unavailable), match="MLflow"):
        client.register("models:/nobody/1", name="nobody", tracking_uri=server)
