"""Requests over HTTP to one model: Tsavo with recording on, Tsavo without its journal, and its peers.

    python benchmarks/serving.py [--seconds 6] [--only tsavo,mlflow,...]

Every server runs one worker pinned to one core; wrk sends from another core. The model is the same for all: a
gradient boosting of 100 trees on 20 floats. Every server's answer to one row is compared with scikit-learn's
before anything is measured. Requests of one row at 1, 16, 32 and 64 connections, and of 1,000 rows at 4; seconds from
the command to the first right answer, and the memory of the server's processes (proportional set size) before and
after.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.peers.starting import PEERS
from benchmarks.peers.starting import TITLES as PEER_TITLES
from benchmarks.servers import (
    COLUMNS,
    HERE,
    LOAD_CORE,
    SERVER_CORE,
    NotStarted,
    Server,
    infer_body,
    memory_mib,
    running,
)

CONNECTIONS = (1, 16, 32, 64)
MANY_ROWS = 1000
# How many times as many requests a second as each peer Tsavo is to answer, at 16 and at 64 connections; against echo, a
# share.
BARS = {
    "echo": (0.35, 0.35),
    "fastapi": (4.0, 4.0),
    "mlflow": (45.0, 45.0),
    "mlserver": (7.0, 7.0),
    "bentoml": (20.0, 20.0),
    "litserve": (7.0, 7.0),
    "ray": (45.0, 45.0),
    "pytriton": (3.0, 2.0),
}


class Figures(NamedTuple):
    """What wrk measured."""

    requests_per_second: float
    p50_ms: float
    p99_ms: float
    failures: int


class Measured(NamedTuple):
    """All of a server."""

    start_seconds: float
    idle_mib: float
    one_row: dict[int, Figures]
    many_rows: Figures


def train(folder: Path) -> tuple[Any, Any]:
    """The model, and the rows that are asked for."""
    import joblib
    import numpy as np
    from sklearn.datasets import make_classification
    from sklearn.ensemble import GradientBoostingClassifier

    rows, labels = make_classification(4000, COLUMNS, n_informative=10, random_state=0)
    model = GradientBoostingClassifier(n_estimators=100, random_state=0).fit(rows, labels)
    joblib.dump(model, folder / "model.joblib")
    np.save(folder / "rows.npy", rows[:1000])
    return model, rows[:MANY_ROWS]


@contextmanager
def tsavo(folder: Path, rows: Any) -> Iterator[Server]:
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
        "--grpc-port",
        "8181",
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
        yield Server(
            "http://127.0.0.1:8180/v2/models/bench/infer",
            infer_body(rows),
            second_probability,
            int(gateway.stdout),
        )


def write_reference(folder: Path, path: Path) -> None:
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows = np.load(folder / "rows.npy")
    pq.write_table(pa.table({f"f{column}": rows[:, column] for column in range(COLUMNS)}), path)


def second_probability(answer: Any) -> float:
    return next(float(o["data"][1]) for o in answer["outputs"] if o["name"] == "probabilities")


@contextmanager
def tsavo_without_journal(folder: Path, rows: Any) -> Iterator[Server]:
    """The same gateway with a recorder that keeps nothing; exists only here, to price the journal."""
    words = [sys.executable, str(HERE / "gateway_without_journal.py"), str(folder / "home"), "8181"]
    with running(words, "http://127.0.0.1:8181/v2/health/ready") as pid:
        yield Server("http://127.0.0.1:8181/v2/models/bench/infer", infer_body(rows), second_probability, pid)


def check(server: Server, expected: float) -> None:
    """The server gives scikit-learn's answer, or the benchmark ends here."""
    request = urllib.request.Request(server.url, server.body, {"Content-Type": "application/json"})
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                given = server.probability(json.load(response))
            break
        except OSError as error:
            # Some are there before their model is.
            if time.monotonic() > deadline:
                said = error.read().decode()[:1000] if isinstance(error, urllib.error.HTTPError) else ""
                raise SystemExit(f"{server.url}: {error}\n{said}") from error
            time.sleep(0.05)
    # What has no model gives no answer to compare.
    if not math.isnan(given) and abs(given - expected) > 1e-5:
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


