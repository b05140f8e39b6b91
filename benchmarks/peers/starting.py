"""Starts each peer with the model, one worker."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.servers import HERE, Server, environment, infer_body, running

__all__ = ["PEERS", "TITLES"]

APPS = HERE / "peers"


def _environ(folder: Path, tools: Path) -> dict[str, str]:
    return {**os.environ, "MODEL": str(folder / "model.joblib"), "PATH": f"{tools}:{os.environ['PATH']}"}


def _rows(rows: Any) -> bytes:
    return json.dumps({"rows": rows.tolist()}).encode()


def _first(answer: Any) -> float:
    return float(answer["probabilities"][0][1])


@contextmanager
def echo(folder: Path, rows: Any) -> Iterator[Server]:
    """uvicorn with an application that does nothing: what HTTP alone costs in Python."""
    tools = environment("fastapi")
    words = ["echo_app:app", "--port", "8184", "--log-level", "warning", "--no-access-log"]
    options: dict[str, Any] = {"cwd": APPS, "env": _environ(folder, tools)}
    with running([str(tools / "uvicorn"), *words], "http://127.0.0.1:8184/", **options) as pid:
        yield Server("http://127.0.0.1:8184/", _rows(rows), lambda _: float("nan"), pid)


@contextmanager
def fastapi(folder: Path, rows: Any) -> Iterator[Server]:
    """A plain FastAPI app around the pickled model, as people write it; one uvicorn worker."""
    tools = environment("fastapi")
    words = ["fastapi_app:app", "--port", "8183", "--log-level", "warning", "--no-access-log"]
    options: dict[str, Any] = {"cwd": APPS, "env": _environ(folder, tools)}
    with running([str(tools / "uvicorn"), *words], "http://127.0.0.1:8183/docs", **options) as pid:
        yield Server("http://127.0.0.1:8183/predict", _rows(rows), _first, pid)


@contextmanager
def mlflow(folder: Path, rows: Any) -> Iterator[Server]:
    """``mlflow models serve``, one worker."""
    tools = environment("mlflow")
    saved = folder / "mlflow-model"
    save = (
        "import joblib, mlflow.sklearn, sys; "
        "mlflow.sklearn.save_model(joblib.load(sys.argv[1]), sys.argv[2], "
        "pyfunc_predict_fn='predict_proba', serialization_format='cloudpickle')"
    )
    if not saved.exists():
        subprocess.run(
            [tools / "python", "-c", save, folder / "model.joblib", saved], check=True, capture_output=True
        )
    words = [str(tools / "mlflow"), "models", "serve", "-m", str(saved), "--env-manager", "local"]
    options = ["--port", "8182", "--workers", "1"]
    environ = _environ(folder, tools)
    with running([*words, *options], "http://127.0.0.1:8182/ping", env=environ) as pid:
        body = json.dumps({"inputs": rows.tolist()}).encode()
        yield Server(
            "http://127.0.0.1:8182/invocations", body, lambda answer: float(answer["predictions"][0][1]), pid
        )


@contextmanager
def mlserver(folder: Path, rows: Any) -> Iterator[Server]:
    """MLServer with its scikit-learn runtime, in its own process (no parallel workers)."""
    tools = environment("mlserver")
    settings = {
        "http_port": 8185,
        "grpc_port": 8285,
        "metrics_port": 8385,
        "parallel_workers": 0,
        "debug": False,
    }
    model = {
        "name": "bench",
        "implementation": "mlserver_sklearn.SKLearnModel",
        "parameters": {"uri": str(folder / "model.joblib"), "version": "1"},
    }
    home = folder / "mlserver"
    home.mkdir(exist_ok=True)
    (home / "settings.json").write_text(json.dumps(settings))
    (home / "model-settings.json").write_text(json.dumps(model))
    words = [str(tools / "mlserver"), "start", str(home)]
    ready = "http://127.0.0.1:8185/v2/models/bench/ready"
    with running(words, ready, env=_environ(folder, tools)) as pid:
        tensor = {"name": "x", "shape": list(rows.shape), "datatype": "FP64", "data": rows.ravel().tolist()}
        body = json.dumps({"inputs": [tensor], "outputs": [{"name": "predict_proba"}]}).encode()
        yield Server(
            "http://127.0.0.1:8185/v2/models/bench/infer",
            body,
            lambda answer: float(answer["outputs"][0]["data"][1]),
            pid,
        )


@contextmanager
def bentoml(folder: Path, rows: Any) -> Iterator[Server]:
    """A BentoML service, one worker."""
    tools = environment("bentoml")
    words = [
        str(tools / "bentoml"),
        "serve",
        "bentoml_service:Bench",
        "--port",
        "8187",
        "--working-dir",
        str(APPS),
    ]
    environ = {
        **_environ(folder, tools),
        "BENTOML_HOME": str(folder / "bentoml"),
        "BENTOML_DO_NOT_TRACK": "True",
    }
    with running(words, "http://127.0.0.1:8187/readyz", cwd=APPS, env=environ) as pid:
        yield Server("http://127.0.0.1:8187/predict", _rows(rows), _first, pid)


@contextmanager
def litserve(folder: Path, rows: Any) -> Iterator[Server]:
    """LitServe, one worker, without batching."""
    tools = environment("litserve")
    words = [str(tools / "python"), str(APPS / "litserve_app.py"), "8189"]
    with running(words, "http://127.0.0.1:8189/health", env=_environ(folder, tools)) as pid:
        yield Server("http://127.0.0.1:8189/predict", _rows(rows), _first, pid)


@contextmanager
def ray(folder: Path, rows: Any) -> Iterator[Server]:
    """Ray Serve, one replica."""
    tools = environment("ray")
    words = [str(tools / "python"), str(APPS / "ray_app.py"), "8191"]
    environ = {**_environ(folder, tools), "RAY_USAGE_STATS_ENABLED": "0", "RAY_DISABLE_IMPORT_WARNING": "1"}
    with running(words, "http://127.0.0.1:8191/-/healthz", env=environ) as pid:
        yield Server("http://127.0.0.1:8191/predict", _rows(rows), _first, pid)


@contextmanager
def pytriton(folder: Path, rows: Any) -> Iterator[Server]:
    """Triton with its dynamic batching; pytriton runs in the system's own Python only."""
    tools = environment("pytriton", "/usr/bin/python3")
    words = [str(tools / "python"), str(APPS / "pytriton_app.py"), "8193"]
    ready = "http://127.0.0.1:8193/v2/models/bench/ready"
    with running(words, ready, env=_environ(folder, tools)) as pid:
        yield Server(
            "http://127.0.0.1:8193/v2/models/bench/infer",
            infer_body(rows),
            lambda answer: float(answer["outputs"][0]["data"][1]),
            pid,
        )


PEERS = {
    "echo": echo,
    "fastapi": fastapi,
    "mlflow": mlflow,
    "mlserver": mlserver,
    "bentoml": bentoml,
    "litserve": litserve,
    "ray": ray,
    "pytriton": pytriton,
}
TITLES = {
    "echo": "bare uvicorn, no model",
    "fastapi": "FastAPI + scikit-learn",
    "mlflow": "mlflow models serve",
    "mlserver": "MLServer",
    "bentoml": "BentoML",
    "litserve": "LitServe",
    "ray": "Ray Serve",
    "pytriton": "Triton (pytriton)",
}
