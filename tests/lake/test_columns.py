"""Stored names: one kind a column for ever, and the way back is unique."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from tsavo.lake.columns import ARROW_TYPES, kind_of, logical_columns, storage_name

NAMES = st.one_of(
    st.sampled_from(
        ["age", "Age", "AGE", "age::double", "age::long", "age::double::double", "a::b", "::", "x (cm)"]
    ),
    st.text(min_size=1, max_size=8),
)
KINDS = st.sampled_from(sorted(ARROW_TYPES))


@given(st.lists(st.tuples(NAMES, KINDS), max_size=12))
def test_every_name_and_kind_has_one_place_of_its_kind(wanted: list[tuple[str, str]]) -> None:
    known: dict[str, str] = {}
    places: dict[tuple[str, str], str] = {}
    for name, kind in wanted:
        place = storage_name(known, name, kind)
        assert known.get(place, kind) == kind
        known[place] = kind
        assert places.setdefault((name, kind), place) == place
    # Spark and DuckDB ignore case: no two columns may differ by it alone.
    assert len({place.lower() for place in known}) == len(known)
    assert len(set(places.values())) == len(places)


@given(st.lists(st.tuples(st.sampled_from(["age", "income", "age::double", "b::long"]), KINDS), max_size=12))
def test_readers_put_the_kinds_of_a_name_together_again(wanted: list[tuple[str, str]]) -> None:
    known: dict[str, str] = {}
    for name, kind in wanted:
        known[storage_name(known, name, kind)] = kind
    struct = pa.struct([(name, ARROW_TYPES[kind]) for name, kind in known.items()])
    logical = logical_columns([struct])
    assert {column.name for column in logical} == {name for name, _ in wanted}
    assert sorted(stored for column in logical for stored in column.stored) == sorted(known)


def test_kinds_are_those_of_the_arrow_types() -> None:
    assert {kind: kind_of(arrow) for kind, arrow in ARROW_TYPES.items()} == {
        kind: kind for kind in ARROW_TYPES
    }
