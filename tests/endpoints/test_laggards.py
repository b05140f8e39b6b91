"""Who follows a change, from what workers write down."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from tsavo.endpoints import Gauges, Statistics
from tsavo.endpoints.laggards import Laggard, laggards
from tsavo.endpoints.statistics_file import WAITING


def why(folder: Path, revision: int, *, later: float = 0.0) -> dict[str, str]:
    return {one.worker: one.why for one in laggards(folder, revision, time.time_ns() + int(later * 1e9))}


def test_each_worker_counts_from_the_moment_in_which_it_follows(tmp_path: Path) -> None:
    first, second = (Statistics(tmp_path / f"gateway-{number}") for number in (0, 1))
    assert why(tmp_path, 1) == {"gateway-0": "behind", "gateway-1": "behind"}
    first.follows(1, ())
    assert why(tmp_path, 1) == {"gateway-1": "behind"}
    second.follows(7, ())
    assert why(tmp_path, 1) == {}
    assert why(tmp_path, 5) == {"gateway-0": "behind"}


def test_the_pulse_says_the_same(tmp_path: Path) -> None:
    statistics = Statistics(tmp_path / "gateway-0")
    statistics.watch(lambda: Gauges(revision=3))
    statistics.pulse()
    assert why(tmp_path, 3) == {}
    assert why(tmp_path, 4) == {"gateway-0": "behind"}


def test_a_route_that_waits_for_its_champion_is_told_of_and_the_others_are_not(tmp_path: Path) -> None:
    statistics = Statistics(tmp_path / "gateway-0")
    statistics.follows(9, {4, 7})
    assert [why(tmp_path, revision) for revision in (3, 4, 7, 9)] == [
        {},
        {"gateway-0": "loading"},
        {"gateway-0": "loading"},
        {},
    ]
    statistics.follows(10, {7})
    assert why(tmp_path, 4) == {}
    assert why(tmp_path, 7) == {"gateway-0": "loading"}
    statistics.follows(10, ())
    assert why(tmp_path, 7) == {}


def test_more_routes_that_wait_than_can_be_listed_are_never_taken_for_followed(tmp_path: Path) -> None:
    statistics = Statistics(tmp_path / "gateway-0")
    waiting = set(range(1, WAITING + 6))
    statistics.follows(100, waiting)
    assert all(why(tmp_path, revision) == {"gateway-0": "loading"} for revision in waiting)
    for revision in sorted(waiting):
        waiting.discard(revision)
        statistics.follows(100, waiting)
        assert all(why(tmp_path, left) == {"gateway-0": "loading"} for left in waiting)
    assert why(tmp_path, 3) == {}


def test_a_worker_that_takes_the_place_of_another_has_read_nothing_yet(tmp_path: Path) -> None:
    Statistics(tmp_path / "gateway-0").follows(9, {4})
    assert why(tmp_path, 8) == {}
    Statistics(tmp_path / "gateway-0")
    assert why(tmp_path, 8) == {"gateway-0": "behind"}


def test_a_worker_that_says_nothing_is_silent_and_one_that_is_gone_is_none(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from tsavo.endpoints import Statistics\n"
        "statistics = Statistics(Path(sys.argv[1])); statistics.pulse(); print(flush=True); time.sleep(600)"
    )
    words = [sys.executable, "-c", program, str(tmp_path / "gateway-0")]
    worker = subprocess.Popen(words, stdout=subprocess.PIPE)
    try:
        assert worker.stdout is not None
        worker.stdout.readline()
        assert why(tmp_path, 1) == {"gateway-0": "behind"}
        assert why(tmp_path, 1, later=60) == {"gateway-0": "silent"}
        (told,) = laggards(tmp_path, 1, time.time_ns() + 60 * 10**9)
        assert str(told).startswith("gateway-0 has said nothing for ")
    finally:
        worker.kill()
        worker.wait()
        worker.stdout.close() if worker.stdout else None
    assert why(tmp_path, 1) == {}


@pytest.mark.parametrize("content", [b"", b"short", bytes(4096)], ids=["empty", "short", "zeros"])
def test_what_is_no_file_of_a_worker_is_left_alone(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "gateway-0").write_bytes(content)
    assert why(tmp_path, 1) == {}


def test_what_is_told_reads_as_a_sentence() -> None:
    assert str(Laggard("gateway-1", "behind", 0.2)) == "gateway-1 has not taken it over yet"
