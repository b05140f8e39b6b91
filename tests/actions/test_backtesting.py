"""Another version over recorded decisions: in the batches of then, once whatever crashes, joined to what came of it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import numpy as np
import pytest
import skops.io
from sklearn.linear_model import LinearRegression, LogisticRegression

from tests.actions.test_replaying import ADA, ROWS, World
from tests.lake.scene import outcome
from tsavo.actions import (
    Registration,
    continue_backtest,
    deploy,
    register,
    replay_next,
    start_backtest,
)
from tsavo.governance import list_audit
from tsavo.registry import list_backtests
from tsavo.vocabulary import Backtest, Conflict, Invalid, NotFound, Refused, Version, VersionRef


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    world = World(tmp_path_factory.mktemp("world"))
    yield world
    assert list((world.folder / "work").iterdir()) == []
    world.database.close()


@pytest.fixture
def two(world: World, request: pytest.FixtureRequest) -> tuple[Version, Version]:
    """Two versions of a model: the first is deployed, and its decisions are recorded."""
    name = request.node.name.partition("[")[0][5:45].replace("_", "-")
    first = world.register(name, LogisticRegression().fit(ROWS, ROWS.sum(axis=1) > 0))
    second = world.register(name, LogisticRegression(C=0.01).fit(ROWS, ROWS[:, 0] > 0))
    deploy(world.plane, ADA, name, first.ref)
    return first, second


def finished(world: World, backtest: Backtest) -> Backtest:
    while backtest.finished is None:
        backtest = continue_backtest(world.plane, world.lake, ADA, backtest.name)
    return backtest


def test_every_decision_has_the_other_versions_answer(
    world: World, two: tuple[Version, Version], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tsavo.actions.backtesting._PAGE_REQUESTS", 2)
    first, second = two
    sizes = (1, 3, 50, 1, 7)
    requests = []
    for at, size in enumerate(sizes):
        requests.append(world.record(first, ROWS[:size], world.answered(first, ROWS[:size])))
        world.record(first, ROWS[:1], world.answered(first, ROWS[:1]), role="shadow")
        if at == 2:
            world.scene.ship()
    world.scene.write(outcome([f"{requests[1]}:2"], [True], endpoint=first.model))
    done = finished(world, start_backtest(world.plane, ADA, second.ref, first.model, name="other"))
    assert (done.decisions, done.failed) == (sum(sizes), 0)
    found = world.lake.sql(
        'SELECT decision_id, version, probabilities[2] AS p, "then.probabilities"[2] AS was, failure, outcome'
        ' FROM "backtest:other" ORDER BY decision_id'
    ).to_pylist()
    assert len(found) == sum(sizes)
    place = [output.name for output in second.signature.outputs].index("probabilities")
    for size, request in zip(sizes, requests, strict=True):
        now, then = (world.answered(version, ROWS[:size])[place][:, 1] for version in (second, first))
        mine = {row["decision_id"]: row for row in found if row["decision_id"].startswith(request)}
        for at in range(size):
            row = mine[f"{request}:{at}"]
            assert (row["p"], row["was"], row["version"], row["failure"]) == (now[at], then[at], 1, None)
    assert [row["decision_id"] for row in found if row["outcome"]] == [f"{requests[1]}:2"]
    # The decisions themselves are as they were.
    assert replay_next(world.plane, world.lake, ADA, first.model).counts.keys() == {"same"}
    with world.database.read() as connection:
        assert list_backtests(connection, endpoint=first.model).items == (done,)
        (entry, *_) = list_audit(connection, subject="backtest:other").items
    assert (entry.who, entry.action) == ("ada", "backtest.start")


def test_a_piece_that_was_kept_and_not_counted_is_kept_once(
    world: World, two: tuple[Version, Version], monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = two
    world.record(first, ROWS[:9], world.answered(first, ROWS[:9]))
    started = start_backtest(world.plane, ADA, second.ref, first.model, name="crashed")

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("tsavo.actions.backtesting.advance_backtest", die)
    with pytest.raises(KeyboardInterrupt):
        finished(world, started)
    monkeypatch.undo()
    assert finished(world, started).decisions == 9
    assert world.lake.sql('SELECT count(*) AS n FROM "backtest:crashed"').to_pylist() == [{"n": 9}]


def test_two_who_run_the_same_one_are_told(
    world: World, two: tuple[Version, Version], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tsavo.actions.backtesting._PAGE_REQUESTS", 1)
    first, second = two
    for _ in range(3):
        world.record(first, ROWS[:1], world.answered(first, ROWS[:1]))
    started = start_backtest(world.plane, ADA, second.ref, first.model, name="twice")
    continue_backtest(world.plane, world.lake, ADA, started.name)
    monkeypatch.setattr("tsavo.actions.backtesting.get_backtest", lambda _connection, _name: started)
    with pytest.raises(Conflict, match="somebody else"):
        continue_backtest(world.plane, world.lake, ADA, started.name)


def test_a_version_with_other_outputs_may_be_tried(world: World, two: tuple[Version, Version]) -> None:
    first, _ = two
    path = world.folder / "linear.skops"
    skops.io.dump(LinearRegression().fit(ROWS, ROWS.sum(axis=1)), path)
    linear = register(
        world.plane, ADA, Registration(model="linear", source=path, source_name=path.name)
    ).version
    world.record(first, ROWS[:5], world.answered(first, ROWS[:5]))
    done = finished(world, start_backtest(world.plane, ADA, linear.ref, first.model))
    rows = world.lake.sql(f'SELECT value, "then.label" FROM "{done.view}" ORDER BY decision_id').to_pylist()
    assert np.allclose([row["value"] for row in rows], ROWS[:5].sum(axis=1))
    assert {row["then.label"] for row in rows} <= {False, True}


def test_what_cannot_be_tested_is_named(world: World, two: tuple[Version, Version]) -> None:
    first, second = two
    plane, endpoint = world.plane, first.model
    with pytest.raises(NotFound, match="no such version"):
        start_backtest(plane, ADA, VersionRef(endpoint, 9), endpoint)
    with pytest.raises(NotFound, match="no such endpoint"):
        start_backtest(plane, ADA, second.ref, "nowhere")
    with pytest.raises(Invalid, match="no time is left"):
        start_backtest(plane, ADA, second.ref, endpoint, since=datetime(2200, 1, 1, tzinfo=UTC))
    with pytest.raises(Invalid, match="name"):
        start_backtest(plane, ADA, second.ref, endpoint, name="../up")
    start_backtest(plane, ADA, second.ref, endpoint, name="taken")
    with pytest.raises(Conflict, match="of this name"):
        start_backtest(plane, ADA, second.ref, endpoint, name="taken")
    wide = world.register("wide", LogisticRegression().fit(np.hstack([ROWS, ROWS]), ROWS.sum(axis=1) > 0))
    with pytest.raises(Refused, match="is not sent by callers"):
        start_backtest(plane, ADA, wide.ref, endpoint)
    with pytest.raises(NotFound, match="no such back-test"):
        continue_backtest(plane, world.lake, ADA, "nothing")


def test_one_without_decisions_ends_at_once(world: World, two: tuple[Version, Version]) -> None:
    first, second = two
    done = finished(world, start_backtest(world.plane, ADA, second.ref, first.model))
    assert (done.decisions, done.finished is not None) == (0, True)
