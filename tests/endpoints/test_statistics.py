"""Counters in a memory-mapped file: whole, never lost, and the same whoever reads them."""

from __future__ import annotations

import asyncio
import ctypes
import itertools
import multiprocessing
import os
import random
import resource
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tsavo.endpoints import Gauges, Statistics
from tsavo.endpoints import statistics_file as layout
from tsavo.endpoints.counters import EndpointCounters
from tsavo.endpoints.figures import Counted, Figures
from tsavo.vocabulary import (
    Damaged,
    Forbidden,
    Invalid,
    NotFound,
    Overloaded,
    TooLarge,
    TsavoError,
    Unavailable,
    Unreadable,
    VersionRef,
)

NOW = 1_700_000_000_000_000_000
FIRST = VersionRef("m", 1)
# Processes of these tests import nothing by themselves.
SPAWN = multiprocessing.get_context("spawn")


def figures(statistics: Statistics) -> Figures:
    return asyncio.run(statistics.figures())


def answer(
    counters: EndpointCounters, ref: VersionRef = FIRST, *, rows: int = 1, took: int = 400_000
) -> None:
    counters.answered(ref, "champion", rows, NOW, NOW + took // 4, NOW + took // 2, NOW + took)


def check(counted: Counted, requests: int, rows: int) -> None:
    assert (counted.answered, counted.requests, counted.rows) == (requests, requests, rows)
    assert sum(counted.buckets) == requests


def test_what_is_counted_is_what_happened() -> None:
    statistics = Statistics()
    generator = random.Random(4)
    times = [generator.choice([*layout.BOUNDS_NS, generator.randrange(20_000_000_000)]) for _ in range(500)]
    for took in times:
        answer(statistics.of("e"), rows=3, took=took)
    statistics.of("e").answered(FIRST, "fallback", 1, NOW, NOW, NOW, NOW + 5)
    counted = figures(statistics).endpoint("e")
    check(counted, 501, 1501)
    assert counted.total_ns == sum(times) + 5
    assert counted.input_ns == sum(took // 4 for took in times)
    assert counted.infer_ns == sum(took // 2 - took // 4 for took in times)
    assert counted.fallbacks == 1
    # By the definition of a histogram: a bucket holds what is at most its bound and above the one before.
    edges = [-1, *layout.BOUNDS_NS, 10**18]
    inside = [sum(low < took <= high for took in [*times, 5]) for low, high in itertools.pairwise(edges)]
    assert list(counted.buckets) == inside
    assert counted.last_ns == NOW + 5


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Invalid("x"), "invalid"),
        (Unreadable("x"), "invalid"),
        (TooLarge("x"), "invalid"),
        (NotFound("x"), "invalid"),
        (Forbidden("x"), "refused"),
        (Unavailable("x"), "unavailable"),
        (Overloaded("x"), "overloaded"),
        (Damaged("x"), "failure"),
        (TsavoError("x"), "failure"),
        (ZeroDivisionError(), "failure"),
    ],
)
def test_failures_are_counted_by_kind(error: Exception, kind: str) -> None:
    statistics = Statistics()
    statistics.of("e").failed(FIRST, error, NOW, NOW + 7)
    read = figures(statistics)
    counted = read.endpoint("e")
    assert counted.failed == dict.fromkeys(layout.FAILURE_KINDS, 0) | {kind: 1}
    assert (counted.requests, counted.answered, counted.failed_ns) == (1, 0, 7)
    assert read.versions("e")[1].failed_requests == 1


def test_a_clock_that_is_set_back_takes_nothing_away() -> None:
    statistics = Statistics()
    answer(statistics.of("e"))
    statistics.of("e").answered(FIRST, "champion", 1, NOW, NOW + 10, NOW - 10**12, NOW - 10**12)
    statistics.of("e").failed(FIRST, Invalid("x"), NOW, NOW - 10**12)
    counted = figures(statistics).endpoint("e")
    assert (counted.total_ns, counted.failed_ns, counted.answered) == (400_000, 0, 2)


