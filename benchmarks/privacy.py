"""What sealing personal values costs: per decision, beside the whole of recording one, and end to end.

``python -m benchmarks.privacy`` prints processor time per decision (median of five runs) for recording as it is and
with one, three and ten sealed columns; for a subject that is known and for one that is new; and how long it takes to
erase a subject among many.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

import numpy as np

from tsavo.endpoints.answers import Answer
from tsavo.endpoints.origins import Course, Origin
from tsavo.endpoints.recording import record
from tsavo.endpoints.sealing import OPEN, Sealing, SealingDesk
from tsavo.privacy import KeyRing, SubjectKeys
from tsavo.vocabulary import Batch, Field, Output, Privacy, Signature, VersionRef

_RUNS: Final = 5
_COLUMNS: Final = 20


def _signature() -> Signature:
    texts = tuple(Field(f"name{number}", "string", True) for number in range(_COLUMNS // 2))
    numbers = tuple(Field(f"number{number}", "float64", True) for number in range(_COLUMNS // 2))
    return Signature(texts + numbers, (Output("value", "float64"),), "regression")


def _batch() -> Batch:
    texts = [np.array(["Wilhelmina Quarrington"], object) for _ in range(_COLUMNS // 2)]
    return Batch(1, None, (*texts, *[np.array([73_421.5])] * (_COLUMNS // 2)))


def _processor_us(do: Callable[[int], object], times: int) -> float:
    found = []
    for _ in range(_RUNS):
        started = time.thread_time_ns()
        for number in range(times):
            do(number)
        found.append((time.thread_time_ns() - started) / times / 1000)
    return statistics.median(found)


async def _measure(decisions: int, folder: Path) -> list[tuple[str, float]]:
    ring = KeyRing(folder, folder / "master.key")
    keys = SubjectKeys(ring.new_store, time.time_ns, stock=4096, most=1 << 20)
    desk = SealingDesk(lambda: keys)
    signature, batch = _signature(), _batch()
    output = np.array([1.0])
    answer = Answer(
        "0197f0a0-0000-7000-8000-000000000000",
        "credit",
        VersionRef("credit", 1),
        "champion",
        1,
        signature,
        (output,),
        (),
        {},
    )
    origin, course = Origin(subject="zoe", digest=b"d" * 32), Course(1, 2, 3)

    def recording(sealing: Sealing) -> Callable[[int], object]:
        return lambda _: record(answer, signature, batch, origin, course, sealing=sealing)

    found = [("recorded as it is", _processor_us(recording(OPEN), decisions))]
    for count in (1, 3, 10):
        privacy = Privacy(None, tuple(f"name{number}" for number in range(count)))
        sealing = await desk.sealing(privacy, signature, batch, origin)
        found.append((f"recorded, {count} columns sealed", _processor_us(recording(sealing), decisions)))

    async def keyed(names: Callable[[int], str]) -> float:
        privacy = Privacy(None, ("name0",))
        started = time.thread_time_ns()
        for number in range(decisions):
            await desk.sealing(privacy, signature, batch, Origin(subject=names(number), digest=b"d" * 32))
        return (time.thread_time_ns() - started) / decisions / 1000

    found.append(("the key of a known subject", await keyed(lambda _: "zoe")))
    found.append(("the key of a new subject", await keyed(lambda number: f"subject {number}")))
    await asyncio.to_thread(desk.close)
    return found


def _erasing(subjects: int, folder: Path) -> list[tuple[str, float]]:
    ring = KeyRing(folder, folder / "master.key")
    store = ring.open(make=True)
    started = time.perf_counter()
    made = store.make(subjects, 1)
    making = time.perf_counter() - started
    started = time.perf_counter()
    store.assign((key_id, ring.pseudonym(f"subject {at}")) for at, (key_id, _) in enumerate(made))
    assigning = time.perf_counter() - started
    started = time.perf_counter()
    store.erase(ring.pseudonym("subject 7"), [], 2)
    erasing = time.perf_counter() - started
    size = store.path.stat().st_size
    ring.close()
    return [
        ("keys made a second", subjects / making),
        ("keys noted as somebody's a second", subjects / assigning),
        (f"ms to destroy one of {subjects:,}", erasing * 1000),
        ("bytes a subject", size / subjects),
    ]


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--decisions", type=int, default=20_000)
    parser.add_argument("--subjects", type=int, default=200_000)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tsavo-privacy-") as folder:
        rows = asyncio.run(_measure(chosen.decisions, Path(folder, "a")))
        plain = rows[0][1]
        for name, figure in rows:
            print(f"{name:<40} {figure:8.2f} us   {figure / plain:5.2f} of recording")
        for name, figure in _erasing(chosen.subjects, Path(folder, "b")):
            print(f"{name:<40} {figure:12,.1f}")


if __name__ == "__main__":
    main()
