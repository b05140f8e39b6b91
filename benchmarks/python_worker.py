"""One-row predictions of a model that is not compiled: in this process, in Tsavo's worker, and in its peers.

    python benchmarks/python_worker.py [--seconds 4] [--only here,tsavo,pipe,mlflow]

The same k-nearest-neighbours pipeline on 20 floats, asked for one row at a time, one request after another. `here`
is the model's own `predict` in this process, which all others add to. The peers: a child process behind a
`multiprocessing` pipe, which pickles rows and answers; and `mlflow models serve` (its scoring server, over HTTP on a
connection that is kept), in the environment of `requirements/bench-mlflow.txt`. Every answer is compared with the
model's own before anything is measured.

A second table asks a compiled model in the gateway's own process while a worker model hangs, leaks and exits without
a pause.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import multiprocessing
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import uvloop

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.servers import environment, running
from tsavo.runtimes import OnnxRuntime, PoolLimits, ProcessLimits, PythonRuntime, WorkerPool
from tsavo.vocabulary import Batch, Field, Lineage, Output, Signature, Unavailable, Version

COLUMNS = 20
SIGNATURE = Signature(
    tuple(Field(f"f{column}", "float64") for column in range(COLUMNS)),
    (Output("label", "int64"), Output("probabilities", "float64", 2)),
    "binary",
    (0, 1),
)
DEEDS = {
    "hangs": "time.sleep(1000)",
    "leaks": "KEPT.append(np.ones(20_000_000))",
    "exits": "os._exit(3)",
}
BAD = """
import os, time
import numpy as np
KEPT = []
def predict(columns: dict):
    {deed}
    return {{"value": columns["f0"]}}
"""


class Figures(NamedTuple):
    """Microseconds of one answer."""

    p50: float
    p99: float
    p999: float


def figures(times: list[float]) -> Figures:
    p50, p99, p999 = np.percentile(np.array(times) * 1e6, [50, 99, 99.9]).tolist()
    return Figures(p50, p99, p999)


def measure(ask: Callable[[], Any], seconds: float) -> Figures:
    times = []
    for _ in range(50):
        ask()
    end = time.perf_counter() + seconds
    while (started := time.perf_counter()) < end:
        ask()
        times.append(time.perf_counter() - started)
    return figures(times)


async def measure_async(ask: Callable[[], Awaitable[Any]], seconds: float) -> Figures:
    times = []
    for _ in range(50):
        await ask()
    end = time.perf_counter() + seconds
    while (started := time.perf_counter()) < end:
        await ask()
        times.append(time.perf_counter() - started)
    return figures(times)


def train(folder: Path) -> tuple[Any, Any]:
    import joblib
    from sklearn.datasets import make_classification
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rows, labels = make_classification(2000, COLUMNS, n_informative=10, random_state=0)
    model = make_pipeline(StandardScaler(), KNeighborsClassifier(5)).fit(rows, labels)
    joblib.dump(model, folder / "model.joblib")
    return model, rows[:1].copy()


def version(name: str, source_format: Any = "joblib", signature: Signature = SIGNATURE) -> Version:
    lineage = Lineage("me", "model", source_format, "s" * 64, "none", trusted_by="me")
    digests = ("d" * 64, "a" * 64)
    return Version(name, 1, *digests, 1, "python", signature, lineage, (), datetime(2026, 1, 1, tzinfo=UTC))


def here(folder: Path, model: Any, row: Any, seconds: float) -> Figures:
    """What Tsavo's worker asks a classifier for."""
    return measure(lambda: (model.predict(row), model.predict_proba(row)), seconds)


def tsavo(folder: Path, model: Any, row: Any, seconds: float) -> Figures:
    async def run() -> Figures:
        pool = WorkerPool(folder / "workers", lambda _own: Path(sys.executable))
        runtime = PythonRuntime(version("knn"), folder / "model.joblib", pool)
        batch = Batch(1, row)
        try:
            await runtime.warm()
            label, probabilities = await runtime.answer(batch)
            check(label.tolist() == model.predict(row).tolist())
            check(probabilities.tolist() == model.predict_proba(row).tolist())
            return await measure_async(lambda: runtime.answer(batch), seconds)
        finally:
            await pool.close()

    return uvloop.run(run())


def _serve(connection: Connection, path: Path) -> None:
    import joblib

    model = joblib.load(path)
    while True:
        row = connection.recv()
        connection.send((model.predict(row), model.predict_proba(row)))