def test_many_versions_add_up_and_the_last_ones_are_told_apart() -> None:
    statistics = Statistics()
    generator = random.Random(1)
    wanted = dict.fromkeys(range(1, 31), 0)
    counters = statistics.of("e")
    for number in wanted:
        # Who answered before answers again now and then, as a fallback does.
        for _ in range(generator.randrange(1, 20)):
            chosen = generator.choice([max(1, number - 1), number])
            wanted[chosen] += 1
            counters.answered(
                VersionRef("m", chosen), "champion", 2, NOW, NOW, NOW, NOW + number * 1000 + wanted[chosen]
            )
    read = figures(statistics)
    check(read.endpoint("e"), sum(wanted.values()), 2 * sum(wanted.values()))
    told = read.versions("e")
    assert len(told) == layout.VERSIONS
    assert max(told) >= 29
    assert all(counted.answered <= wanted[number] for number, counted in told.items())


def test_endpoints_that_come_while_the_file_grows_are_counted_and_found(tmp_path: Path) -> None:
    async def test() -> None:
        statistics = Statistics(tmp_path / "run" / "gateway-0")
        statistics.start(asyncio.get_running_loop())
        before = (tmp_path / "run" / "gateway-0").stat().st_size
        names = [f"endpoint-{number}" for number in range(1000)]
        for turn in range(3):
            for name in names:
                answer(statistics.of(name), rows=turn)
        for _ in range(200):
            read = await statistics.figures()
            if len(read.names) == len(names):
                break
            await asyncio.sleep(0.01)
        assert sorted(read.names) == sorted(names)
        assert (read.requests == 3).all()
        check(read.total(), 3000, 3000)
        assert (tmp_path / "run" / "gateway-0").stat().st_size > before
        statistics.stop()

    asyncio.run(test())


