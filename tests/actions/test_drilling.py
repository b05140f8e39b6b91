from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.examples import SteppingClock
from tsavo.actions import (
    ControlPlane,
    deploy,
    drill_report,
    limit,
    pull_plug,
    release_plug,
    start_drill,
)
from tsavo.actions.drilling import _quantile
from tsavo.governance import list_audit, local_owner
from tsavo.vocabulary import (
    Conflict,
    ConstantFallback,
    Drill,
    Invalid,
    NotFound,
    StepTried,
    VersionFallback,
    VersionRef,
    WorkerDrill,
)

ADA = local_owner("ada")
ONE, TWO, THREE = (VersionRef("credit", number) for number in (1, 2, 3))
CHAIN = (VersionFallback(TWO), ConstantFallback({"label": 0, "probabilities": [0.8, 0.2]}))


@pytest.fixture
def endpoint(credit: ControlPlane) -> ControlPlane:
    """An endpoint 'credit' with a chain of two steps."""
    deploy(credit, ADA, "credit", ONE, fallback=CHAIN)
    return credit


def begin(plane: ControlPlane, requests: int = 10, seconds: int = 60) -> Drill:
    drill = start_drill(plane, ADA, "credit", requests=requests, seconds=seconds).drill
    assert drill is not None
    return drill


def tried(step: int, what: str, answered: int, **found: object) -> StepTried:
    made = StepTried(step, what, requests=answered, rows=answered, answered=answered)
    return msgspec.structs.replace(made, **found)


def write(folder: Path, worker: WorkerDrill) -> None:
    (folder / "credit").mkdir(exist_ok=True)
    (folder / "credit" / f"{worker.worker}.json").write_bytes(msgspec.json.encode(worker))


def test_a_drill_is_a_change_of_the_route(endpoint: ControlPlane) -> None:
    route = start_drill(endpoint, ADA, "credit", requests=50, seconds=30, why="every first of the month")
    assert route.drill is not None
    assert (route.drill.requests, route.drill.by) == (50, "ada")
    assert route.drill.until - route.drill.started == timedelta(seconds=30)
    assert (route.champion, route.fallback) == (ONE, CHAIN)
    with endpoint.database.read() as connection:
        newest, *_ = list_audit(connection).items
    assert (newest.action, newest.why) == ("endpoint.drill", "every first of the month")
    assert begin(endpoint).id != route.drill.id


@pytest.mark.parametrize("given", [{"requests": 0}, {"requests": 10_001}, {"seconds": 0}, {"seconds": 3601}])
def test_a_drill_has_bounds(endpoint: ControlPlane, given: dict[str, Any]) -> None:
    with pytest.raises(Invalid) as caught:
        start_drill(endpoint, ADA, "credit", **given)
    assert caught.value.field in given


def test_without_a_fallback_there_is_nothing_to_drill(credit: ControlPlane) -> None:
    deploy(credit, ADA, "credit", ONE)
    with pytest.raises(Conflict, match="no fallback") as caught:
        start_drill(credit, ADA, "credit")
    assert "--fallback" in str(caught.value.next_step)


def test_a_drill_says_something_about_one_chain_only(endpoint: ControlPlane, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="drill"):
        drill_report(endpoint, tmp_path, "credit")
    drill = begin(endpoint)
    limit(endpoint, ADA, "credit", milliseconds=50)
    pull_plug(endpoint, ADA, "credit")
    release_plug(endpoint, ADA, "credit")
    assert drill_report(endpoint, tmp_path, "credit").drill == drill
    deploy(endpoint, ADA, "credit", THREE)
    with pytest.raises(NotFound, match="as it is now"):
        drill_report(endpoint, tmp_path, "credit")


