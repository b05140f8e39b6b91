"""Nothing that Tsavo runs reports to anybody."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def test_onnxruntime_keeps_no_diary_and_starts_no_thread(tmp_path: Path) -> None:
    """Left to itself it opens a data base below the home, and sends what is in it to its makers."""
    program = """
from tsavo.runtimes import OnnxRuntime
from pathlib import Path
tasks = Path("/proc/self/task")
print(sorted((task / "comm").read_text().strip() for task in tasks.iterdir()) if tasks.exists() else [])
"""
    kept = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    ended = subprocess.run(
        [sys.executable, "-c", program],
        env={**kept, "HOME": str(tmp_path), "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert list(tmp_path.rglob("*")) == []
    assert len(eval(ended.stdout)) <= 1, ended.stdout
