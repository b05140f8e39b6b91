from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from tests.lake.scene import START, Scene, decision, outcome, row_id
from tsavo.actions import ControlPlane, join_waiting
from tsavo.registry import count_waiting, keep_waiting
from tsavo.vocabulary import WaitingOutcome, decode_record


def at(second: float) -> datetime:
    return datetime.fromtimestamp(START // 10**9 + second, UTC)


def waiting(value: Any, result: Any = 1, *, until: float = 50, recorded: float = 60) -> WaitingOutcome:
    return WaitingOutcome(
        "credit-risk", "age", value, result, at(until), None, False, at(until), at(recorded), "ann"
    )


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    (tmp_path / "home").mkdir()
    return Scene(tmp_path / "home")


def keep(plane: ControlPlane, *outcomes: WaitingOutcome) -> None:
    with plane.database.begin() as connection:
        keep_waiting(connection, outcomes)


def left(plane: ControlPlane) -> int:
    with plane.database.read() as connection:
        return count_waiting(connection, "credit-risk")


def join(plane: ControlPlane, scene: Scene) -> int:
    payloads: list[bytes] = []
    joined = join_waiting(plane, scene.lake, payloads.append)
    if payloads:
        scene.write(*(decode_record(payload) for payload in payloads), journal="keeper")
    return joined


QUERY = 'select decision_id, outcome from "credit-risk" where outcome is not null order by 1'


def test_outcomes_join_their_decisions_when_these_come(plane: ControlPlane, scene: Scene) -> None:
    keep(
        plane,
        waiting(3),
        waiting(4, 0),
        waiting(70, until=20),
        waiting("x"),
        replace(waiting(3), key="nothing"),
    )
    assert join(plane, scene) == 0
    scene.write(decision(3), decision(70))
    assert (join(plane, scene), left(plane)) == (1, 4)
    assert scene.rows(QUERY) == [(row_id(3), 1)]
    scene.write(decision(4))
    scene.ship()
    assert (join(plane, scene), left(plane)) == (1, 3)
    assert scene.rows(QUERY) == [(row_id(3), 1), (row_id(4), 0)]
    assert join(plane, scene) == 0


def test_a_correction_that_came_meanwhile_stays_the_later_one(plane: ControlPlane, scene: Scene) -> None:
    keep(plane, waiting(3, 1, recorded=60))
    scene.write(outcome([row_id(3)], [0], at=61), journal="console")
    scene.write(decision(3))
    assert join(plane, scene) == 1
    assert scene.rows(QUERY) == [(row_id(3), 0)]


def test_joining_again_after_a_crash_doubles_nothing(plane: ControlPlane, scene: Scene) -> None:
    keep(plane, *(waiting(value) for value in range(10)))
    scene.write(*(decision(number) for number in range(10)))

    def die(payload: bytes) -> None:
        scene.write(decode_record(payload), journal="keeper")
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="gone"):
        join_waiting(plane, scene.lake, die)
    assert left(plane) == 10
    assert join(plane, scene) == 10
    assert scene.rows(QUERY) == [(row_id(number), 1) for number in range(10)]
    assert scene.rows('select max(corrections) from "credit-risk_outcomes"') == [(0,)]
