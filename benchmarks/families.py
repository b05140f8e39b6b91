"""A family of a thousand members: batches of mixed segments, and one row scored by all of them in one request.

    python benchmarks/families.py [--members 1000] [--seconds 4]

Half of the members are logistic regressions and half are boostings of 100 trees, on 20 floats, each a model of its own.
Recording is on; the gateway has one core and the load the other. The figures: seconds to set all members in one
change; milliseconds of one row by all members in one request, beside as many single requests over one connection; rows
a second of requests of 1,000 rows whose segments are all mixed, beside requests of one segment; and what another caller
of the same gateway waits meanwhile.
"""

from __future__ import annotations

import argparse
import http.client
import json
import os
import platform
import random
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.density import CONSOLE, PORT, register_two, resident_mib, up, write_many
from benchmarks.servers import COLUMNS

ROWS = 1_000
REPEATS = 10


class Caller:
    """One connection that sends JSON and reads JSON."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)

    def post(self, path: str, body: bytes) -> Any:
        self._connection.request("POST", path, body, {"Content-Type": "application/json"})
        response = self._connection.getresponse()
        content = response.read()
        if response.status != 200:
            raise SystemExit(f"{path} answers {response.status}: {content[:300]!r}")
        return json.loads(content)


def request(rows: int, segments: list[str] | None) -> bytes:
    """Rows of figures, and the segment of each where the request has them."""
    inputs = [
        {"name": "m", "shape": [rows, COLUMNS], "datatype": "FP64", "data": [0.25] * (rows * COLUMNS)},
    ]
    if segments is not None:
        inputs.append({"name": "segment", "shape": [rows], "datatype": "BYTES", "data": segments})
    return json.dumps({"inputs": inputs}).encode()


def make_family(members: int) -> float:
    """The seconds of one change that gives all segments their versions."""
    console = Caller(CONSOLE)
    console.post("/api/families/logistic/make", b'{"key": "segment"}')
    body = json.dumps({"members": {f"s{at}": f"m{at}@1" for at in range(members)}}).encode()
    started = time.perf_counter()
    console.post("/api/families/logistic/set", body)
    return time.perf_counter() - started


def milliseconds(act: Callable[[], object], repeats: int = REPEATS) -> float:
    """The median of a few times."""
    taken = []
    for _ in range(repeats):
        started = time.perf_counter()
        act()
        taken.append((time.perf_counter() - started) * 1000)
    return statistics.median(taken)


def rows_a_second(bodies: list[bytes], seconds: float) -> float:
    """Of requests one after the other, each of `ROWS` rows."""
    caller = Caller(PORT)
    until = time.perf_counter() + seconds
    started = time.perf_counter()
    sent = 0
    while time.perf_counter() < until:
        caller.post("/v2/models/logistic/infer", bodies[sent % len(bodies)])
        sent += 1
    return sent * ROWS / (time.perf_counter() - started)


def waits_beside(act: Callable[[], object], seconds: float) -> tuple[float, float]:
    """p50 and p99 in ms of single rows of another endpoint while `act` goes on and on."""
    over = threading.Event()

    def go_on() -> None:
        while not over.is_set():
            act()

    thread = threading.Thread(target=go_on)
    thread.start()
    caller, taken, body = Caller(PORT), [], request(1, None)
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        started = time.perf_counter()
        caller.post("/v2/models/boosting/infer", body)
        taken.append((time.perf_counter() - started) * 1000)
        time.sleep(0.002)
    over.set()
    thread.join()
    return statistics.median(taken), statistics.quantiles(taken, n=100)[98]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--members", type=int, default=1_000)
    parser.add_argument("--seconds", type=float, default=4)
    chosen = parser.parse_args()
    members = chosen.members
    print(f"{platform.machine()}, {os.cpu_count()} processors, {members:,} members")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        home = folder / "home"
        with up(home, 2048):
            register_two(folder, home)
        write_many(home, members)
        with up(home, 2048) as (_, pid):
            print(f"all members set in one change            {make_family(members):8.2f} s")
            time.sleep(1)
            measure(members, chosen.seconds)
            print(f"memory of the gateway                    {resident_mib(pid):8.0f} MiB")


def measure(members: int, seconds: float) -> None:
    """Everything that is asked of the gateway."""
    names = [f"s{at}" for at in range(members)]
    caller, row = Caller(PORT), request(1, None)

    def ask_all() -> Any:
        return caller.post("/v2/families/logistic/infer_all", row)

    started = time.perf_counter()
    answer = ask_all()
    cold = time.perf_counter() - started
    if [one["segment"] for one in answer["members"]] != sorted(names):
        raise SystemExit("not all members answered")
    print(f"one row by all, nothing loaded           {cold * 1000:8.1f} ms")
    ask_all()
    single = [request(1, [name]) for name in names]

    def ask_each() -> None:
        for body in single:
            caller.post("/v2/models/logistic/infer", body)

    ask_each()
    together, apart = milliseconds(ask_all), milliseconds(ask_each, 3)
    print(f"one row by all, one request              {together:8.1f} ms")
    print(
        f"one row by all, {members:,} requests           {apart:8.1f} ms   {apart / together:.1f} times as long"
    )
    chosen = random.Random(0)
    mixed = [request(ROWS, [chosen.choice(names) for _ in range(ROWS)]) for _ in range(8)]
    alike = [request(ROWS, [names[at]] * ROWS) for at in range(8)]
    rows_a_second(mixed, 1)
    for told, bodies in (("one segment a request", alike), ("mixed segments", mixed)):
        print(f"rows of {told:<32} {rows_a_second(bodies, seconds):9,.0f} rows/s")
    for told, act in (("peace", lambda: time.sleep(0.01)), ("rows by all members", ask_all)):
        half, most = waits_beside(act, seconds)
        print(f"another's row beside {told:<19} {half:8.1f} ms   p99 {most:.1f}")


if __name__ == "__main__":
    main()
