"""Thousands of registrations through the bulk API: models a second, and memory; beside MLflow's in the same run.

    python benchmarks/bulk.py [--models 1000] [--beside 50] [--without-mlflow]

Half of the models are logistic regressions and half are boostings of 100 trees, on 20 floats, each with figures of its
own and saved with skops; one reference of 1,000 rows is given for all. Tsavo reads each file in a process of its own,
compiles it, compares it with the original on these rows and on edge rows, keeps it, and deploys it to an endpoint of
its own. Then the same list is run again, which sends nothing. MLflow logs and registers the first of the same models
with an SQLite store, and checks nothing; it starts from the loaded objects, for that is what it takes. Memory is the
greatest proportional set size of all processes together.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.registration import TSAVO, Memory
from benchmarks.servers import COLUMNS, environment, tree, wait_for

PORT, CONSOLE = 8186, 8188
URL = f"http://127.0.0.1:{CONSOLE}"

_MLFLOW = """
import json, sys, time, warnings
warnings.filterwarnings("ignore")
import joblib, mlflow, mlflow.sklearn
store, files = sys.argv[1], sys.argv[2:]
mlflow.set_tracking_uri(f"sqlite:///{store}/mlflow.db")
mlflow.set_experiment(experiment_id=mlflow.create_experiment("bench", artifact_location=store + "/artifacts"))
models = [joblib.load(file) for file in files]
def one(at, model):
    with mlflow.start_run():
        mlflow.sklearn.log_model(
            model, name="model", registered_model_name=f"m{at}", serialization_format="cloudpickle",
            pip_requirements=["scikit-learn"],
        )
one("first", models[0])
started = time.perf_counter()
for at, model in enumerate(models):
    one(at, model)
print(json.dumps(time.perf_counter() - started))
"""


def write_models(folder: Path, count: int) -> Path:
    """The files and their manifest."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    import skops.io
    from sklearn.datasets import make_classification
    from sklearn.ensemble import GradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression

    rows, labels = make_classification(1000, COLUMNS, n_informative=10, random_state=0)
    pq.write_table(pa.table({f"x{at}": rows[:, at] for at in range(COLUMNS)}), folder / "reference.parquet")
    logistic = LogisticRegression(max_iter=1000).fit(rows, labels)
    trees = skops.io.dumps(GradientBoostingClassifier(n_estimators=100, random_state=0).fit(rows, labels))
    with (folder / "models.csv").open("w", newline="") as file:
        manifest = csv.writer(file)
        manifest.writerow(["source", "name"])
        for at in range(count):
            path = folder / f"m{at}.skops"
            if at % 2:
                path.write_bytes(another(trees, at))
            else:
                logistic.coef_[0, 0] += 1e-6
                skops.io.dump(logistic, path)
            manifest.writerow([path.name, f"m{at}"])
    return folder / "models.csv"


def another(archive: bytes, number: int) -> bytes:
    """The same trees but for the first threshold; writing a whole skops file anew takes a fifth of a second."""
    import numpy as np

    made = io.BytesIO()
    left = True
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(made, "w") as new:
        for entry in old.infolist():
            content = old.read(entry)
            if left and entry.filename.endswith(".npy"):
                array = np.load(io.BytesIO(content), allow_pickle=False)
                if array.dtype.names and "threshold" in array.dtype.names:
                    array["threshold"][0] += 1e-6 * (number + 1)
                    sink = io.BytesIO()
                    np.save(sink, array)
                    content, left = sink.getvalue(), False
            new.writestr(entry, content)
    return made.getvalue()


def registered(manifest: Path) -> tuple[float, list[dict[str, Any]]]:
    """Seconds of the command, and its lines."""
    words = [str(TSAVO), "register-many", str(manifest), "--url", URL, "--deploy", "--json"]
    started = time.perf_counter()
    reference = ["--reference", str(manifest.parent / "reference.parquet")]
    done = subprocess.run([*words, *reference], check=False, capture_output=True)
    took = time.perf_counter() - started
    if done.returncode:
        raise SystemExit(done.stderr.decode())
    return took, [json.loads(line) for line in done.stdout.splitlines()]


def processor_seconds(pid: int) -> float:
    """Of a process and everything below it, those that have ended included."""
    ticks = 0
    for one in tree(pid):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def mlflow_seconds(folder: Path, files: list[Path]) -> float:
    """Seconds for MLflow to log and register the models of these files, without those of its start."""
    import joblib
    import skops.io

    pickles = []
    for file in files:
        pickles.append(file.with_suffix(".joblib"))
        trusted = skops.io.get_untrusted_types(file=file)
        joblib.dump(skops.io.load(file, trusted=trusted), pickles[-1])
    store = folder / "mlflow"
    store.mkdir()
    words = [str(environment("mlflow") / "python"), "-c", _MLFLOW, str(store), *map(str, pickles)]
    done = subprocess.run(words, check=True, capture_output=True, cwd=store)
    return float(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=int, default=1_000)
    parser.add_argument("--beside", type=int, default=50)
    parser.add_argument("--without-mlflow", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        manifest = write_models(folder, chosen.models)
        home = folder / "home"
        words = [str(TSAVO), "up", "--home", str(home), "--port", str(PORT), "--grpc-port", "-1"]
        log = (folder / "log").open("w+b")
        process = subprocess.Popen(
            [*words, "--console-port", str(CONSOLE)], stdout=log, stderr=log, start_new_session=True
        )
        try:
            wait_for(f"{URL}/api/status", process, log)
            # A look costs processor time itself, and there are minutes to look at.
            memory = Memory(process.pid, seconds=1)
            before = processor_seconds(process.pid)
            took, lines = registered(manifest)
            worked = processor_seconds(process.pid) - before
            memory.stop()
            bad = [line for line in lines if line["status"] != "registered" or line["error"]]
            if bad or len(lines) != chosen.models:
                raise SystemExit(f"{len(bad)} of {len(lines)} were not registered: {bad[:1]}")
            again, lines = registered(manifest)
            if {line["status"] for line in lines} != {"known"}:
                raise SystemExit("the second run did not know them all")
        finally:
            process.terminate()
            process.wait(30)
        print(f"{platform.machine()}, {os.cpu_count()} processors, load {os.getloadavg()[0]:.1f} at the end")
        rate = chosen.models / took
        print(
            f"Tsavo: {chosen.models:,} models checked, kept and deployed in {took:.1f} s: {rate:.1f} models/s, "
            f"{10_000 / rate / 60:.1f} minutes for 10,000; at most {memory.peak_mib:.0f} MiB in all processes"
        )
        print(
            f"Tsavo: {worked / chosen.models * 1000:.0f} ms of processor time a model, the client's left out"
        )
        print(f"Tsavo: the same list again {again:.1f} s")
        if not chosen.without_mlflow:
            count = min(chosen.beside, chosen.models)
            theirs = mlflow_seconds(folder, [folder / f"m{at}.skops" for at in range(count)])
            slower = theirs / count * rate
            print(
                f"MLflow: {count} of them logged and registered, nothing checked, in {theirs:.1f} s: "
                f"{count / theirs:.1f} models/s ({slower:.1f} times Tsavo's time)"
            )


if __name__ == "__main__":
    main()