def test_nothing_is_lost_while_the_disk_is_full(tmp_path: Path) -> None:
    path = tmp_path / "run" / "gateway-0"
    statistics = Statistics(path)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size, before[1]))
    try:
        for number in range(200):
            answer(statistics.of(f"endpoint-{number}"))
        assert 0 < figures(statistics).total().requests < 200
        for number in range(200):
            answer(statistics.of(f"endpoint-{number}"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    check(figures(statistics).total(), 400, 400)
    assert figures(statistics).endpoint("endpoint-199").requests == 2


def test_workers_are_added_up_whoever_is_asked(tmp_path: Path) -> None:
    workers = [Statistics(tmp_path / "run" / f"gateway-{number}") for number in range(3)]
    # Each knows its endpoints in an order of its own.
    for at, worker in enumerate(workers):
        for number in range(40):
            name = f"endpoint-{(number * 7 + at) % 50}"
            for _ in range(number % 5 + 1):
                answer(worker.of(name), rows=at + 1)
        worker.unknown(NotFound("x"))
    told = [figures(worker) for worker in workers]
    expected: dict[str, int] = {}
    for at in range(3):
        for number in range(40):
            name = f"endpoint-{(number * 7 + at) % 50}"
            expected[name] = expected.get(name, 0) + number % 5 + 1
    for read in told:
        assert {name: read.endpoint(name).requests for name in read.names} == expected
        assert read.total().requests == sum(expected.values())
        assert read.total().rows == sum(sum(range(5 + 1)) * 8 * (at + 1) for at in range(3))
        assert sum(worker.unknown for worker in read.workers) == 3
        assert [worker.worker for worker in read.workers] == ["0", "1", "2"]
        busiest = read.busiest(7)
        assert [expected[name] for name in busiest] == sorted(expected.values(), reverse=True)[:7]
    assert told[0].busiest(0) == []
    assert len(told[0].busiest(1000)) == len(expected)


def test_how_a_worker_is_doing_is_told_to_all(tmp_path: Path) -> None:
    one, other = (Statistics(tmp_path / "run" / f"gateway-{number}") for number in range(2))
    one.watch(lambda: Gauges(3, 4, 5, 6, 7, 8))
    one.in_flight = 2
    one.pulse()
    told = figures(other).workers[0]
    assert told.pid == os.getpid()
    assert told.resident_bytes is not None
    assert told.resident_bytes > 1 << 20
    assert (told.in_flight, told.journal_pending, told.loaded_versions, told.loaded_bytes) == (2, 3, 4, 5)
    assert (told.revision, told.turned_away, told.evictions, told.starts) == (6, 7, 8, 1)


def test_who_takes_over_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "run" / "gateway-0"
    for turn in range(1, 4):
        statistics = Statistics(path)
        statistics.watch(lambda: Gauges(turned_away=10))
        for number in range(100 * turn):
            answer(statistics.of(f"endpoint-{number}"), VersionRef("m", turn))
        read = figures(statistics)
        assert len(read.names) == 100 * turn
        assert read.total().requests == sum(100 * before for before in range(1, turn + 1))
        assert read.endpoint("endpoint-0").requests == turn
        assert set(read.versions("endpoint-0")) == set(range(1, turn + 1))
        assert (read.workers[0].starts, read.workers[0].turned_away) == (turn, 10 * turn)


@pytest.mark.parametrize("damage", [b"", b"\0" * 100, b"TSAVOST0" * 1000, b"x" * 512])
def test_a_file_that_is_none_is_made_anew(tmp_path: Path, damage: bytes) -> None:
    path = tmp_path / "run" / "gateway-0"
    path.parent.mkdir()
    path.write_bytes(damage)
    other = Statistics(path.with_name("gateway-1"))
    answer(other.of("e"))
    # Whoever reads while it is like that leaves it out.
    check(figures(other).total(), 1, 1)
    statistics = Statistics(path)
    answer(statistics.of("e"))
    check(figures(other).total(), 2, 2)


def test_a_row_whose_name_is_not_whole_is_left_out(tmp_path: Path) -> None:
    statistics = Statistics(tmp_path / "run" / "gateway-0")
    for name in ("a", "b", "c"):
        answer(statistics.of(name))
    layout.row_of(statistics._words, 1)[layout.CHECK] = 0
    read = figures(statistics)
    assert sorted(read.names) == ["a", "c"]
    assert read.total().requests == 2


def test_a_file_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("no folder")
    with pytest.raises(Unavailable, match="statistics"):
        Statistics(tmp_path / "run" / "gateway-0")


def write_until_killed(path: str, done: Any) -> None:
    """Answer for one endpoint after the other, each time with another version than before."""
    statistics = Statistics(Path(path))
    generator = random.Random(os.getpid())
    while True:
        name = f"endpoint-{generator.randrange(5)}"
        answer(statistics.of(name), VersionRef("m", generator.randrange(1, 9)), rows=2)
        done.value += 1


def test_a_killed_worker_takes_nothing_with_it_and_readers_see_sense(tmp_path: Path) -> None:
    path = tmp_path / "run" / "gateway-0"
    reader = Statistics(tmp_path / "run" / "gateway-1")
    done = SPAWN.RawValue(ctypes.c_int64)
    unfinished = 0
    for turn in range(1, 3):
        process = SPAWN.Process(target=write_until_killed, args=(str(path), done), daemon=True)
        process.start()
        at_start, before = done.value, figures(reader).total()
        while done.value == at_start:
            time.sleep(0.01)
        end = time.monotonic() + 0.3
        while time.monotonic() < end:
            least = done.value
            now = figures(reader).total()
            # What was counted when the reading began is there, and nothing that was not begun when it ended.
            most = done.value + unfinished + 1
            assert max(least, before.answered) <= now.answered <= most
            assert max(2 * least, before.rows) <= now.rows <= 2 * most
            before = now
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        unfinished = turn
        assert done.value <= figures(reader).total().answered <= done.value + unfinished
        assert figures(reader).workers[0].starts == turn


# Every byte differs between them, and from zero.
PATTERNS = (0x1111111111111111, 0x2222222222222222)


def turn_over_until_killed(path: str, ready: Any) -> None:
    """Count so that the rows and the time are one pattern and then the other, again and again."""
    counters = Statistics(Path(path)).of("e")
    version = counters._turn_to(FIRST)
    took = PATTERNS[1] - PATTERNS[0]
    for turn in itertools.count():
        at = PATTERNS[turn % 2]
        version.rows, version.total = at - 1, at - took
        counters.answered(FIRST, "champion", 1, 0, 0, 0, took)
        ready.value = turn


def test_no_number_is_ever_seen_half_written(tmp_path: Path) -> None:
    ready = SPAWN.RawValue(ctypes.c_int64)
    path = tmp_path / "run" / "gateway-0"
    process = SPAWN.Process(target=turn_over_until_killed, args=(str(path), ready), daemon=True)
    process.start()
    while not ready.value:
        time.sleep(0.01)
    rows = layout.rows_in(layout.CounterFile(path, read_only=True).map())[:1]
    first = layout.block_at(layout.FORMER)
    words = [first + layout.B_ROWS, first + layout.B_TOTAL]
    end = time.monotonic() + 0.5
    seen: set[int] = set()
    while time.monotonic() < end:
        for _ in range(500):
            seen.update(layout.read_rows(rows)[0, words].tolist())
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert seen == set(PATTERNS)
