"""From a model file to its first answer over HTTP: Tsavo, cold and warm, beside MLflow; and a hundred models at once.

    python benchmarks/registration.py [--models 100] [--repeats 3]

The model is a gradient boosting of 100 trees on 20 floats, saved with skops, with 1,000 reference rows that Tsavo
checks it on; MLflow checks nothing. Every answer is compared with scikit-learn's. Memory is that of all of Tsavo's
processes together, shared pages counted once (proportional set size).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.servers import COLUMNS, environment, infer_body, memory_mib, running, wait_for

TSAVO = Path(sys.executable).with_name("tsavo")


def fitted(trees: int, seed: int) -> tuple[Any, Any]:
    """A model and its rows."""
    from sklearn.datasets import make_classification
    from sklearn.ensemble import GradientBoostingClassifier

    rows, labels = make_classification(1000, COLUMNS, n_informative=10, random_state=seed)
    return GradientBoostingClassifier(n_estimators=trees, random_state=seed).fit(rows, labels), rows


def saved(folder: Path, name: str, model: Any, rows: Any) -> tuple[Path, Path]:
    """The model's file and its reference's."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    import skops.io

    skops.io.dump(model, folder / f"{name}.skops")
    table = pa.table({f"x{at}": rows[:, at] for at in range(COLUMNS)})
    pq.write_table(table, folder / f"{name}.parquet")
    return folder / f"{name}.skops", folder / f"{name}.parquet"


def ask(url: str, body: bytes) -> Any:
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as response:
        return json.load(response)


def checked(given: float, model: Any, row: Any) -> None:
    expected = float(model.predict_proba(row.reshape(1, -1))[0, 1])
    if abs(given - expected) > 1e-5:
        raise SystemExit(f"an answer is {given}, scikit-learn's {expected}")


def tsavo_once(name: str, files: tuple[Path, Path], model: Any, row: Any, environ: dict[str, str]) -> float:
    """Seconds from the command to the first right answer."""
    started = time.perf_counter()
    words = [str(TSAVO), "deploy", str(files[0]), "--name", name, "--reference", str(files[1])]
    subprocess.run(words, check=True, capture_output=True, env=environ)
    answer = ask(f"http://127.0.0.1:8186/v2/models/{name}/infer", infer_body(row))
    took = time.perf_counter() - started
    checked(answer["outputs"][1]["data"][1], model, row)
    return took


def mlflow_once(folder: Path, model: Any, row: Any, repeat: int) -> float:
    """Seconds to start a server of its own for the model, as MLflow does it, to the first right answer."""
    import joblib

    tools = environment("mlflow")
    joblib.dump(model, folder / "model.joblib")
    target = folder / f"mlflow-{repeat}"
    save = (
        "import joblib, mlflow.sklearn, sys; "
        "mlflow.sklearn.save_model(joblib.load(sys.argv[1]), sys.argv[2], "
        "pyfunc_predict_fn='predict_proba', serialization_format='cloudpickle')"
    )
    path = f"{tools}:{os.environ['PATH']}"
    subprocess.run(
        [tools / "python", "-c", save, folder / "model.joblib", target], check=True, capture_output=True
    )
    started = time.perf_counter()
    words = [
        str(tools / "mlflow"),
        "models",
        "serve",
        "-m",
        str(target),
        "--env-manager",
        "local",
        "--port",
        "8187",
    ]
    with running(words, "http://127.0.0.1:8187/ping", core="0,1", env={**os.environ, "PATH": path}):
        answer = ask("http://127.0.0.1:8187/invocations", json.dumps({"inputs": [row.tolist()]}).encode())
        took = time.perf_counter() - started
    checked(float(answer["predictions"][0][1]), model, row)
    return took


class Memory:
    """The greatest proportional set size of a process and everything below it, looked at every `seconds`."""

    def __init__(self, pid: int, seconds: float = 0.1) -> None:
        self.peak_mib = 0.0
        self._pid, self._seconds = pid, seconds
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()

    def stop(self) -> None:
        self._over.set()
        self._watcher.join()

    def _watch(self) -> None:
        while not self._over.wait(self._seconds):
            self.peak_mib = max(self.peak_mib, memory_mib(self._pid))


def many(folder: Path, count: int, home: Path, pid: int) -> tuple[float, float]:
    """Seconds, and MiB at most, for `count` different models registered by as many callers at once."""
    from tsavo.client import connect

    model, rows = fitted(100, 0)
    files = []
    for at in range(count):
        model.init_ = model.init_  # the same trees; another threshold makes another model
        model.estimators_[0, 0].tree_.threshold[0] += 1e-6 * (at + 1)
        files.append(saved(folder, f"many-{at}", model, rows))
    memory = Memory(pid)
    started = time.perf_counter()

    def one(at: int) -> None:
        with connect(home=home) as client:
            client.register(files[at][0], name=f"many-{at}", reference=files[at][1])

    with ThreadPoolExecutor(count) as callers:
        list(callers.map(one, range(count)))
    took = time.perf_counter() - started
    memory.stop()
    return took, memory.peak_mib


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=int, default=100)
    parser.add_argument("--repeats", type=int, default=3)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        model, rows = fitted(100, 0)
        files = saved(folder, "bench", model, rows)
        home = folder / "home"
        environ = {**os.environ, "TSAVO_HOME": str(home)}
        words = [str(TSAVO), "up", "--port", "8186", "--grpc-port", "8187", "--console-port", "8188"]
        log = (folder / "log").open("w+b")
        process = subprocess.Popen(words, env=environ, stdout=log, stderr=log, start_new_session=True)
        try:
            wait_for("http://127.0.0.1:8188/api/status", process, log)
            cold = tsavo_once("cold", files, model, rows[0], environ)
            warm = [tsavo_once(f"warm-{at}", files, model, rows[0], environ) for at in range(chosen.repeats)]
            took, peak = many(folder, chosen.models, home, process.pid)
        finally:
            process.terminate()
            process.wait(30)
        peer = [mlflow_once(folder, model, rows[0], at) for at in range(chosen.repeats)]
    best, theirs = min(warm), min(peer)
    print("from a file of 100 trees to the first answer over HTTP, seconds (best of the repeats)")
    print(f"  Tsavo, checked on 1,000 rows, first after the start   {cold:6.2f}")
    print(f"  Tsavo, checked on 1,000 rows, warm                    {best:6.2f}")
    print(
        f"  mlflow models serve, nothing checked                  {theirs:6.2f}   ({theirs / best:.1f} times Tsavo)"
    )
    print(
        f"{chosen.models} models registered at once: {took:.1f} s, {took / chosen.models:.2f} s a model, "
        f"at most {peak:.0f} MiB in all processes"
    )


if __name__ == "__main__":
    main()