def pipe(folder: Path, model: Any, row: Any, seconds: float) -> Figures:
    """A child process behind a pipe, with pickles; nothing is confined, limited, checked or restarted."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(
        target=_serve, args=(theirs, folder / "model.joblib"), daemon=True
    )
    process.start()

    def ask() -> Any:
        ours.send(row)
        return ours.recv()

    try:
        label, probabilities = ask()
        check(label.tolist() == model.predict(row).tolist())
        check(probabilities.tolist() == model.predict_proba(row).tolist())
        return measure(ask, seconds)
    finally:
        process.terminate()
        process.join()


def mlflow(folder: Path, model: Any, row: Any, seconds: float) -> Figures:
    """MLflow's scoring server, asked for probabilities only."""
    tools = environment("mlflow")
    saved = folder / "mlflow-model"
    save = (
        "import joblib, mlflow.sklearn, sys; "
        "mlflow.sklearn.save_model(joblib.load(sys.argv[1]), sys.argv[2], "
        "pyfunc_predict_fn='predict_proba', serialization_format='cloudpickle')"
    )
    subprocess.run(
        [tools / "python", "-c", save, folder / "model.joblib", saved], check=True, capture_output=True
    )
    words = [str(tools / "mlflow"), "models", "serve", "-m", str(saved), "--env-manager", "local"]
    path = f"{tools}:{os.environ['PATH']}"
    body = json.dumps({"inputs": row.tolist()})
    url = "http://127.0.0.1:8182/ping"
    with running([*words, "--port", "8182", "--workers", "1"], url, "0,1", env={**os.environ, "PATH": path}):
        connection = http.client.HTTPConnection("127.0.0.1", 8182, timeout=30)

        def ask() -> Any:
            connection.request("POST", "/invocations", body, {"Content-Type": "application/json"})
            return json.loads(connection.getresponse().read())["predictions"]

        check(ask() == model.predict_proba(row).tolist())
        return measure(ask, seconds)


def check(same: bool) -> None:
    if not same:
        raise SystemExit("an answer is not the model's own")


@contextmanager
def compiled(folder: Path) -> Iterator[OnnxRuntime]:
    """A model of a hundred trees, compiled as a registration does it."""
    import joblib
    from sklearn.datasets import make_classification
    from sklearn.ensemble import GradientBoostingClassifier

    from tsavo.runtimes import PrepareJob, prepare

    rows, labels = make_classification(1000, COLUMNS, n_informative=10, random_state=0)
    joblib.dump(GradientBoostingClassifier(random_state=0).fit(rows, labels), folder / "trees.joblib")
    made = prepare(PrepareJob(folder / "trees.joblib", "joblib", trusted=True), folder)
    check(made.artifact is not None)
    assert made.artifact is not None
    yield OnnxRuntime(made.artifact, made.signature)


def bundle(folder: Path, name: str) -> Path:
    import zipfile

    path = folder / f"{name}.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tsavo-python.json", json.dumps({"entry": "model:predict"}))
        archive.writestr("model.py", BAD.format(deed=DEEDS[name]))
    return path


def beside(folder: Path, seconds: float) -> dict[str, Figures]:
    """The compiled model on an event loop that also looks after models that misbehave."""

    async def run(runtime: OnnxRuntime) -> dict[str, Figures]:
        limits = PoolLimits(seconds=1.0, process=ProcessLimits(memory_bytes=500 << 20))
        pool = WorkerPool(folder / "bad-workers", lambda _own: Path(sys.executable), limits)
        batch = Batch(1, np.zeros((1, COLUMNS)))
        signature = Signature(SIGNATURE.inputs, (Output("value", "float64"),), "regression")

        async def ask() -> None:
            runtime.predict(batch)
            await asyncio.sleep(0)

        async def torment(model: PythonRuntime) -> None:
            while True:
                try:
                    await model.answer(batch)
                except Unavailable:
                    await asyncio.sleep(0.01)

        found = {"nothing else": await measure_async(ask, seconds)}
        for name in DEEDS:
            model = PythonRuntime(version(name, "python", signature), bundle(folder, name), pool)
            task = asyncio.ensure_future(torment(model))
            found[f"a worker model that {name}"] = await measure_async(ask, seconds)
            task.cancel()
            model.release()
        await pool.close()
        return found

    with compiled(folder) as runtime:
        return uvloop.run(run(runtime))


ROADS: dict[str, tuple[str, Callable[[Path, Any, Any, float], Figures]]] = {
    "here": ("in this process", here),
    "tsavo": ("Tsavo's Python worker", tsavo),
    "pipe": ("multiprocessing pipe, pickles", pipe),
    "mlflow": ("mlflow models serve", mlflow),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--only", default=",".join(ROADS))
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        model, row = train(folder)
        results = {
            name: ROADS[name][1](folder, model, row, arguments.seconds) for name in arguments.only.split(",")
        }
        others = beside(folder, arguments.seconds)
    print(f"One row at a time, k nearest neighbours on {COLUMNS} floats.")
    print(f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n")
    print("| road | p50 us | p99 us | p50 over the model's own, us |")
    print("|---|---:|---:|---:|")
    own = results["here"].p50 if "here" in results else float("nan")
    for name, found in results.items():
        print(f"| {ROADS[name][0]} | {found.p50:,.0f} | {found.p99:,.0f} | {found.p50 - own:,.0f} |")
    print("\nA compiled model in the gateway's own process, beside\n")
    print("| what runs beside it | p50 us | p99 us | p99.9 us |")
    print("|---|---:|---:|---:|")
    for title, found in others.items():
        print(f"| {title} | {found.p50:,.0f} | {found.p99:,.0f} | {found.p999:,.0f} |")


if __name__ == "__main__":
    main()
