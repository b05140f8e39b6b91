"""Does "answered means recorded" hold? Processes are killed under load, on disks that fail, and ids are counted.

    python -m benchmarks.kills [--kills 500] [--a-run 50] [--seed 1]

In each run a new Tsavo with two gateway workers is asked by real HTTP clients, on two endpoints: without and with an
``Idempotency-Key`` (whoever has a key asks again until there is an answer). Gateway workers, the keeper, or both are
killed with SIGKILL at random moments; in between the disk under the journals and the lake fails for a while: it is
full, read-only, slow, tears writes, or fails to sync. At the end of a run the disk works, and the ids of all answers
are compared with those of all recorded decisions. The runs take turns in what the gateway does when the disk takes
nothing (``journal.when_full``).

What the table says, for each run:

    answered    decisions whose answers a client received (a flagged answer has no id and is not among them)
    lost        answered and not recorded: must be 0
    doubled     recorded more than once: must be 0
    unheard     recorded, and no client heard of it: its request, or its answer, was under way when the gateway was
                killed. At most as many as connections were cut; with keys none, because the client asks again.
    flagged     answers without a record, flagged so; the journal's own count of them (counted) is at least as high
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from benchmarks.homes import KEYED, PLAIN, Home

POLICIES: Final = ("refuse", "spill", "refuse", "answer-and-flag")
# What goes wrong, for which calls, and for how many in a thousand of them.
FAULTS: Final = (
    ("full", "wt", 1000), ("enospc", "wt", 400), ("eio", "w", 1000), ("eio", "s", 1000), ("eio", "s", 300),
    ("erofs", "wsto", 1000), ("torn", "ws", 500), ("slow", "ws", 1000),
)  # fmt: skip
CONNECTIONS: Final = 8
# Answers between two kills, and how long they are waited for.
MEANWHILE: Final = 30
MEANWHILE_SECONDS: Final = 2.0
COLUMNS: Final = ("run", "policy", "kills", "gateway", "keeper", "both", "faults", "answered", "lost", "doubled",
                  "unheard", "cut", "flagged", "counted")  # fmt: skip


class Tally:
    """What the clients of one endpoint saw."""

    def __init__(self) -> None:
        self.answered: set[str] = set()
        self.statuses: Counter[int] = Counter()
        self.wrong: list[str] = []
        self.flagged = 0
        self.cut = 0


class Result(NamedTuple):
    """What one run came to."""

    policy: str
    killed: Counter[str]
    faults: Counter[str]
    answered: int
    lost: list[str]
    doubled: list[str]
    unheard: int
    unheard_keyed: int
    cut: int
    flagged: int
    counted: int
    wrong: list[str]
    statuses: Counter[int]

    @property
    def holds(self) -> bool:
        """Whether the promises were kept."""
        return (
            not self.lost
            and not self.doubled
            and not self.wrong
            and not self.unheard_keyed
            and self.unheard <= self.cut
            and self.flagged <= self.counted
        )


async def ask(
    address: tuple[str, int], endpoint: str, going: Callable[[], bool], seed: int, tally: Tally
) -> None:
    """One connection after the other; a request with a key is sent until it is answered."""
    chance = random.Random(seed)
    request = b""
    while going() or request:
        try:
            reader, writer = await asyncio.open_connection(*address)
        except OSError:
            await asyncio.sleep(0.05)
            continue
        sent = False
        try:
            while going() or request:
                if not request or endpoint == PLAIN:
                    request = _request(endpoint, chance)
                writer.write(request)
                sent = True
                head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)
                length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
                body = await asyncio.wait_for(reader.readexactly(length), 30)
                sent = False
                answered = _hear(int(head.split(b" ", 2)[1]), body, tally)
                if answered or endpoint == PLAIN:
                    request = b""
                await asyncio.sleep(chance.uniform(0, 0.02) if answered else 0.05)
        except (OSError, asyncio.IncompleteReadError, TimeoutError):
            tally.cut += sent
            if endpoint == PLAIN:
                request = b""
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()


def _request(endpoint: str, chance: random.Random) -> bytes:
    values = [round(chance.uniform(-100, 100), 3) for _ in range(chance.choice((1, 1, 1, 3)))]
    tensor = {"name": "x", "shape": [len(values)], "datatype": "FP64", "data": values}
    body = json.dumps({"inputs": [tensor]}).encode()
    key = f"idempotency-key: {uuid.UUID(int=chance.getrandbits(128))}\r\n" if endpoint == KEYED else ""
    head = f"POST /v2/models/{endpoint}/infer HTTP/1.1\r\nhost: tsavo\r\n{key}content-length: {len(body)}\r\n\r\n"
    return head.encode() + body


def _hear(status: int, body: bytes, tally: Tally) -> bool:
    """Take down one answer; return whether it was one."""
    tally.statuses[status] += 1
    if status != 200:
        if status not in (409, 429, 503):
            tally.wrong.append(f"{status}: {body[:300]!r}")
        return False
    answer = json.loads(body)
    told = answer["parameters"]
    if "unrecorded" in told["flags"]:
        tally.flagged += 1
        if "decision_id" in told:
            tally.wrong.append(f"flagged, and with an id: {told}")
        return True
    first = told["decision_id"].removesuffix(":0")
    tally.answered.update(f"{first}:{row}" for row in range(len(answer["outputs"][0]["data"])))
    return True


def harm(
    home: Home,
    kills: int,
    chance: random.Random,
    heard: Callable[[], int],
    killed: Counter[str],
    faults: Counter[str],
) -> None:
    """Kill so many times, and let the disk fail now and then, also while processes are killed and start again."""
    until = 0.0
    while sum(killed.values()) < kills:
        if until and time.monotonic() > until:
            home.disk.works()
            until = 0.0
        elif not until and (not faults or chance.random() < 0.3):
            what, calls, per_mille = chance.choice(FAULTS)
            home.disk.goes_wrong(what, calls, per_mille=per_mille, milliseconds=chance.choice((5, 50, 200)))
            faults[f"{what}:{calls}"] += 1
            until = time.monotonic() + chance.uniform(0.3, 2.5)
        time.sleep(chance.uniform(0.05, 0.8))
        # A process that is killed again before it did anything shows nothing.
        enough, latest = heard() + MEANWHILE, time.monotonic() + MEANWHILE_SECONDS
        while heard() < enough and time.monotonic() < latest:
            time.sleep(0.02)
        what = chance.choice(("gateway", "gateway", "keeper", "both"))
        gateways = home.processes("tsavo.app.gateway_process")
        keepers = home.processes("tsavo.app.keeper_process")
        victims = {
            "gateway": chance.sample(gateways, min(len(gateways), 1)),
            "keeper": keepers,
            "both": [*gateways, *keepers],
        }[what]
        if not victims:
            continue
        for pid in victims:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        killed[what] += 1
    home.disk.works()


def run(policy: str, kills: int, seed: int, folder: Path) -> Result:
    """One run in a folder of its own."""
    chance = random.Random(seed)
    home = Home(folder, policy)
    tallies = {PLAIN: Tally(), KEYED: Tally()}
    killed: Counter[str] = Counter()
    faults: Counter[str] = Counter()
    failed: list[BaseException] = []
    try:
        home.deploy(folder)
        url = urlsplit(home.addresses["gateway"])
        address = (url.hostname or "", url.port or 0)

        def heard() -> int:
            return sum(tally.statuses.total() for tally in tallies.values())

        def work() -> None:
            try:
                harm(home, kills, chance, heard, killed, faults)
            except BaseException as error:
                failed.append(error)
                home.disk.works()

        harming = threading.Thread(target=work)
        harming.start()

        async def load() -> None:
            calls = [
                ask(address, endpoint, harming.is_alive, seed * 1000 + number, tallies[endpoint])
                for number in range(CONNECTIONS)
                for endpoint in (PLAIN, KEYED)
            ]
            await asyncio.gather(*calls)

        asyncio.run(load())
        harming.join()
        if failed:
            raise failed[0]
        return compare(home, policy, tallies, killed, faults)
    finally:
        home.disk.works()
        home.tsavo("down")


def compare(
    home: Home, policy: str, tallies: dict[str, Tally], killed: Counter[str], faults: Counter[str]
) -> Result:
    """The ids of answers beside those of recorded decisions."""
    lost, doubled, unheard = [], [], {}
    for endpoint, tally in tallies.items():
        recorded = home.recorded(endpoint)
        lost += sorted(tally.answered - recorded.keys())
        doubled += [one for one, count in recorded.items() if count > 1]
        # Of a request with several rows all are recorded or none.
        unheard[endpoint] = len({one.rpartition(":")[0] for one in recorded.keys() - tally.answered})
    flagged = sum(tally.flagged for tally in tallies.values())
    counted = home.counted()
    deadline = time.monotonic() + 20
    while counted < flagged and time.monotonic() < deadline:
        # The count is written once the disk works and the writer has looked.
        time.sleep(0.2)
        counted = home.counted()
    statuses: Counter[int] = Counter()
    for tally in tallies.values():
        statuses += tally.statuses
    return Result(
        policy, killed, faults, sum(len(tally.answered) for tally in tallies.values()), lost, doubled,
        unheard[PLAIN], unheard[KEYED], tallies[PLAIN].cut, flagged, counted,
        [line for tally in tallies.values() for line in tally.wrong], statuses,
    )  # fmt: skip


def line(number: int | str, results: list[Result]) -> str:
    """One row of the table."""
    killed = sum((result.killed for result in results), Counter[str]())
    cells = (
        number,
        results[0].policy if len(results) == 1 else "all",
        killed.total(),
        killed["gateway"],
        killed["keeper"],
        killed["both"],
        sum(result.faults.total() for result in results),
        sum(result.answered for result in results),
        sum(len(result.lost) for result in results),
        sum(len(result.doubled) for result in results),
        sum(result.unheard + result.unheard_keyed for result in results),
        sum(result.cut for result in results),
        sum(result.flagged for result in results),
        sum(result.counted for result in results),
    )
    return (
        "| "
        + " | ".join(str(cell).rjust(len(name)) for cell, name in zip(cells, COLUMNS, strict=True))
        + " |"
    )


def main() -> int:
    """Run, print the table, and return 0 when every promise was kept."""
    parser = argparse.ArgumentParser(description="kills under load, on failing disks, and the ids counted")
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--a-run", type=int, default=50, help="kills in each run")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    print(
        "| " + " | ".join(COLUMNS) + " |\n|" + "|".join("-" * (len(name) + 2) for name in COLUMNS) + "|",
        flush=True,
    )
    results: list[Result] = []
    left = arguments.kills
    while left > 0:
        number = len(results)
        with tempfile.TemporaryDirectory(prefix="tsavo-kills-") as folder:
            kills = min(left, arguments.a_run)
            policy = POLICIES[number % len(POLICIES)]
            result = run(policy, kills, arguments.seed + number, Path(folder))
        results.append(result)
        left -= kills
        print(line(number + 1, [result]), flush=True)
        if not result.holds:
            print(f"  a promise was broken: {result}"[:4000], flush=True)
    print(line("all", results))
    faults = sum((result.faults for result in results), Counter[str]())
    print(
        "disk faults (what:calls): " + ", ".join(f"{name} {count}" for name, count in sorted(faults.items()))
    )
    statuses = sum((result.statuses for result in results), Counter[int]())
    print("answers by status: " + ", ".join(f"{name} {count}" for name, count in sorted(statuses.items())))
    kept = sum(result.holds for result in results)
    print(f"{kept} of {len(results)} runs kept every promise")
    return 0 if kept == len(results) else 1


if __name__ == "__main__":
    sys.exit(main())
