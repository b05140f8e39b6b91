"""What the log costs: microseconds a decision when it is shipped, and how fast a home is verified.

    python -m benchmarks.ledger [--decisions 200000]

Decisions are journalled, and then shipped by the same code as the keeper's, without and with the log, in turns. `log`
is the time spent for the log alone: hashing the files, writing the entries, fsync. Busy: one endpoint, 20,000 rows to a
commit. Quiet: 200 endpoints with a hundredth of that each. Verification is timed on files of random bytes.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from tests.examples import SteppingClock
from tests.lake.scene import Scene, decision
from tests.ledger.homes import VERIFIER
from tsavo.journal import JournalWriter
from tsavo.lake import CommitLog
from tsavo.lake.commits import Vouch
from tsavo.ledger import Ledger, verify_home
from tsavo.ledger.tree import TreeFile, leaf_hash
from tsavo.vocabulary import encode_record

_ROWS: Final = 10
_A_COMMIT: Final = 20_000


class TimedLog(CommitLog):
    """Knows how long it has worked."""

    seconds = 0.0

    @contextmanager
    def watching(self, table: Path, vouch: Vouch | None = None, *, tidying: bool = False) -> Iterator[None]:
        """As `CommitLog.watching`; what happens in the block is not the log's time."""
        began = time.perf_counter()
        inside = 0.0
        with super().watching(table, vouch, tidying=tidying):
            entered = time.perf_counter()
            yield
            inside = time.perf_counter() - entered
        self.seconds += time.perf_counter() - began - inside

    def flush(self) -> int:
        """As `CommitLog.flush`."""
        began = time.perf_counter()
        try:
            return super().flush()
        finally:
            self.seconds += time.perf_counter() - began


def fill(scene: Scene, decisions: int, endpoints: int) -> None:
    """Journal `decisions`, `_ROWS` to a request."""
    writer = JournalWriter(scene.journals / "gateway-0.db")
    for number in range(decisions // _ROWS):
        name = f"endpoint-{number % endpoints}"
        writer.append_blocking(encode_record(decision(number, endpoint=name, rows=_ROWS)))
    writer.close()


def ship(folder: Path, decisions: int, endpoints: int, *, logged: bool) -> tuple[float, float]:
    """Seconds for shipping all, and seconds of it for the log."""
    folder.mkdir(parents=True)
    scene = Scene(folder)
    fill(scene, decisions, endpoints)
    log, ledger = None, None
    if logged:
        ledger = Ledger(folder / "ledger", folder / "cache", SteppingClock())
        log = TimedLog(folder / "lake", ledger)
        scene.lake.log_to(log)
    began = time.perf_counter()
    while scene.lake.ship(max_rows=_A_COMMIT // _ROWS).more:
        continue
    seconds = time.perf_counter() - began
    if ledger is None or log is None:
        return seconds, 0.0
    ledger.sign()
    ledger.close()
    return seconds, log.seconds


def verified(folder: Path, files: int = 16, megabytes: int = 16) -> tuple[float, float]:
    """MB/s of our verification and of the independent one."""
    ledger = Ledger(folder / "ledger", folder / "cache", SteppingClock())
    log = CommitLog(folder / "lake", ledger)
    (folder / "lake").mkdir(parents=True)
    for number in range(files):
        path = folder / "lake" / f"{number}.parquet"
        path.write_bytes(os.urandom(megabytes << 20))
        log.add_file(path)
    log.flush()
    ledger.sign()
    key = ledger.public_key
    ledger.close()
    verdict = verify_home(folder / "ledger", folder, {})
    assert verdict.ok, verdict.bad
    began = time.perf_counter()
    words = [sys.executable, "-I", "-S", str(VERIFIER), str(folder), key, "--no-registry"]
    subprocess.run(words, check=True, capture_output=True)
    size = verdict.bytes / 1e6
    return size / verdict.seconds, size / (time.perf_counter() - began)


def tree_cost(folder: Path, entries: int = 100_000) -> float:
    """Microseconds for a leaf: its hash, and its part of the tree."""
    tree = TreeFile(folder / "tree", writable=True)
    lines = [b"%400d" % number for number in range(entries)]
    began = time.perf_counter()
    tree.append(map(leaf_hash, lines))
    seconds = time.perf_counter() - began
    tree.close()
    return seconds / entries * 1e6


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--decisions", type=int, default=200_000)
    asked = parser.parse_args()
    print(f"{platform.machine()}, {os.cpu_count()} processors, {asked.decisions:,} decisions")
    print(f"{'us/decision':12}{'shipping':>10}{'with the log':>14}{'log alone':>11}")
    with tempfile.TemporaryDirectory(prefix="tsavo-ledger-") as folder:
        for name, endpoints in (("busy", 1), ("quiet", 200)):
            plain, _ = ship(Path(folder, f"{name}-plain"), asked.decisions, endpoints, logged=False)
            logged, log = ship(Path(folder, f"{name}-logged"), asked.decisions, endpoints, logged=True)
            each = [seconds / asked.decisions * 1e6 for seconds in (plain, logged, log)]
            print(f"{name:12}{each[0]:>10.2f}{each[1]:>14.2f}{each[2]:>11.2f}")
        print(f"a leaf in the tree: {tree_cost(Path(folder)):.2f} us")
        ours, theirs = verified(Path(folder, "files"))
    print(f"verification: {ours:,.0f} MB/s; by the independent verifier {theirs:,.0f} MB/s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
