"""Requests of 1,000 rows over HTTP as JSON, raw tensors and Arrow, beside the model asked in this process.

    python benchmarks/large_requests.py [--seconds 4]

The same model and server as in `serving.py`, recording on: one gateway worker on one core, wrk on the other. What
the model makes in process, without HTTP and without a record, is measured on the gateway's core.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.servers import COLUMNS, LOAD_CORE, SERVER_CORE, infer_body
from benchmarks.serving import MANY_ROWS, train, tsavo

BAR = 0.7


class Request(NamedTuple):
    """A way to send the rows."""

    path: str
    body: bytes
    headers: dict[str, str]


def raw_request(rows: Any) -> Request:
    """One tensor as raw bytes, and raw bytes back."""
    raw = rows.astype("<f8").tobytes()
    tensor = {
        "name": "input",
        "shape": list(rows.shape),
        "datatype": "FP64",
        "parameters": {"binary_data_size": len(raw)},
    }
    head = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    headers = {
        "Content-Type": "application/octet-stream",
        "Inference-Header-Content-Length": str(len(head)),
    }
    return Request("/v2/models/bench/infer", head + raw, headers)


def arrow_request(rows: Any) -> Request:
    """An Arrow IPC stream, and one back."""
    import pyarrow as pa

    table = pa.table({f"f{column}": rows[:, column] for column in range(COLUMNS)})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    headers = {"Content-Type": "application/vnd.apache.arrow.stream"}
    return Request("/endpoints/bench/score", sink.getvalue().to_pybytes(), headers)


def rate(base: str, request: Request, seconds: int, folder: Path) -> float:
    """Requests a second at 4 connections; every one must be answered with 200."""
    body, script = folder / "body", folder / "large.lua"
    body.write_bytes(request.body)
    headers = "".join(f'wrk.headers["{name}"] = "{value}"\n' for name, value in request.headers.items())
    script.write_text(
        f'local f = io.open("{body}", "rb")\nwrk.body = f:read("*a")\nf:close()\nwrk.method = "POST"\n{headers}'
    )
    words = ["taskset", "-c", LOAD_CORE, "wrk", "-t1", "-c4", f"-d{seconds}s", "-s", str(script)]
    said = subprocess.run([*words, base + request.path], check=True, capture_output=True, text=True).stdout
    found = re.search(r"Requests/sec:\s+([\d.]+)", said)
    if found is None or "Non-2xx" in said or "Socket errors" in said:
        raise SystemExit(f"wrk said:\n{said}")
    return float(found[1])


def in_process(home_folder: Path, rows: Any, seconds: int) -> float:
    """Predictions of all rows a second, by the version's own runtime on the gateway's core."""
    from tsavo.app.parts import open_artifacts, open_database
    from tsavo.app.settings import read_effective
    from tsavo.registry import get_version
    from tsavo.runtimes import OnnxRuntime
    from tsavo.storage import Home
    from tsavo.vocabulary import Batch, VersionRef

    home = Home(home_folder)
    settings = read_effective(home)
    database, artifacts = open_database(home, settings), open_artifacts(home, settings)
    with database.read() as connection:
        version = get_version(connection, VersionRef("bench", 1))
    database.close()
    runtime = OnnxRuntime(artifacts.path(version.artifact), version.signature)
    batch = Batch(len(rows), rows.copy())
    os.sched_setaffinity(0, {int(SERVER_CORE)})
    done, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        runtime.predict(batch)
        done += 1
    return done / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=4)
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        _, rows = train(folder)
        with tsavo(folder, rows) as server:
            base = server.url.removesuffix("/v2/models/bench/infer")
            requests = {
                "JSON": Request(
                    "/v2/models/bench/infer", infer_body(rows), {"Content-Type": "application/json"}
                ),
                "raw tensors": raw_request(rows),
                "Arrow": arrow_request(rows),
            }
            rates = {name: rate(base, request, seconds, folder) for name, request in requests.items()}
            own = in_process(folder / "home", rows, seconds)
    print(f"| {MANY_ROWS:,} rows a request | rows/s | of the model in process | bar |")
    print("|---|---:|---:|---:|")
    print(f"| the model in process | {own * MANY_ROWS:,.0f} | 1.00 | |")
    for name, found in rates.items():
        bar = "" if name == "JSON" else f"{BAR:g}"
        print(f"| {name} | {found * MANY_ROWS:,.0f} | {found / own:.2f} | {bar} |")


if __name__ == "__main__":
    main()
