"""What is too old leaves, what is not stays, and every position survives."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from deltalake import DeltaTable
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.lake.scene import START, Scene, decision, outcome, row_id
from tsavo.lake.folders import Folders
from tsavo.lake.tables import DataFile
from tsavo.vocabulary import Invalid, NotFound

BEGIN = datetime.fromtimestamp(START // 1_000_000_000, UTC)


def at(seconds: float) -> datetime:
    return BEGIN + timedelta(seconds=seconds)


def stretch(scene: Scene, first: int, count: int) -> None:
    """One commit of decisions, one a second, each with an outcome half a day later."""
    scene.write(*[decision(number) for number in range(first, first + count)])
    scene.write(
        *[outcome([row_id(number)], [number], at=number + 43_200) for number in range(first, first + count)]
    )
    scene.ship()


def test_whole_files_leave_unread_and_one_is_parted(scene: Scene) -> None:
    for first in range(0, 40, 10):
        stretch(scene, first, 10)
    kept = {file.path for file in _files(scene)[2:]}
    expired = scene.lake.expire("credit-risk", at(15))
    assert {name: tuple(found) for name, found in expired.items()} == {"decisions": (15, 1, 1)}
    assert scene.rows('SELECT min(time), count(*) FROM "credit-risk"') == [(at(15), 25)]
    # Files that have nothing old in them were not touched.
    assert kept <= {file.path for file in _files(scene)}
    assert scene.lake.expire("credit-risk", at(15)) == {}


def test_outcomes_leave_by_when_they_were_recorded(scene: Scene) -> None:
    stretch(scene, 0, 10)
    stretch(scene, 10, 10)
    expired = scene.lake.expire("credit-risk", at(43_200 + 5))
    assert expired["decisions"].rows == 20
    assert tuple(expired["outcomes"]) == (5, 0, 1)
    assert scene.rows("SELECT count(*) FROM outcomes") == [(15,)]


def test_what_was_dropped_is_not_shipped_again_and_what_comes_is(scene: Scene) -> None:
    stretch(scene, 0, 20)
    _, position = scene.lake.new_decisions("credit-risk", {}, 5)
    scene.lake.expire("credit-risk", at(10))
    # Past a checkpoint, too, the table knows how far it has come in each journal.
    DeltaTable(str(scene.root / "decisions" / "credit-risk")).create_checkpoint()
    assert scene.reopened().ship().decisions == {}
    scene.write(decision(100))
    assert scene.reopened().ship().decisions == {"credit-risk": 1}
    rows, position = scene.lake.new_decisions("credit-risk", position, 1_000)
    assert rows["decision_id"].to_pylist() == [*[row_id(number) for number in range(10, 20)], row_id(100)]
    assert scene.lake.new_decisions("credit-risk", position, 10)[0].num_rows == 0


def test_monitors_positions_over_outcomes_survive(scene: Scene) -> None:
    stretch(scene, 0, 10)
    _, position = scene.lake.new_labelled("credit-risk", {}, 4)
    scene.lake.expire("credit-risk", at(6))
    scene.write(decision(50), outcome([row_id(50)], [1], at=50))
    scene.ship()
    found: list[str] = []
    while True:
        rows, position = scene.lake.new_labelled("credit-risk", position, 100)
        if not rows.num_rows:
            break
        found += rows["decision_id"].to_pylist()
    assert len(found) == len(set(found))
    assert row_id(50) in found
    # Four were read before; those that were neither read nor dropped come now.
    assert {row_id(number) for number in range(6, 10)} <= set(found)


def test_a_table_may_become_empty_and_go_on(scene: Scene) -> None:
    stretch(scene, 0, 10)
    scene.lake.expire("credit-risk", at(10_000_000))
    assert scene.rows("SELECT count(*) FROM decisions") == [(0,)]
    with pytest.raises(NotFound):
        scene.lake.decision(row_id(3))
    scene.write(decision(200))
    scene.ship()
    assert scene.lake.decision(row_id(200))["role"] == "champion"


def test_rows_that_are_not_shipped_yet_are_not_touched(scene: Scene) -> None:
    stretch(scene, 0, 5)
    scene.write(decision(5))
    assert scene.lake.expire("credit-risk", at(100))["decisions"].rows == 5
    assert scene.rows("SELECT count(*) FROM decisions") == [(1,)]


def test_a_moment_needs_a_zone_and_an_endpoint_a_name(scene: Scene) -> None:
    stretch(scene, 0, 1)
    with pytest.raises(Invalid):
        scene.lake.expire("credit-risk", datetime(2026, 1, 1))
    with pytest.raises(Invalid):
        scene.lake.expire("../etc", at(0))
    assert scene.lake.expire("nobody", at(0)) == {}


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.integers(0, 60), min_size=1, max_size=5), st.lists(st.integers(1, 12), min_size=5, max_size=5)
)
def test_exactly_what_is_before_the_moment_is_gone(moments: list[int], counts: list[int]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        scene = Scene(Path(folder))
        first = 0
        for count in counts:
            scene.write(*[decision(number) for number in range(first, first + count)])
            scene.ship()
            first += count
        for moment in moments:
            scene.lake.expire("credit-risk", at(moment))
            scene.lake.maintain(most_small_files=1)
        left = scene.rows("SELECT decision_id FROM decisions ORDER BY time")
        assert left == [(row_id(number),) for number in range(first) if number >= max(moments)]


def _files(scene: Scene) -> list[DataFile]:
    snapshot = Folders(scene.root).decisions("credit-risk").snapshot()
    assert snapshot is not None
    return sorted(snapshot.files, key=lambda file: file.low["decision_id"])
