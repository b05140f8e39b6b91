"""Started by tests: ships the journals of a home in small batches until it is killed.

Usage: shipping_process.py FOLDER ROWS
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.lake.scene import Scene


def main() -> None:
    scene = Scene(Path(sys.argv[1]))
    print("ready", flush=True)  # noqa: T201 -- the test waits for it
    while True:
        scene.lake.ship(max_rows=int(sys.argv[2]))


if __name__ == "__main__":
    main()
