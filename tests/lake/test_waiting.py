"""Quiet endpoints wait for their turn: few commits, nothing lost, and nobody who reads notices."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.lake.scene import Scene, decision, outcome, row_id, signature_of
from tsavo.journal import Journal
from tsavo.lake import Lake, Patience
from tsavo.lake.folders import Folders
from tsavo.lake.shipping import Shipper


class Stopwatch:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def shipper(scene: Scene, seconds: Callable[[], float]) -> Shipper:
    return Shipper(Folders(scene.root), scene.journals, signature_of, seconds)


def commits(scene: Scene) -> int:
    return len(list((scene.root / "decisions").glob("*/_delta_log/*[1-9].json")))


PATIENCE = Patience(commits_per_second=10, most_seconds=60)


def test_few_endpoints_wait_hardly_and_many_the_longer(scene: Scene) -> None:
    watch = Stopwatch()
    ours = shipper(scene, watch)
    scene.write(*[decision(number, endpoint=f"e{number}") for number in range(100)])
    assert ours.ship(10_000, PATIENCE).decisions == {}
    # A hundred endpoints at ten commits a second: ten in the first second, and nine seconds for the others.
    watch.now += 8.9
    assert ours.ship(10_000, PATIENCE).decisions == {}
    watch.now += 0.2
    assert len(ours.ship(10_000, PATIENCE).decisions) == 100
    assert ours.ship(10_000, PATIENCE).behind == 0


def test_few_endpoints_do_not_wait_for_the_next_round(scene: Scene) -> None:
    ours = shipper(scene, Stopwatch())
    scene.write(*[decision(number, endpoint=f"e{number}") for number in range(10)])
    assert len(ours.ship(10_000, PATIENCE).decisions) == 10


def test_rows_of_many_rounds_make_one_commit(scene: Scene) -> None:
    watch = Stopwatch()
    ours = shipper(scene, watch)
    for turn in range(9):
        scene.write(*[decision(turn * 100 + number, endpoint=f"e{number}") for number in range(100)])
        assert ours.ship(10_000, PATIENCE).decisions == {}
        watch.now += 1
    watch.now += 2
    assert ours.ship(10_000, PATIENCE).decisions == {f"e{number}": 9 for number in range(100)}
    assert commits(scene) == 100


def test_nobody_waits_longer_than_the_longest(scene: Scene) -> None:
    watch = Stopwatch()
    ours = shipper(scene, watch)
    scene.write(*[decision(number, endpoint=f"e{number}") for number in range(50)])
    slow = Patience(commits_per_second=0.01, most_seconds=60)
    assert ours.ship(10_000, slow).decisions == {}
    watch.now += 61
    assert len(ours.ship(10_000, slow).decisions) == 50


def test_who_has_many_rows_does_not_wait(scene: Scene) -> None:
    ours = shipper(scene, Stopwatch())
    scene.write(*[decision(number, endpoint=f"quiet{number}") for number in range(50)])
    scene.write(decision(100, endpoint="busy", rows=2_500))
    assert ours.ship(10_000, PATIENCE).decisions == {"busy": 2_500}
    # The quiet ones' records are in front of the busy one's, and none may go before they are shipped.
    with Journal(scene.journals / "gateway-0.db") as journal:
        assert len(journal.read().rows) == 51


def test_too_much_waiting_ends_the_wait_of_the_oldest(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tsavo.lake.waiting._MOST_BYTES", 2_000)
    watch = Stopwatch()
    ours = shipper(scene, watch)
    scene.write(*[decision(number, endpoint="first") for number in range(5)])
    assert ours.ship(10_000, Patience(0.001, 60)).decisions == {}
    watch.now += 1
    scene.write(*[decision(10 + number, endpoint="second") for number in range(8)])
    assert ours.ship(10_000, Patience(0.001, 60)).decisions == {"first": 5}


def test_readers_see_what_waits_and_see_it_once_when_it_is_shipped(scene: Scene) -> None:
    watch = Stopwatch()
    ours = shipper(scene, watch)
    scene.write(*[decision(number, endpoint=f"e{number % 30}") for number in range(90)])
    scene.write(outcome([row_id(4)], [1], endpoint="e4"))
    ours.ship(10_000, PATIENCE)
    count = "SELECT count(*), count(DISTINCT decision_id) FROM decisions"
    assert scene.rows(count) == [(90, 90)]
    assert scene.lake.decision(row_id(4))["outcome"] == 1
    scene.write(decision(1000, endpoint="e4", rows=2_100))
    assert ours.ship(10_000, PATIENCE).decisions == {"e4": 2_103}
    assert scene.rows(count) == [(2_190, 2_190)]
    watch.now += 60
    ours.ship(10_000, PATIENCE)
    assert scene.rows(count) == [(2_190, 2_190)]
    assert scene.lake.outcomes_count("e4") == 1


def test_a_shipper_that_dies_with_rows_waiting_leaves_them_to_the_next(scene: Scene) -> None:
    first = shipper(scene, Stopwatch())
    scene.write(*[decision(number, endpoint=f"e{number % 30}") for number in range(60)])
    scene.write(decision(100, endpoint="busy", rows=2_500))
    assert first.ship(10_000, PATIENCE).decisions == {"busy": 2_500}
    scene.write(decision(200, endpoint="e1"), decision(201, endpoint="busy"))
    second = Lake(scene.root, scene.journals, signature_of)
    told = second.ship().decisions
    assert told["busy"] == 1
    assert told["e1"] == 3
    assert sum(told.values()) == 62
    assert scene.rows("SELECT count(*), count(DISTINCT decision_id) FROM decisions") == [(2_562, 2_562)]


def test_rows_of_two_journals_are_one_commit_with_a_position_for_each(scene: Scene, tmp_path: Path) -> None:
    ours = shipper(scene, Stopwatch())
    scene.write(decision(1), decision(2), journal="gateway-0")
    scene.write(decision(3), journal="gateway-1")
    assert ours.ship(10_000).decisions == {"credit-risk": 3}
    assert commits(scene) == 1
    names = []
    for path in sorted(scene.journals.glob("*.db")):
        with Journal(path) as journal:
            names.append(journal.journal_id)
    snapshot = Folders(scene.root).decisions("credit-risk").snapshot(names)
    assert snapshot is not None
    assert [snapshot.upto(name) for name in names] == [2, 1]
