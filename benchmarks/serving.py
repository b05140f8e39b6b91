"""One-row requests over HTTP: Tsavo (recording on), Tsavo without its journal, MLflow, FastAPI + scikit-learn.

    python benchmarks/serving.py [--seconds 8] [--only tsavo,mlflow,...]

Every server runs one worker pinned to one core; wrk sends from another core. The model is the same for all: a
gradient boosting of 100 trees on 20 floats. Every server's answer to one row is compared with scikit-learn's
before anything is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
BENCH = ROOT / ".bench"
HERE = Path(__file__).resolve().parent
COLUMNS = 20
SERVER_CORE, LOAD_CORE = "0", "1"


class Figures(NamedTuple):
    """What wrk measured."""

    requests_per_second: float
    p50_ms: float
    p99_ms: float
    failures: int


class Server(NamedTuple):
    """A running server: where to send which body, and how to read a probability from its answer."""

    url: str
    body: bytes
    probability: Callable[[Any], float]


def train(folder: Path) -> tuple[Any, Any]:
    """The model, and the row that is asked for."""
    import joblib
    import numpy as np
    from sklearn.datasets import make_classification
    from sklearn.ensemble import GradientBoostingClassifier

    rows, labels = make_classification(4000, COLUMNS, n_informative=10, random_state=0)
    model = GradientBoostingClassifier(n_estimators=100, random_state=0).fit(rows, labels)
    joblib.dump(model, folder / "model.joblib")
    np.save(folder / "rows.npy", rows[:1000])
    return model, rows[0]


def environment(name: str) -> Path:
    """A virtual environment with the peer's pinned requirements; made once."""
    folder = BENCH / name
    requirements = ROOT / "requirements" / f"bench-{name}.txt"
    mark = folder / "installed"
    if not mark.exists() or mark.read_text() != requirements.read_text():
        print(f"installing {name} into {folder.relative_to(ROOT)} ...", flush=True)
        uv = [sys.executable, "-m", "uv"]
        subprocess.run(
            [*uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder)], check=True
        )
        install = ["pip", "install", "--quiet", "--require-hashes", "-r", str(requirements)]
        subprocess.run([*uv, *install, "--python", str(folder / "bin/python")], check=True)
        mark.write_text(requirements.read_text())
    return folder / "bin"


@contextmanager
def running(words: list[str], url: str, core: str = SERVER_CORE, **options: Any) -> Iterator[int]:
    """A server process pinned to a core, from the moment it answers until the block ends."""
    log = tempfile.TemporaryFile()  # noqa: SIM115 -- lives as long as the process
    process = subprocess.Popen(
        ["taskset", "-c", core, *words], stdout=log, stderr=log, start_new_session=True, **options
    )
    try:
        wait_for(url, process, log)
        yield process.pid
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)


def wait_for(url: str, process: subprocess.Popen[bytes], log: Any) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except urllib.error.HTTPError:
            return
        except OSError:
            if process.poll() is not None:
                break
            time.sleep(0.1)
    log.seek(0)
    raise SystemExit(f"a server did not start at {url}:\n{log.read().decode()[-2000:]}")


def infer_body(row: Any) -> bytes:
    tensor = {"name": "input", "shape": [1, COLUMNS], "datatype": "FP64", "data": row.tolist()}
    return json.dumps({"inputs": [tensor]}).encode()


