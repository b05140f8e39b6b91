"""Ten thousand endpoints in one home: how soon the gateway is up, how soon each answers, how fast and in what memory.

    python benchmarks/density.py [--endpoints 10000] [--seconds 6] [--memory-mib 2048]

Half of the models are logistic regressions and half are boostings of 100 trees, on 20 floats. Two are registered in the
usual way; the others are made from their compiled artifacts, each with figures of its own, and written to the registry
in bulk. Then Tsavo is started, with recording on: seconds to the first answer, the time of each endpoint's first answer
(all of them, one after the other), requests a second over endpoints taken at random beside those of one endpoint, and
the gateway's memory. The gateway has one core and the load the other.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.servers import COLUMNS, LOAD_CORE, SERVER_CORE, infer_body, running

PORT, CONSOLE = 8186, 8188
GATEWAY = f"http://127.0.0.1:{PORT}"
TSAVO = [sys.executable, "-m", "tsavo"]


@contextmanager
def up(home: Path, memory_mib: int) -> Iterator[tuple[float, int]]:
    """Tsavo with its gateway on a core of its own: seconds to the first answer to be had, and the gateway's process."""
    ports = ["--port", str(PORT), "--grpc-port", "-1", "--console-port", str(CONSOLE)]
    environ = {**os.environ, "TSAVO_GATEWAY_MEMORY_MIB": str(memory_mib)}
    started = time.perf_counter()
    words = [*TSAVO, "up", "--home", str(home), *ports]
    with running(words, f"{GATEWAY}/v2/health/ready", core="0,1", env=environ):
        while not is_ready():
            time.sleep(0.01)
        took = time.perf_counter() - started
        found = subprocess.run(
            ["pgrep", "-f", f"gateway_process --home {home}"], capture_output=True, check=True
        )
        pid = found.stdout.decode().strip()
        subprocess.run(["taskset", "-a", "-p", "-c", SERVER_CORE, pid], check=True, stdout=subprocess.DEVNULL)
        yield took, int(pid)


