"""A Tsavo of its own for a run of `kills`, on a disk that goes bad when told to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

from tests.journal.faults.disk import BadDisk
from tsavo.journal import Journal, journals

__all__ = ["KEYED", "PLAIN", "Home"]

PLAIN, KEYED = "plain", "keyed"


class Home:
    """A Tsavo of a run's own, on a disk that goes bad when told to."""

    def __init__(self, folder: Path, policy: str) -> None:
        self.folder = folder / "home"
        self.disk = BadDisk(self.folder / "journal", folder, self.folder / "lake")
        spill = folder / "spill"
        spill.mkdir()
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("TSAVO_")},
            **self.disk.environment,
            "TSAVO_JOURNAL_WHEN_FULL": policy,
            "TSAVO_JOURNAL_SPILL": str(spill),
            "TSAVO_KEEPER_SHIP_SECONDS": "0.3",
        }
        words = ["--port", "0", "--grpc-port", "-1", "--console-port", "0", "--workers", "2", "--detach"]
        self.addresses = self.tsavo("up", *words)

    def tsavo(self, *words: str) -> Any:
        """Run a command with --json; return what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "tsavo", *words, "--home", str(self.folder), "--json"],
            capture_output=True, text=True, env=self._environment, check=False, timeout=180,
        )  # fmt: skip
        if done.returncode != 0:
            raise RuntimeError(f"tsavo {' '.join(words)}: {done.stderr}")
        return json.loads(done.stdout) if done.stdout.strip() else None

    def deploy(self, folder: Path) -> None:
        """One model, which doubles a number, on two endpoints."""
        source = folder / "model"
        source.mkdir()
        source.joinpath("fit.py").write_text(
            "import sys, joblib, numpy as np\nfrom sklearn.linear_model import LinearRegression\n"
            "x = np.arange(-20.0, 20.0).reshape(-1, 1)\n"
            "joblib.dump(LinearRegression().fit(x, 2 * x[:, 0]), sys.argv[1])\n"
        )
        model, reference = folder / "doubles.joblib", folder / "reference.csv"
        reference.write_text("x\n" + "\n".join(f"{number}.5" for number in range(40)))
        subprocess.run([sys.executable, str(source / "fit.py"), str(model)], check=True)
        words = ["--name", "doubles", "--reference", str(reference), "--task", "regression", "--trust"]
        self.tsavo("register", str(model), *words)
        for endpoint in (PLAIN, KEYED):
            self.tsavo("deploy", "doubles", "--endpoint", endpoint)
        # A route is followed everywhere within a second.
        time.sleep(1.0)

    def processes(self, module: str) -> list[int]:
        """Process ids of this home's children that run `module`."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
            except OSError:
                continue
            if module.encode() in words and str(self.folder).encode() in words:
                found.append(int(entry.name))
        return found

    def recorded(self, endpoint: str) -> Counter[str]:
        """How often each decision is in the lake and the journals."""
        rows = self.tsavo(
            "sql", f"select decision_id from decisions where endpoint = '{endpoint}'", "--limit", "5000000"
        )
        return Counter(row["decision_id"] for row in rows)

    def counted(self) -> int:
        """Answers without a record, as the journals and the audit trail tell them."""
        found: dict[int, int] = {}
        for path in journals(self.folder / "journal"):
            with Journal(path) as journal:
                found.update({gap.first: gap.answers for gap in journal.gaps()})
        entries = f"{self.addresses['console']}/api/audit?limit=1000"
        with urllib.request.urlopen(entries, timeout=60) as answer:
            for entry in json.load(answer)["items"]:
                if entry["action"] == "journal-gap":
                    gap = entry["after"]
                    found[gap["first"]] = max(gap["answers"], found.get(gap["first"], 0))
        return sum(found.values())
