"""What callers notice while Tsavo reads hostile files: the gateway's rate meanwhile against its rate in peace.

    python benchmarks/hostile.py [--seconds 6] [--rounds 3]

One caller scores one row after the other. In turns of the same length it is left alone, and then hostile files are
registered one after the other, with trust: endless loops, memory bombs, fork bombs and crashes. The ratio of the two
rates says what the files cost those who score; on a machine with few processors part of it is the work of registering
itself, so a third turn registers harmless files, for comparison.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import pickle
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle
from pathlib import Path
from typing import Any

import tsavo
from tsavo.vocabulary import TsavoError

TSAVO = [sys.executable, "-m", "tsavo"]
HARM = {
    "loop": "import os\nwhile True: pass",
    "memory": "[bytearray(1 << 26) for _ in range(1000)]",
    "forks": "import os\nwhile True: os.fork()",
    "threads": "import threading, time\nwhile True: threading.Thread(target=time.sleep, args=(9,)).start()",
    "crash": "import ctypes; ctypes.string_at(0)",
    "words": "while True: print('x' * 100000)",
}


class Runs:
    """Pickles as a program that runs when it is loaded."""

    def __init__(self, program: str) -> None:
        self.program = program

    def __reduce__(self) -> Any:
        return exec, (self.program,)


class Caller:
    """Scores one row after the other; counts."""

    def __init__(self, url: str, body: bytes) -> None:
        self._request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.answers = self.errors = 0
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            try:
                with urllib.request.urlopen(self._request, timeout=10) as answer:
                    answer.read()
                self.answers += 1
            except (urllib.error.URLError, OSError):
                self.errors += 1

    def close(self) -> None:
        self._stop.set()
        self._thread.join()


def command(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*TSAVO, *words, "--home", str(home)], capture_output=True, text=True, check=False)


@contextmanager
def running(home: Path) -> Iterator[str]:
    """The gateway's address."""
    up = command(home, "up", "--port", "0", "--grpc-port", "0", "--console-port", "0", "--detach", "--json")
    if up.returncode:
        raise SystemExit(up.stderr)
    try:
        yield json.loads(up.stdout)["gateway"]
    finally:
        command(home, "down")


def register(console: Callable[[Path], None], files: list[Path], stop: threading.Event) -> int:
    """Register one file after the other until told to stop; how many there were."""
    count = 0
    for path in cycle(files):
        if stop.is_set():
            return count
        console(path)
        count += 1
    return count


def rate(
    caller: Caller, seconds: float, meanwhile: Callable[[threading.Event], int] | None
) -> tuple[float, int]:
    """Answers a second, and how many files were registered."""
    stop, found = threading.Event(), [0]

    def work() -> None:
        if meanwhile is not None:
            found[0] = meanwhile(stop)

    thread = threading.Thread(target=work)
    started, before = time.perf_counter(), caller.answers
    thread.start()
    time.sleep(seconds)
    answered, took = caller.answers - before, time.perf_counter() - started
    stop.set()
    thread.join()
    return answered / took, found[0]


def files(folder: Path) -> tuple[list[Path], list[Path]]:
    """Hostile and harmless ones."""
    import numpy as np
    from sklearn.linear_model import LinearRegression

    hostile = []
    for name, program in HARM.items():
        path = folder / f"{name}.pkl"
        # The console gives a worker minutes; this one gets seconds, so that there are several in one turn.
        limits = "import resource; resource.setrlimit(resource.RLIMIT_CPU, (2, 3)); "
        path.write_bytes(pickle.dumps(Runs(f"{limits}exec({program!r})")))
        hostile.append(path)
    harmless = folder / "line.pkl"
    harmless.write_bytes(pickle.dumps(LinearRegression().fit(np.eye(3), np.arange(3.0))))
    return hostile, [harmless]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        hostile, harmless = files(folder)
        home = folder / "home"
        with running(home) as gateway:
            deployed = command(home, "deploy", str(harmless[0]), "--name", "line", "--trust")
            if deployed.returncode:
                raise SystemExit(deployed.stderr)
            inputs = [{"name": f"x{at}", "shape": [1], "datatype": "FP64", "data": [0.5]} for at in range(3)]
            caller = Caller(f"{gateway}/v2/models/line/infer", json.dumps({"inputs": inputs}).encode())

            client = tsavo.connect(home=home)

            def registered(path: Path) -> None:
                with contextlib.suppress(TsavoError):
                    client.register(path, name=path.stem, trust=True)

            turns: dict[str, list[float]] = {"in peace": [], "hostile files": [], "harmless files": []}
            counts = dict.fromkeys(turns, 0)
            try:
                for _ in range(options.rounds):
                    for turn, chosen in (
                        ("in peace", None),
                        ("hostile files", hostile),
                        ("harmless files", harmless),
                    ):
                        work = (
                            None
                            if chosen is None
                            else (lambda stop, chosen=chosen: register(registered, chosen, stop))
                        )
                        found, count = rate(caller, options.seconds, work)
                        turns[turn].append(found)
                        counts[turn] += count
            finally:
                caller.close()
        peace = statistics.median(turns["in peace"])
        print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} processors")
        for turn, rates in turns.items():
            middle = statistics.median(rates)
            print(f"{turn:15} {middle:8.0f} answers/s  ratio {middle / peace:.2f}  files {counts[turn]}")
        print(f"errors: {caller.errors} of {caller.answers + caller.errors}")


if __name__ == "__main__":
    main()
