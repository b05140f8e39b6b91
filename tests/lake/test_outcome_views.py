"""What is known of decisions now, and what was known at a moment, beside a brute-force answer."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.lake.scene import START, Scene, decision, outcome, row_id
from tsavo.vocabulary import Invalid

DECISIONS = 40


def at(second: float) -> datetime:
    return datetime.fromtimestamp(START // 10**9 + second, UTC)


def history() -> list[tuple[int, int, int | None]]:
    """Outcomes as (recorded at, decision, value): late, corrected, repeated, withdrawn, some of no decision."""
    random = np.random.default_rng(5)
    said: list[tuple[int, int, int | None]] = []
    for moment in range(20, 320):
        value = int(random.integers(0, 4))
        said.append((moment, int(random.integers(0, DECISIONS + 5)), None if value == 3 else value))
    return said


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    scene = Scene(tmp_path_factory.mktemp("told"))
    for journal in range(2):
        numbers = range(journal, DECISIONS, 2)
        made = [[decision(number), decision(number, role="shadow")] for number in numbers]
        scene.write(*(record for pair in made for record in pair), journal=f"gateway-{journal}")
    said = [outcome([row_id(number)], [value], at=moment) for moment, number, value in history()]
    scene.write(*said[:150], journal="console")
    scene.ship()
    scene.write(*said[150:], journal="console")
    return scene


def expected(until: float) -> list[dict[str, Any]]:
    """What `<endpoint>_outcomes` should have, from the history alone."""
    found = []
    said = pd.DataFrame(history(), columns=["moment", "number", "value"])
    for number, rows in said[said["moment"] <= until].groupby("number"):
        last = rows["value"].iloc[-1]
        if number > until or number >= DECISIONS or pd.isna(last):
            continue
        known = rows.dropna(subset="value")
        changes = sum(
            not pd.isna(value) and (place == 0 or value != before)
            for place, (value, before) in enumerate(zip(rows["value"], rows["value"].shift(), strict=True))
        )
        first = float(known["moment"].iloc[0])
        found.append(
            {
                "decision_id": row_id(int(number)),
                "outcome": int(last),
                "known": at(first),
                "recorded": at(float(rows["moment"].iloc[-1])),
                "corrections": changes - 1,
                "lag_seconds": first - int(number),
            }
        )
    return sorted(found, key=lambda row: str(row["decision_id"]))


COLUMNS = "decision_id, outcome, known, recorded, corrections, lag_seconds"


@pytest.mark.parametrize("until", [None, 10, 19.999999, 20, 55, 150, 319, 1000])
def test_the_view_of_known_outcomes_agrees_with_brute_force(told: Scene, until: float | None) -> None:
    as_of = None if until is None else at(until)
    found = told.lake.sql(
        f'select {COLUMNS} from "credit-risk_outcomes" order by decision_id', as_of=as_of
    ).to_pylist()
    assert found == expected(float("inf") if until is None else until)


@pytest.mark.parametrize("until", [5, 55, 319])
def test_every_view_forgets_what_came_later(told: Scene, until: float) -> None:
    moment = at(until)
    count = told.lake.sql("select count(*) n, max(time) t from decisions", as_of=moment).to_pylist()
    assert count == [{"n": 2 * min(DECISIONS, int(until) + 1), "t": at(min(DECISIONS - 1, until))}]
    said = [row for row in history() if row[0] <= until]
    found = told.lake.sql("select count(*) n from outcomes", as_of=moment).to_pylist()
    assert found == [{"n": len(said)}]
    flat = told.lake.sql(
        "select decision_id, outcome from \"credit-risk\" where role = 'champion' and outcome is not null"
        " order by 1",
        as_of=moment,
    ).to_pylist()
    assert flat == [{name: row[name] for name in ("decision_id", "outcome")} for row in expected(until)]


def test_shadows_and_open_decisions_are_in_no_view_of_outcomes(told: Scene) -> None:
    roles = told.rows('select distinct role from "credit-risk_outcomes"')
    assert roles == [("champion",)]
    assert told.rows('select count(*) from "credit-risk_outcomes" where outcome is null') == [(0,)]
    names = told.lake.sql('select * from "credit-risk_outcomes" limit 0').column_names
    assert {"age", "income", "label", "probability", "outcome", "observed", "lag_seconds"} <= set(names)


def test_an_endpoint_without_outcomes_has_an_empty_view(scene: Scene) -> None:
    scene.write(decision(1))
    assert scene.rows('select * from "credit-risk_outcomes"') == []


def test_a_moment_without_a_zone_is_refused(scene: Scene) -> None:
    with pytest.raises(Invalid) as caught:
        scene.lake.sql("select * from decisions", as_of=datetime(2026, 1, 1))
    assert caught.value.field == "as_of"