def test_workers_reports_are_added_up(endpoint: ControlPlane, tmp_path: Path) -> None:
    drill = begin(endpoint, requests=10)
    first = WorkerDrill(
        drill.id,
        "0",
        requests=6,
        rows=12,
        skipped=1,
        steps=[
            tried(0, "credit@1", 6, latencies_us=[50] * 6, compared=12, labels=12, equal=12),
            tried(
                1,
                "credit@2",
                6,
                latencies_us=[100] * 6,
                compared=12,
                differences=3.0,
                largest=0.5,
                labels=12,
                equal=9,
            ),
            tried(2, "constant", 6),
        ],
    )
    second = WorkerDrill(
        drill.id,
        "1",
        requests=4,
        rows=4,
        steps=[
            tried(0, "credit@1", 4, latencies_us=[50] * 4),
            tried(
                1, "credit@2", 4, latencies_us=[900] * 4, compared=4, differences=1.0, largest=0.75, lacking=1
            ),
            tried(2, "constant", 4),
        ],
    )
    write(tmp_path, first)
    report = drill_report(endpoint, tmp_path, "credit")
    assert (report.state, report.requests, report.skipped, report.holds) == ("running", 6, 1, True)
    write(tmp_path, second)
    # What another drill left behind, and what is no report at all, say nothing about this one.
    write(tmp_path, msgspec.structs.replace(second, drill="another", worker="2"))
    (tmp_path / "credit" / "3.json").write_text("{}")
    report = drill_report(endpoint, tmp_path, "credit")
    assert (report.state, report.requests, report.rows, report.holds) == ("over", 10, 16, True)
    assert report.verdict == "the chain holds: each of its 2 steps answered all 10 requests"
    step = report.steps[1]
    assert (step.step, step.what, step.requests, step.answered, step.failed) == (1, "credit@2", 10, 10, 0)
    assert (step.p50_us, step.p99_us) == (100.0, 900.0)
    assert (step.mean_difference, step.largest_difference, step.lacking) == (4.0 / 16, 0.75, 1)
    assert step.equal_labels == 9 / 12
    constant = report.steps[2]
    assert (constant.mean_difference, constant.largest_difference, constant.equal_labels) == (None,) * 3


def test_the_verdict_names_the_step_that_cannot_answer_and_who_would(
    endpoint: ControlPlane, tmp_path: Path
) -> None:
    drill = begin(endpoint, requests=3)
    gone = tried(
        1, "credit@2", 0, requests=3, failed=3, reasons={"it took too long": 1, "its file is gone": 2}
    )
    champion = tried(0, "credit@1", 2, requests=3, failed=1, reasons={"no": 1})
    write(tmp_path, WorkerDrill(drill.id, "0", 3, 3, steps=[champion, gone, tried(2, "constant", 3)]))
    report = drill_report(endpoint, tmp_path, "credit")
    assert report.holds is False
    assert report.steps[1].reasons == ("its file is gone", "it took too long")
    assert report.verdict == (
        "step 1 (credit@2) cannot answer: its file is gone (3 of 3 requests). "
        "Step 2 (constant) answered every request"
    )
    broken = tried(2, "constant", 2, requests=3, failed=1, reasons={"odd": 1})
    write(tmp_path, WorkerDrill(drill.id, "0", 3, 3, steps=[champion, gone, broken]))
    assert "callers could be refused" in drill_report(endpoint, tmp_path, "credit").verdict


def test_a_champion_that_fails_does_not_break_its_chain(endpoint: ControlPlane, tmp_path: Path) -> None:
    drill = begin(endpoint, requests=3)
    champion = tried(0, "credit@1", 0, requests=3, failed=3, reasons={"no": 3})
    steps = [champion, tried(1, "credit@2", 3), tried(2, "constant", 3)]
    write(tmp_path, WorkerDrill(drill.id, "0", 3, 3, steps=steps))
    assert drill_report(endpoint, tmp_path, "credit").holds is True


def test_without_traffic_it_says_so_and_what_to_do(
    endpoint: ControlPlane, clock: SteppingClock, tmp_path: Path
) -> None:
    begin(endpoint, seconds=5)
    report = drill_report(endpoint, tmp_path, "credit")
    assert (report.state, report.holds, report.steps) == ("running", None, ())
    for _ in range(10):
        clock.now()
    report = drill_report(endpoint, tmp_path, "credit")
    assert (report.state, report.holds) == ("over", None)
    assert "no live request came" in report.verdict
    assert "tsavo score credit" in report.verdict


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=300), st.sampled_from([0.5, 0.99]))
def test_quantiles_are_those_of_numpy(values: list[int], level: float) -> None:
    assert _quantile(sorted(values), level) == np.quantile(values, level, method="inverted_cdf")
