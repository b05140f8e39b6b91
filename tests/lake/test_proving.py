"""In which file a decision lies."""

from __future__ import annotations

import pyarrow.parquet as pq

from tests.lake.scene import Scene, decision, row_id


def test_the_file_of_a_decision_has_its_row_before_and_after_merging(scene: Scene) -> None:
    for number in range(12):
        scene.write(decision(number, rows=2), decision(500 + number, endpoint="other"))
        scene.ship()
    for merged in (False, True):
        if merged:
            before = scene.lake.file_of("credit-risk", row_id(5, 1))
            assert scene.lake.maintain(most_small_files=2)
            assert scene.lake.file_of("credit-risk", row_id(5, 1)) != before
        for number in range(12):
            path = scene.lake.file_of("credit-risk", row_id(number, 1))
            assert path is not None
            ids = pq.read_table(path, columns=["decision_id"], partitioning=None)["decision_id"].to_pylist()
            assert row_id(number, 1) in ids


def test_what_is_in_no_file_has_none(scene: Scene) -> None:
    assert scene.lake.file_of("credit-risk", row_id(1)) is None
    scene.write(decision(1))
    assert scene.lake.file_of("credit-risk", row_id(1)) is None
    scene.ship()
    assert scene.lake.file_of("credit-risk", row_id(1)) is not None
    assert scene.lake.file_of("credit-risk", row_id(2)) is None
    assert scene.lake.file_of("other", row_id(1)) is None
