from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from tsavo.client.outcomes import Outcomes, outcomes_of
from tsavo.vocabulary import Invalid

IDS = [f"0197f0a0-0000-7000-8000-000000000000:{row}" for row in range(3)]


def read(data: Any) -> Outcomes:
    return outcomes_of(data, decision="decision_id", outcome="outcome", time="time")


@pytest.mark.parametrize(
    "data",
    [
        {"decision_id": IDS, "outcome": [1, 0, 1]},
        pd.DataFrame({"outcome": [1, 0, 1], "decision_id": IDS, "else": "x"}),
        pd.Series([1, 0, 1], index=IDS, name="late"),
        [{"decision_id": one, "outcome": value} for one, value in zip(IDS, [1, 0, 1], strict=True)],
    ],
)
def test_tables_and_series_say_the_same(data: Any) -> None:
    assert read(data) == Outcomes(IDS, [1, 0, 1])


def test_columns_may_have_other_names() -> None:
    data = {"id": IDS, "late": ["yes", "no", None], "seen": ["2026-03-01", None, None]}
    found = outcomes_of(data, decision="id", outcome="late", time="seen")
    assert found == Outcomes(IDS, ["yes", "no", None], ["2026-03-01T00:00:00+00:00", None, None])


@pytest.mark.parametrize("missing", ["decision_id", "outcome"])
def test_a_missing_column_is_named(missing: str) -> None:
    data = {"decision_id": IDS, "outcome": [1, 0, 1]}
    del data[missing]
    with pytest.raises(Invalid) as caught:
        read(data)
    assert caught.value.field == missing


NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "times",
    [
        [NOON] * 3,
        [NOON.replace(tzinfo=None)] * 3,
        [NOON.astimezone(timezone(timedelta(hours=3)))] * 3,
        ["2026-03-01T12:00:00Z", "2026-03-01 12:00", "2026-03-01T15:00:00+03:00"],
        pd.to_datetime(pd.Series([NOON] * 3)).dt.as_unit("ns"),
        pa.array([int(NOON.timestamp() * 1e9) + 1] * 3, pa.timestamp("ns")),
        np.array(["2026-03-01T12:00:00"] * 3, dtype="datetime64[us]"),
    ],
    ids=["utc", "naive", "nairobi", "text", "pandas", "nanoseconds", "numpy"],
)
def test_times_mean_the_same_moment(times: Any) -> None:
    observed = read({"decision_id": IDS, "outcome": [1, 0, 1], "time": times}).observed
    assert observed is not None
    assert {datetime.fromisoformat(text or "") for text in observed} == {NOON}


def test_a_day_is_its_first_moment() -> None:
    observed = read(
        {"decision_id": IDS, "outcome": [1, 0, 1], "time": [date(2026, 3, 1), None, None]}
    ).observed
    assert observed == ["2026-03-01T00:00:00+00:00", None, None]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"decision_id": [IDS[0], "x", IDS[2]]}, "decisions[1]"),
        ({"decision_id": [IDS[0], IDS[1], None]}, "decisions[2]"),
        ({"outcome": [1.0, 2.0, float("inf")]}, "values[2]"),
        ({"outcome": [[1], None, None]}, "values[0]"),
        ({"time": ["2026-03-01", "yesterday", None]}, "observed[1]"),
        ({"time": [0, 1, 2]}, "observed[0]"),
    ],
)
def test_a_row_at_fault_is_named(changes: dict[str, Any], field: str) -> None:
    with pytest.raises(Invalid) as caught:
        read({"decision_id": IDS, "outcome": [1, 0, 1]} | changes)
    assert caught.value.field == field


def test_a_missing_outcome_stays_missing() -> None:
    assert read({"decision_id": IDS, "outcome": [1.0, float("nan"), None]}).values == [1.0, None, None]


def test_pieces_make_up_the_whole() -> None:
    times = [NOON, None, NOON]
    whole = read({"decision_id": IDS, "outcome": [1, 0, 1], "time": times})
    pieces = [whole.piece(start, 2) for start in (0, 2)]
    assert [len(piece["decisions"]) for piece in pieces] == [2, 1]
    for name in ("decisions", "values", "observed"):
        assert [item for piece in pieces for item in piece[name]] == getattr(whole, name)
    assert "observed" not in read({"decision_id": IDS, "outcome": [1, 0, 1]}).piece(0, 3)