SERVERS: dict[str, Any] = {"tsavo": tsavo, "tsavo-no-journal": tsavo_without_journal, **PEERS}
TITLES = {"tsavo": "Tsavo, recording on", "tsavo-no-journal": "Tsavo, journal off", **PEER_TITLES}


def measure_one(name: str, seconds: int, folder: Path, rows: Any, expected: float) -> Measured:
    started = time.perf_counter()
    with SERVERS[name](folder, rows[:1]) as server:
        check(server, expected)
        took = time.perf_counter() - started
        idle = memory_mib(server.pid)
        load(server, 4, 2, folder)
        one_row = {count: load(server, count, seconds, folder) for count in CONNECTIONS}
    with SERVERS[name](folder, rows) as server:
        check(server, expected)
        many = load(server, 4, seconds, folder)
    return Measured(took, idle, one_row, many)


def measure(names: list[str], seconds: int) -> dict[str, Measured]:
    results: dict[str, Measured] = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        model, rows = train(folder)
        expected = float(model.predict_proba(rows[:1])[0, 1])
        for name in names:
            try:
                results[name] = measure_one(name, seconds, folder, rows, expected)
            except (NotStarted, subprocess.CalledProcessError) as error:
                # Not every peer runs everywhere, and what was measured is not thrown away for it.
                print(f"left out: {TITLES[name]}: {error}", flush=True)
                continue
            print(f"measured {TITLES[name]}", flush=True)
    return results


def show(results: dict[str, Measured]) -> None:
    print(f"\n100 trees on {COLUMNS} floats; one worker on one core, load from another.")
    cores = f"{os.cpu_count()} cores, Python {platform.python_version()}"
    print(f"{platform.processor() or platform.machine()}, {cores}\n")
    per_second = " | ".join(f"req/s, {count} conn." for count in CONNECTIONS)
    print(f"| server | {per_second} | p50 ms, 1 | p99 ms, 16 | 1,000 rows: rows/s | start s | MiB | failed |")
    print("|---|" + "---:|" * (len(CONNECTIONS) + 6))
    for name, found in results.items():
        figures = found.one_row
        rates = " | ".join(f"{figures[count].requests_per_second:,.0f}" for count in CONNECTIONS)
        failed = sum(part.failures for part in (*figures.values(), found.many_rows))
        print(
            f"| {TITLES[name]} | {rates} | {figures[1].p50_ms:.2f} | {figures[16].p99_ms:.2f} "
            f"| {found.many_rows.requests_per_second * MANY_ROWS:,.0f} | {found.start_seconds:.1f} "
            f"| {found.idle_mib:,.0f} | {failed} |"
        )
    if "tsavo" in results:
        compare(results)
        if "tsavo-no-journal" in results:
            recording(results)


def compare(results: dict[str, Measured]) -> None:
    """Ours against each, beside what we aim for."""
    ours = results["tsavo"].one_row
    print("\n| Tsavo, recording on, against | req/s at 16 | bar | at 64 | bar | p50 at 1 | bar |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for name, found in results.items():
        if name not in BARS:
            continue
        theirs = found.one_row
        at = {
            count: ours[count].requests_per_second / theirs[count].requests_per_second for count in (16, 64)
        }
        print(
            f"| {TITLES[name]} | {at[16]:.2f}x | {BARS[name][0]:g}x | {at[64]:.2f}x | {BARS[name][1]:g}x "
            f"| {ours[1].p50_ms / theirs[1].p50_ms:.2f}x | {'' if name == 'echo' else 'below 1'} |"
        )


def recording(results: dict[str, Measured]) -> None:
    """What it costs that every decision is on disk before it is answered, beside what it may cost."""
    with_it, without = results["tsavo"].one_row, results["tsavo-no-journal"].one_row
    print("\n| recording on against off | fewer req/s | may be | more p50 ms | may be |")
    print("|---|---:|---:|---:|---:|")
    for count in CONNECTIONS:
        fewer = 1 - with_it[count].requests_per_second / without[count].requests_per_second
        later = with_it[count].p50_ms - without[count].p50_ms
        bars = ("35 %", "1.5") if count == 32 else ("", "")
        print(f"| {count} connections | {fewer:.0%} | {bars[0]} | {later:.2f} | {bars[1]} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=6)
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
