"""Started by tests: ships, merges and drops rows of a home, until it is killed.

Usage: tidying_process.py FOLDER SECONDS, where rows from before so many seconds after the start are dropped
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.lake.scene import SECOND, START, Scene


def main() -> None:
    scene = Scene(Path(sys.argv[1]))
    before = datetime.fromtimestamp(START // SECOND, UTC) + timedelta(seconds=int(sys.argv[2]))
    print("ready", flush=True)  # noqa: T201 -- the test waits for it
    while True:
        scene.lake.ship(max_rows=30)
        scene.lake.maintain(most_small_files=1)
        scene.lake.expire("credit-risk", before)


if __name__ == "__main__":
    main()