@contextmanager
def tsavo(folder: Path, row: Any) -> Iterator[Server]:
    """The product as it is.

    The gateway worker has the server's core; the keeper and the console, which no peer has,
    share the other one with the load.
    """
    home = folder / "home"
    words = [
        sys.executable,
        "-m",
        "tsavo",
        "up",
        "--home",
        str(home),
        "--port",
        "8180",
        "--console-port",
        "8190",
    ]
    with running(words, "http://127.0.0.1:8190/api/status", core=LOAD_CORE):
        gateway = subprocess.run(
            ["pgrep", "-f", f"gateway_process --home {home}"], capture_output=True, check=True
        )
        subprocess.run(
            ["taskset", "-a", "-p", "-c", SERVER_CORE, gateway.stdout.decode().strip()],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        tool = [sys.executable, "-m", "tsavo"]
        options = ["--home", str(home)]
        reference = folder / "rows.parquet"
        write_reference(folder, reference)
        given = ["--reference", str(reference)]
        subprocess.run(
            [*tool, "register", str(folder / "model.joblib"), "--name", "bench", "--trust", *given, *options],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        subprocess.run([*tool, "deploy", "bench", *options], check=True, stdout=subprocess.DEVNULL)
        time.sleep(1)
        yield Server("http://127.0.0.1:8180/v2/models/bench/infer", infer_body(row), second_probability)


def write_reference(folder: Path, path: Path) -> None:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = np.load(folder / "rows.npy")
    pq.write_table(pa.table({f"f{column}": rows[:, column] for column in range(COLUMNS)}), path)


def second_probability(answer: Any) -> float:
    return next(float(o["data"][1]) for o in answer["outputs"] if o["name"] == "probabilities")


@contextmanager
def tsavo_without_journal(folder: Path, row: Any) -> Iterator[Server]:
    """The same gateway with a recorder that keeps nothing; exists only here, to price the journal."""
    words = [sys.executable, str(HERE / "gateway_without_journal.py"), str(folder / "home"), "8181"]
    with running(words, "http://127.0.0.1:8181/v2/health/ready"):
        yield Server("http://127.0.0.1:8181/v2/models/bench/infer", infer_body(row), second_probability)


@contextmanager
def mlflow(folder: Path, row: Any) -> Iterator[Server]:
    """``mlflow models serve``, one worker."""
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
    options = ["--port", "8182", "--workers", "1"]
    with running([*words, *options], "http://127.0.0.1:8182/ping", env={**os.environ, "PATH": path}):
        body = json.dumps({"inputs": [row.tolist()]}).encode()
        yield Server(
            "http://127.0.0.1:8182/invocations", body, lambda answer: float(answer["predictions"][0][1])
        )


@contextmanager
def fastapi(folder: Path, row: Any) -> Iterator[Server]:
    """A plain FastAPI app around the pickled model, as people write it; one uvicorn worker."""
    tools = environment("fastapi")
    words = [
        str(tools / "uvicorn"),
        "fastapi_app:app",
        "--port",
        "8183",
        "--log-level",
        "warning",
        "--no-access-log",
    ]
    options: dict[str, Any] = {"cwd": HERE, "env": {**os.environ, "MODEL": str(folder / "model.joblib")}}
    with running(words, "http://127.0.0.1:8183/docs", **options):
        body = json.dumps({"rows": [row.tolist()]}).encode()
        yield Server(
            "http://127.0.0.1:8183/predict", body, lambda answer: float(answer["probabilities"][0][1])
        )


def check(server: Server, expected: float) -> None:
    """The server gives scikit-learn's answer, or the benchmark ends here."""
    request = urllib.request.Request(server.url, server.body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as response:
        given = server.probability(json.load(response))
    if abs(given - expected) > 1e-5:
        raise SystemExit(f"{server.url} answers {given}, scikit-learn {expected}")


def load(server: Server, connections: int, seconds: int, folder: Path) -> Figures:
    """Send from the other core for some seconds."""
    script = folder / "post.lua"
    body = folder / "body.json"
    body.write_bytes(server.body)
    script.write_text(
        f'local f = io.open("{body}", "rb")\nwrk.body = f:read("*a")\nf:close()\n'
        'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\n'
        "done = function(summary, latency, requests)\n"
        '  io.write(string.format("FIGURES %f %f %f %d\\n", summary.requests / summary.duration * 1e6,\n'
        "    latency:percentile(50) / 1000, latency:percentile(99) / 1000,\n"
        "    summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.timeout))\nend\n"
    )
    words = [
        "taskset",
        "-c",
        LOAD_CORE,
        "wrk",
        "-t1",
        f"-c{connections}",
        f"-d{seconds}s",
        "-s",
        str(script),
        server.url,
    ]
    said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    found = re.search(r"FIGURES (\S+) (\S+) (\S+) (\d+)", said)
    if found is None:
        raise SystemExit(f"wrk said:\n{said}")
    return Figures(float(found[1]), float(found[2]), float(found[3]), int(found[4]))


SERVERS: dict[str, Any] = {
    "tsavo": tsavo,
    "tsavo-no-journal": tsavo_without_journal,
    "fastapi": fastapi,
    "mlflow": mlflow,
}
TITLES = {
    "tsavo": "Tsavo, recording on",
    "tsavo-no-journal": "Tsavo, journal off",
    "fastapi": "FastAPI + scikit-learn",
    "mlflow": "mlflow models serve",
}


def measure(names: list[str], seconds: int) -> dict[str, dict[int, Figures]]:
    results: dict[str, dict[int, Figures]] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        model, row = train(folder)
        expected = float(model.predict_proba(row.reshape(1, -1))[0, 1])
        for name in names:
            with SERVERS[name](folder, row) as server:
                check(server, expected)
                load(server, 4, 2, folder)
                results[name] = {count: load(server, count, seconds, folder) for count in (1, 32)}
                print(f"measured {TITLES[name]}", flush=True)
    return results


def show(results: dict[str, dict[int, Figures]]) -> None:
    print(f"\nOne-row requests, 100 trees on {COLUMNS} floats; one worker on one core, load from another.")
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}\n"
    )
    print(f"| server | req/s, 32 conn. | p50 ms, 32 | p99 ms, 32 | req/s, 1 conn. | p50 ms, 1 | failed |")  # noqa: F541
    print("|---|---:|---:|---:|---:|---:|---:|")
    for name, figures in results.items():
        many, one = figures[32], figures[1]
        print(
            f"| {TITLES[name]} | {many.requests_per_second:,.0f} | {many.p50_ms:.2f} | {many.p99_ms:.2f} "
            f"| {one.requests_per_second:,.0f} | {one.p50_ms:.2f} | {many.failures + one.failures} |"
        )
    if "tsavo" not in results:
        return
    ours = results["tsavo"]
    print()
    for name, figures in results.items():
        if name != "tsavo":
            rate = ours[32].requests_per_second / figures[32].requests_per_second
            wait = ours[1].p50_ms / figures[1].p50_ms
            print(
                f"Tsavo against {TITLES[name]}: {rate:.2f}x the requests/s at 32 connections, {wait:.2f}x its p50 at 1"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=8)
    parser.add_argument("--only", default=",".join(SERVERS))
    arguments = parser.parse_args()
    if shutil.which("wrk") is None:
        if os.geteuid() == 0 and shutil.which("apt-get"):
            subprocess.run(["apt-get", "update", "-qq"], check=False, stdout=subprocess.DEVNULL)
            subprocess.run(["apt-get", "install", "-y", "-qq", "wrk"], check=True, stdout=subprocess.DEVNULL)
        else:
            raise SystemExit("this benchmark needs wrk: apt install wrk")
    if (os.cpu_count() or 1) < 2:
        raise SystemExit("this benchmark needs two cores: one for the server, one for the load")
    show(measure(arguments.only.split(","), arguments.seconds))


if __name__ == "__main__":
    main()
