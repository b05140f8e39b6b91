"""Started by tests: appends numbered records and says what became of each, until it is killed.

Usage: writer_process.py PATH FIRST AWAITERS [OPTIONS]

Each line is a number, once its record is on disk; ``-`` and the number when it was refused; ``?`` and the number when
it may be answered unrecorded. With the file name ``acks`` in the options, which are JSON, what is on disk is also
written to that file: a layer that writes down what is done to the disk then knows when it was said.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

from tsavo.journal import Bounds, JournalWriter, KeptReply
from tsavo.vocabulary import TsavoError


async def main() -> None:
    path, first, awaiters = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    options: dict[str, Any] = json.loads(sys.argv[4]) if len(sys.argv) > 4 else {}
    acks = options.pop("acks", None)
    size = options.pop("size", 0)
    keyed = options.pop("keyed", False)
    if "bounds" in options:
        options["bounds"] = Bounds(*options["bounds"])
    if "spill" in options:
        options["spill"] = Path(options["spill"])
    told = None if acks is None else os.open(acks, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    journal = JournalWriter(path, **options)
    journal.start(asyncio.get_running_loop())
    numbers = itertools.count(first)

    async def work() -> None:
        while True:
            number = next(numbers)
            try:
                reply = KeptReply(b"%16d" % number, time.time_ns(), b"", b"reply") if keyed else None
                flag = await journal.append(b"%d" % number + b"." * (size or number % 700), reply=reply)
            except TsavoError:
                os.write(1, b"-%d\n" % number)
                await asyncio.sleep(0.005)
                continue
            if flag is not None:
                os.write(1, b"?%d\n" % number)
                await asyncio.sleep(0.002)
                continue
            if told is not None:
                os.write(told, b"%d\n" % number)
            # Written at once: what was acknowledged must reach the test before the kill does.
            os.write(1, b"%d\n" % number)

    await asyncio.gather(*(work() for _ in range(awaiters)))


if __name__ == "__main__":
    asyncio.run(main())
