"""Business keys and the decisions that they mean, beside a brute-force answer."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.lake.scene import START, Scene, decision, outcome, row_id
from tsavo.lake import Before, Sought
from tsavo.vocabulary import Invalid, Role

DECISIONS = 60
ROLES: tuple[Role, ...] = ("champion", "shadow")


def at(second: float) -> datetime:
    return datetime.fromtimestamp(START // 10**9 + second, UTC)


@pytest.fixture
def decided(scene: Scene) -> Scene:
    for piece in (range(20), range(20, 40), range(40, DECISIONS)):
        for journal in range(2):
            scene.write(
                *(
                    decision(number, inputs=[[float(number % 7)], [1.0]], role=role)
                    for number in piece
                    if number % 2 == journal
                    for role in ROLES
                ),
                journal=f"gateway-{journal}",
            )
        if piece.stop < DECISIONS:
            scene.ship()
    return scene


def test_keys_find_the_decisions_that_brute_force_finds(decided: Scene) -> None:
    random = np.random.default_rng(3)
    made = pd.DataFrame({"number": range(DECISIONS), "key": [float(n % 7) for n in range(DECISIONS)]})
    values, times, since, every, expected = [], [], [], [], []
    for _ in range(300):
        value = float(random.integers(0, 9))
        upto = float(random.uniform(-5, DECISIONS + 5))
        within = None if random.random() < 0.4 else float(random.uniform(1, 30))
        wanted = bool(random.random() < 0.5)
        fits = made[(made["key"] == value) & (made["number"] <= upto)]
        if within is not None:
            fits = fits[fits["number"] >= upto - within]
        ids = [row_id(int(number)) for number in fits["number"]]
        expected.append(ids if wanted else ids[-1:])
        values.append(value)
        times.append(at(upto))
        since.append(None if within is None else at(upto) - timedelta(seconds=within))
        every.append(wanted)
    assert any(expected)
    assert decided.lake.find_keyed("credit-risk", "age", Sought(values, times, since, every)) == expected


def find(scene: Scene, key: str, value: Any, endpoint: str = "credit-risk") -> list[list[str]] | None:
    return scene.lake.find_keyed(endpoint, key, Sought([value], [at(1000)], [None], [False]))


def test_keys_take_the_type_of_the_feature(scene: Scene) -> None:
    scene.write(decision(4, version=2), decision(5, version=2))
    assert find(scene, "carrier", "s4") == [[row_id(4)]]
    for four in (4, 4.0, "4"):
        assert find(scene, "age", four) == [[row_id(4)]]
    for truth in (True, 1, "true"):
        assert find(scene, "late", truth) == [[row_id(5)]]
    for key, value in (("age", "4.5"), ("age", 4.5), ("age", True), ("late", "yes"), ("carrier", 1.5)):
        with pytest.raises(Invalid) as caught:
            find(scene, key, value)
        assert caught.value.field == "keys[0]"
        assert caught.value.found == value
    scene.write(decision(6, version=3))
    assert find(scene, "age", "s6") == [[row_id(6)]]


def test_a_key_that_is_no_feature_is_named_with_those_that_are(decided: Scene) -> None:
    with pytest.raises(Invalid) as caught:
        find(decided, "agee", 1)
    assert caught.value.field == "key"
    assert "did you mean age" in (caught.value.next_step or "")
    assert find(decided, "segment", "north") == [[]]
    assert find(decided, "age", 1, endpoint="nobody") is None


def test_what_is_known_of_decisions(decided: Scene) -> None:
    decided.write(outcome([row_id(1), row_id(99)], [1, 0], at=70), journal="console")
    decided.write(outcome([row_id(1)], [None], at=80), outcome([row_id(2)], [True], at=81), journal="console")
    for _ in range(2):
        known = decided.lake.known_before("credit-risk", [row_id(n) for n in (1, 2, 3, 99, 98)])
        assert known == {
            row_id(1): Before(True, None),
            row_id(2): Before(True, "true"),
            row_id(3): Before(True, None),
            row_id(99): Before(False, "0"),
            row_id(98): Before(False, None),
        }
        alone, total = decided.lake.without_decision("credit-risk", 0, 10)
        assert (total, [row["decision_id"] for row in alone]) == (1, [row_id(99)])
        decided.ship()
    decided.write(decision(99))
    assert decided.lake.without_decision("credit-risk", 0, 10) == ([], 0)


def test_the_lag_of_labels_agrees_with_numpy(decided: Scene) -> None:
    random = np.random.default_rng(1)
    lags = {}
    for number in range(50):
        lags[number] = int(random.exponential(2000)) + 1
    said = [outcome([row_id(number)], [1], at=number + lag) for number, lag in lags.items()]
    decided.write(*said, journal="console")
    # A correction and a repetition change no lag; a withdrawn outcome was known once.
    decided.write(
        outcome([row_id(0)], [0], at=90_000), outcome([row_id(1)], [1], at=90_001), journal="console"
    )
    decided.write(outcome([row_id(2)], [None], at=90_002), journal="console")
    for _ in range(2):
        labels = decided.lake.labels("credit-risk")
        assert (labels.known, labels.withdrawn, labels.corrected) == (49, 1, 1)
        assert labels.median_seconds == pytest.approx(np.quantile(list(lags.values()), 0.5), abs=0.01)
        assert labels.p95_seconds == pytest.approx(np.quantile(list(lags.values()), 0.95), abs=0.01)
        assert labels.last == at(90_002)
        decided.ship()
    assert decided.lake.labels("nobody").known == 0
