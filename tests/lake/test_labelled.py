"""Decisions are delivered with their outcome once, whichever of the two comes first."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from tests.lake.scene import Scene, decision, fresh_id, outcome, row_id
from tsavo.lake import Position


def read_all(scene: Scene, position: Position, limit: int) -> tuple[list[tuple[str, str, Any]], Position]:
    """Every delivery: decision id, role and outcome."""
    found: list[tuple[str, str, Any]] = []
    while True:
        rows, position = scene.lake.new_labelled("credit-risk", position, limit)
        if not rows.num_rows:
            return found, position
        found += [(row["decision_id"], row["role"], row["outcome"]) for row in rows.to_pylist()]


def test_an_outcome_delivers_its_decision(scene: Scene) -> None:
    scene.write(decision(1), decision(2))
    scene.ship()
    assert scene.lake.new_labelled("credit-risk", {}, 10)[0].num_rows == 0
    _, position = scene.lake.new_labelled("credit-risk", {}, 10)
    scene.write(outcome([row_id(2)], [1]), journal="console")
    scene.ship()
    rows, position = scene.lake.new_labelled("credit-risk", position, 10)
    (row,) = rows.to_pylist()
    assert (row["decision_id"], row["outcome"]) == (row_id(2), 1)
    assert row["prediction"] == {"label": 0, "probabilities": [0.25, 0.75]}
    assert scene.lake.new_labelled("credit-risk", position, 10)[0].num_rows == 0


def test_an_outcome_that_comes_first_waits_for_its_decision(scene: Scene) -> None:
    scene.write(outcome([row_id(1), fresh_id()], [1, 0]), decision(0), journal="console")
    scene.ship()
    found, position = read_all(scene, {}, 10)
    assert found == []
    scene.write(decision(1))
    scene.ship()
    assert read_all(scene, position, 10)[0] == [(row_id(1), "champion", 1)]


def test_corrections_deliver_nothing_again_but_count_when_they_are_in_time(scene: Scene) -> None:
    scene.write(decision(1), decision(2))
    scene.write(outcome([row_id(1), row_id(2)], [0, 0], at=1), outcome([row_id(2)], [1], at=2))
    scene.ship()
    found, position = read_all(scene, {}, 10)
    assert sorted(found) == [(row_id(1), "champion", 0), (row_id(2), "champion", 1)]
    scene.write(outcome([row_id(1), row_id(2)], [1, 0], at=3))
    scene.ship()
    assert read_all(scene, position, 10)[0] == []


def test_a_withdrawn_outcome_counts_as_none(scene: Scene) -> None:
    scene.write(decision(1), outcome([row_id(1)], [None], at=1))
    scene.ship()
    found, position = read_all(scene, {}, 10)
    assert found == []
    scene.write(outcome([row_id(1)], [1], at=2))
    scene.ship()
    assert read_all(scene, position, 10)[0] == [(row_id(1), "champion", 1)]


def test_a_shadow_that_is_recorded_later_gets_the_outcome_too(scene: Scene) -> None:
    scene.write(decision(1), outcome([row_id(1)], [1]))
    scene.ship()
    found, position = read_all(scene, {}, 10)
    assert found == [(row_id(1), "champion", 1)]
    scene.write(decision(1, version=2, role="shadow"))
    scene.ship()
    assert read_all(scene, position, 10)[0] == [(row_id(1), "shadow", 1)]


@pytest.mark.parametrize("limit", [1, 4, 1000])
@pytest.mark.parametrize("seed", [1, 2])
def test_in_any_order_and_pieces_each_pair_is_delivered_once(scene: Scene, seed: int, limit: int) -> None:
    chance = random.Random(seed)
    decided, resolved, found = set[int](), set[int](), list[str]()
    position: Position = {}
    for _ in range(6):
        for number in chance.sample(range(25), 5):
            if chance.random() < 0.5 and number not in decided:
                decided.add(number)
                scene.write(decision(number), journal=chance.choice(["gateway-0", "gateway-1"]))
            else:
                resolved.add(number)
                scene.write(outcome([row_id(number)], [chance.randrange(2)]), journal="console")
        if chance.random() < 0.7:
            scene.ship()
        if chance.random() < 0.7:
            rows, position = scene.lake.new_labelled("credit-risk", position, limit)
            found += rows.column("decision_id").to_pylist()
        if chance.random() < 0.3:
            scene.lake.maintain(most_small_files=1)
    scene.ship()
    rest, _ = read_all(scene, position, limit)
    delivered = Counter(found + [name for name, _, _ in rest])
    assert delivered == Counter(row_id(number) for number in decided & resolved)
