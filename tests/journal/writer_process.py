"""Started by tests: appends numbered records and prints each number once it is on disk, until it is killed.

Usage: writer_process.py PATH FIRST AWAITERS
"""

from __future__ import annotations

import asyncio
import itertools
import os
import sys
from pathlib import Path

from tsavo.journal import JournalWriter


async def main() -> None:
    path, first, awaiters = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    journal = JournalWriter(path)
    journal.start(asyncio.get_running_loop())
    numbers = itertools.count(first)

    async def work() -> None:
        while True:
            number = next(numbers)
            await journal.append(b"%d" % number + b"." * (number % 700))
            # Written at once: what was acknowledged must reach the test before the kill does.
            os.write(1, b"%d\n" % number)

    await asyncio.gather(*(work() for _ in range(awaiters)))


if __name__ == "__main__":
    asyncio.run(main())