def is_ready() -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=5)
    try:
        connection.request("GET", "/v2/health/ready")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def register_two(folder: Path, home: Path) -> None:
    """The two models that all others are made from."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    import skops.io
    from sklearn.datasets import make_classification
    from sklearn.ensemble import GradientBoostingClassifier
    from sklearn.linear_model import LogisticRegression

    rows, labels = make_classification(2000, COLUMNS, n_informative=10, random_state=0)
    table = pa.table({f"x{at}": rows[:, at] for at in range(COLUMNS)})
    pq.write_table(table, folder / "rows.parquet")
    for name, model in (
        ("logistic", LogisticRegression(max_iter=1000)),
        ("boosting", GradientBoostingClassifier(n_estimators=100)),
    ):
        skops.io.dump(model.fit(rows, labels), folder / f"{name}.skops")
        words = [str(folder / f"{name}.skops"), "--name", name, "--reference", str(folder / "rows.parquet")]
        subprocess.run([*TSAVO, "deploy", *words, "--home", str(home)], check=True, stdout=subprocess.DEVNULL)


def another(artifact: bytes, number: int) -> bytes:
    """The same graph with figures that are a little different."""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load_from_string(artifact)
    factor = 1 + 1e-6 * (number + 1)
    for kept in graph.graph.initializer:
        values = numpy_helper.to_array(kept)
        if values.dtype.kind == "f" and values.size > 1:
            kept.CopyFrom(numpy_helper.from_array(values * values.dtype.type(factor), kept.name))
    for node in graph.graph.node:
        for attribute in node.attribute:
            if attribute.name in {"leaf_weights", "target_weights", "class_weights"}:
                if attribute.HasField("t"):
                    weights = numpy_helper.to_array(attribute.t)
                    attribute.t.CopyFrom(numpy_helper.from_array(weights * weights.dtype.type(factor)))
                else:
                    attribute.floats[0] *= factor
    changed: bytes = graph.SerializeToString()
    return changed


def write_many(home_folder: Path, count: int) -> float:
    """Give the home `count` endpoints of their own models; the seconds that it took."""
    import msgspec

    from tsavo.app.parts import open_artifacts, open_database
    from tsavo.app.settings import read_effective
    from tsavo.registry import add_model, add_version, get_version, save_route
    from tsavo.storage import Home
    from tsavo.vocabulary import Model, Route, VersionRef

    home = Home(home_folder)
    settings = read_effective(home)
    database, artifacts = open_database(home, settings), open_artifacts(home, settings)
    with database.read() as connection:
        templates = [get_version(connection, VersionRef(name, 1)) for name in ("logistic", "boosting")]
    contents = [artifacts.get(version.artifact) for version in templates]
    started = time.perf_counter()
    for first in range(0, count, 500):
        with database.begin() as connection:
            for at in range(first, min(first + 500, count)):
                version = templates[at % 2]
                content = another(contents[at % 2], at)
                digest = artifacts.put(content)
                name = f"m{at}"
                add_model(connection, Model(name, owner="bench", created=version.created))
                draft = msgspec.structs.replace(
                    version,
                    model=name,
                    number=0,
                    artifact=digest,
                    artifact_bytes=len(content),
                    digest=digest,
                    reference=None,
                )
                ref = add_version(connection, draft).ref
                save_route(connection, Route(name, 0, ref, changed=version.created))
    database.close()
    return time.perf_counter() - started


def first_answers(count: int, body: bytes) -> list[float]:
    """Milliseconds of each endpoint's first answer, over one connection."""
    import random

    connection = http.client.HTTPConnection("127.0.0.1", PORT, timeout=30)
    order = list(range(count))
    random.Random(0).shuffle(order)
    taken = []
    for at in order:
        started = time.perf_counter()
        connection.request("POST", f"/v2/models/m{at}/infer", body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer = json.loads(response.read())
        taken.append((time.perf_counter() - started) * 1000)
        if response.status != 200 or answer["model_name"] != f"m{at}":
            raise SystemExit(f"m{at} answers {answer}")
    return taken


def rate(folder: Path, body: bytes, seconds: int, endpoints: int) -> tuple[float, float]:
    """Requests a second at 16 connections, and p99 in ms, over the first `endpoints` ones at random."""
    (folder / "body.json").write_bytes(body)
    script = folder / "random.lua"
    script.write_text(
        f'local f = io.open("{folder / "body.json"}", "rb")\nlocal body = f:read("*a")\nf:close()\n'
        'local headers = {["Content-Type"] = "application/json"}\nmath.randomseed(1)\n'
        f'request = function() return wrk.format("POST", "/v2/models/m" .. math.random(0, {endpoints - 1}) .. '
        '"/infer", headers, body) end\n'
        "done = function(summary, latency, requests)\n"
        '  io.write(string.format("FIGURES %f %f %d\\n", summary.requests / summary.duration * 1e6,\n'
        "    latency:percentile(99) / 1000, summary.errors.status + summary.errors.timeout))\nend\n"
    )
    words = ["taskset", "-c", LOAD_CORE, "wrk", "-t1", "-c16", f"-d{seconds}s", "-s", str(script), GATEWAY]
    printed = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    figures = next(line.split()[1:] for line in printed.splitlines() if line.startswith("FIGURES"))
    if int(figures[2]):
        raise SystemExit(f"{figures[2]} requests failed")
    return float(figures[0]), float(figures[1])


def resident_mib(pid: int) -> float:
    text = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) / 1024 for line in text.splitlines() if line.startswith("VmRSS"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--endpoints", type=int, default=10_000)
    parser.add_argument("--seconds", type=int, default=6)
    parser.add_argument("--memory-mib", type=int, default=2048)
    chosen = parser.parse_args()
    body = infer_body_of_zeros()
    count = chosen.endpoints
    print(f"{platform.machine()}, {os.cpu_count()} processors, {count:,} endpoints")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        home = folder / "home"
        with up(home, chosen.memory_mib):
            register_two(folder, home)
        print(f"written to the registry in              {write_many(home, count):8.1f} s")
        with up(home, chosen.memory_mib) as (took, pid):
            empty = resident_mib(pid)
            print(f"start of everything to the first answer {took:8.2f} s         bar 3")
            taken = first_answers(count, body)
            full = resident_mib(pid)
            p99 = statistics.quantiles(taken, n=100)[98]
            print(f"first answer of an endpoint, p50        {statistics.median(taken):8.2f} ms")
            print(f"first answer of an endpoint, p99        {p99:8.2f} ms        bar 10")
            first_answers(min(count, 4_000), body)  # brings back what was evicted
            again = first_answers(min(count, 4_000), body)
            print(f"an answer from memory, p50              {statistics.median(again):8.2f} ms")
            print(f"an answer from memory, p99              {statistics.quantiles(again, n=100)[98]:8.2f} ms")
            print(f"memory of the gateway, nothing loaded   {empty:8.0f} MiB")
            print(f"memory after each was asked once        {full:8.0f} MiB       bar {chosen.memory_mib}")
            one, one_p99 = rate(folder, body, chosen.seconds, 1)
            fitting = min(count, 4_000)
            rate(folder, body, chosen.seconds, fitting)  # brings back what was evicted
            some, some_p99 = rate(folder, body, chosen.seconds, fitting)
            every, every_p99 = rate(folder, body, chosen.seconds, count)
            print(f"one endpoint                            {one:8,.0f} req/s   p99 {one_p99:.1f} ms")
            print(
                f"{fitting:,} at random, all in memory          {some:8,.0f} req/s   p99 {some_p99:.1f} ms   "
                f"{some / one:.2f} of one, bar 0.5"
            )
            print(
                f"{count:,} at random                        {every:8,.0f} req/s   p99 {every_p99:.1f} ms   "
                f"{every / one:.2f} of one"
            )
            print(f"memory at the end                       {resident_mib(pid):8.0f} MiB")


def infer_body_of_zeros() -> bytes:
    import numpy as np

    row: Any = np.zeros(COLUMNS)
    return infer_body(row)


if __name__ == "__main__":
    main()
