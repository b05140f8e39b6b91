from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsavo.runtimes.edges import EVERY_COLUMN, KINDS, EdgeRows, edge_rows
from tsavo.vocabulary import NUMPY_DTYPES, Field

CITY = np.array(["Bern", "Voi", None, "Bern"], dtype=object)
FIELDS = (
    Field("age", "int64"),
    Field("income", "float64", nullable=True),
    Field("rate", "float32", nullable=True),
    Field("city", "string", nullable=True, categories=("", "Bern", "Voi")),
    Field("member", "bool"),
)
SAMPLE = {
    "age": np.array([30, 40, 50, 60]),
    "income": np.array([1.5, np.nan, 3.5, 4.5]),
    "rate": np.array([0.1, 0.2, 0.3, 0.4], np.float32),
    "city": CITY,
    "member": np.array([True, False, True, False]),
}
CUTS = {"income": [2.0, 1 / 3], "age": [41.5]}


@pytest.fixture(scope="module")
def made() -> dict[str, EdgeRows]:
    return {part.kind: part for part in edge_rows(FIELDS, SAMPLE, CUTS)}


def test_all_kinds_in_their_order(made: dict[str, EdgeRows]) -> None:
    assert tuple(made) == KINDS


def test_one_column_is_at_its_edge_and_the_others_are_as_in_a_reference_row(
    made: dict[str, EdgeRows],
) -> None:
    whole = {tuple(values[row] for values in SAMPLE.values()) for row in (0, 3)}  # those without gaps
    for part in made.values():
        for row in range(part.rows):
            at = int(part.changed[row])
            if at == EVERY_COLUMN:
                continue
            given = [part.columns[field.name][row] for field in FIELDS]
            assert any(
                all(
                    one == other
                    for place, (one, other) in enumerate(zip(given, base, strict=True))
                    if place != at
                )
                for base in whole
            )


def test_columns_keep_their_types(made: dict[str, EdgeRows]) -> None:
    for part in made.values():
        for field in FIELDS:
            assert part.columns[field.name].dtype == NUMPY_DTYPES[field.dtype]
            assert len(part.columns[field.name]) == part.rows


def test_a_gap_only_where_one_may_be(made: dict[str, EdgeRows]) -> None:
    assert set(made["missing"].changed.tolist()) == {1, 2, 3}
    assert np.isnan(made["missing"].columns["income"][made["missing"].changed == 1]).all()
    closed = (Field("city", "string", categories=("Bern",), unseen="refuse"),)
    assert edge_rows(closed, {"city": CITY[:1]}, {}) == ()


def test_thresholds_and_their_neighbours_in_both_precisions(made: dict[str, EdgeRows]) -> None:
    part = made["thresholds"]
    given = set(part.columns["income"][part.changed == 1].tolist())
    for cut in CUTS["income"]:
        single = np.float32(cut)
        for way in (-np.inf, np.inf):
            assert {float(np.nextafter(cut, way)), float(np.nextafter(single, np.float32(way)))} <= given
        assert {cut, float(single)} <= given
    assert {41, 42} <= set(part.columns["age"][part.changed == 0].tolist())
    together = part.changed == EVERY_COLUMN
    assert together.sum() >= 100
    assert set(part.columns["income"][together].tolist()) <= given
    assert set(part.columns["city"][together].tolist()) == {"Bern"}


def test_the_first_whole_number_that_float64_does_not_hold(made: dict[str, EdgeRows]) -> None:
    assert 2**53 + 1 in made["whole numbers"].columns["age"].tolist()


@given(st.integers(1, 300), st.integers(0, 500))
def test_wide_tables_and_many_thresholds_stay_within_bounds(width: int, cuts: int) -> None:
    fields = tuple(Field(f"x{at}", "float64", nullable=True) for at in range(width))
    sample = {field.name: np.arange(2.0) for field in fields}
    parts = edge_rows(fields, sample, {"x0": np.linspace(0, 1, cuts).tolist()})
    assert sum(part.rows for part in parts) < 4_000 + 300 * 40


def test_it_is_the_same_every_time(made: dict[str, EdgeRows]) -> None:
    for again in edge_rows(FIELDS, SAMPLE, CUTS):
        for name, values in again.columns.items():
            np.testing.assert_array_equal(values, made[again.kind].columns[name])
