"""Readers of increments see each row once, in pieces of any size, whatever happens to the files."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.lake.scene import Scene, decision, row_id
from tsavo.lake import Position
from tsavo.lake.increments import Ranges, next_piece
from tsavo.lake.session import Session
from tsavo.lake.tables import LakeTable, dataset


def read_all(scene: Scene, position: Position, limit: int) -> tuple[list[str], Position]:
    """Every new decision id, in the order of delivery."""
    found: list[str] = []
    while True:
        rows, after = scene.lake.new_decisions("credit-risk", position, limit)
        if not rows.num_rows:
            assert after == position
            return found, after
        assert after != position
        found += rows.column("decision_id").to_pylist()
        position = after


def test_a_table_that_is_not_there_yet_has_nothing_new(scene: Scene) -> None:
    rows, position = scene.lake.new_decisions("credit-risk", {}, 10)
    assert (rows.num_rows, position) == (0, {})
    assert {"decision_id", "features", "prediction", "role"} <= set(rows.column_names)


@pytest.mark.parametrize("limit", [1, 3, 7, 1000])
def test_pieces_of_any_size_join_to_the_whole_in_shipped_order(scene: Scene, limit: int) -> None:
    expected = []
    position: Position = {}
    found: list[str] = []
    for batch in range(4):
        numbers = range(batch * 5, batch * 5 + 5)
        scene.write(*[decision(number, rows=1 + number % 2) for number in numbers])
        expected += [row_id(number, row) for number in numbers for row in range(1 + number % 2)]
        scene.ship()
        if batch != 1:
            more, position = read_all(scene, position, limit)
            found += more
    assert found == expected


def test_the_rows_of_a_request_stay_together(scene: Scene) -> None:
    scene.write(decision(1, rows=5), decision(2, rows=5))
    scene.ship()
    rows, _ = scene.lake.new_decisions("credit-risk", {}, 2)
    assert rows.column("decision_id").to_pylist() == [row_id(1, row) for row in range(5)]


def test_several_journals_and_merged_files_are_read_once(scene: Scene) -> None:
    position: Position = {}
    found: list[str] = []
    number = 0
    for cycle in range(6):
        for journal, count in (("gateway-0", 3), ("gateway-1", 40), ("gateway-2", 1)):
            records = [decision(number + step) for step in range(count)]
            number += count
            scene.write(*records, journal=journal)
        scene.ship()
        if cycle in (1, 4):
            rows, position = scene.lake.new_decisions("credit-risk", position, 25)
            found += rows.column("decision_id").to_pylist()
        if cycle in (2, 5):
            assert scene.lake.maintain(most_small_files=1) == 1
    rest, _ = read_all(scene, position, 17)
    assert Counter(found + rest) == Counter(row_id(step) for step in range(number))


def test_another_process_goes_on_from_a_stored_position(scene: Scene) -> None:
    scene.write(*[decision(number) for number in range(10)])
    scene.ship()
    _, position = scene.lake.new_decisions("credit-risk", {}, 4)
    assert all(isinstance(number, int) for number in position.values())
    rows, _ = scene.reopened().new_decisions("credit-risk", position, 100)
    assert rows.column("decision_id").to_pylist() == [row_id(number) for number in range(4, 10)]


def test_structs_hold_what_was_scored(scene: Scene) -> None:
    scene.write(decision(1, version=2), decision(1, version=1, role="shadow"))
    scene.ship()
    rows, _ = scene.lake.new_decisions("credit-risk", {}, 10)
    first, second = rows.to_pylist()
    assert (first["role"], second["role"]) == ("champion", "shadow")
    assert first["decision_id"] == second["decision_id"]
    assert first["features"] == {"age": 1.0, "carrier": "s1", "late": True, "income": None}
    assert first["prediction"] == {"label": 1, "probabilities": [0.25, 0.75]}


def test_rows_that_are_not_shipped_are_not_delivered(scene: Scene) -> None:
    scene.write(decision(1))
    assert scene.lake.new_decisions("credit-risk", {}, 10)[0].num_rows == 0


@settings(max_examples=15, deadline=None)
@given(
    files=st.lists(
        st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 3)), max_size=6), min_size=1, max_size=4
    ),
    limit=st.integers(1, 5),
)
def test_records_strewn_over_files_are_read_once_and_in_order(
    tmp_path_factory: pytest.TempPathFactory, files: list[list[tuple[str, int]]], limit: int
) -> None:
    """Merging may put any records into any file; times may stand still or run back."""
    table = LakeTable(tmp_path_factory.mktemp("t"), bounded=("journal", "seq", "time"))
    written: dict[str, list[int]] = {"a": [], "b": []}
    # Record k of a journal lies in the k-th file, in turn, in which a file asks for one.
    for turn in range(6):
        for file in files:
            if turn < len(file):
                journal, _ = file[turn]
                written[journal].append(len(written[journal]) + 1)
    given_out = {"a": iter(written["a"]), "b": iter(written["b"])}
    contents: list[list[tuple[str, int, int]]] = [[] for _ in files]
    for turn in range(6):
        for place, file in enumerate(files):
            if turn < len(file):
                journal, time = file[turn]
                contents[place].append((journal, next(given_out[journal]), time * 1_000_000))
    for content in contents:
        if content:
            journals, numbers, times = zip(*content, strict=True)
            table.append(
                pa.table(
                    {
                        "journal": list(journals),
                        "seq": pa.array(numbers, pa.int64()),
                        "time": pa.array(times, pa.timestamp("us", tz="UTC")),
                    }
                )
            )
    snapshot = table.snapshot()
    position: Position = {}
    read: dict[str, list[int]] = {"a": [], "b": []}
    while snapshot is not None:
        with Session() as session:
            piece = next_piece(session, snapshot, Ranges(), position, limit, "time")
            if piece is None:
                break
            source = session.source(dataset(piece.files, snapshot.schema))
            rows = session.table(
                f'SELECT * FROM "{source.name}" WHERE {piece.condition()} ORDER BY seq'
            ).to_pylist()
        assert 1 <= len(rows) <= limit
        for row in rows:
            read[row["journal"]].append(row["seq"])
        position = piece.position
    assert read == written
