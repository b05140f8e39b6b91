"""A table's snapshot is what deltalake itself says, and compaction disturbs nobody."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError

from tests.lake.scene import Scene, decision
from tsavo.lake.tables import LakeTable, dataset
from tsavo.lake.tidying import tidy

BOUNDED = ("journal", "seq")


def rows(*numbers: int) -> pa.Table:
    return pa.table({"journal": ["j"] * len(numbers), "seq": pa.array(numbers, pa.int64())})


def table_at(path: Path) -> LakeTable:
    return LakeTable(path, bounded=BOUNDED, sort_by=("seq",))


def seen(table: LakeTable) -> list[int]:
    snapshot = table.snapshot()
    if snapshot is None:
        return []
    found: list[int] = dataset(snapshot.files, snapshot.schema, BOUNDED).to_table().column("seq").to_pylist()
    return sorted(found)


def test_a_table_that_is_not_there_has_no_snapshot(tmp_path: Path) -> None:
    table = table_at(tmp_path / "t")
    assert table.snapshot() is None
    (tmp_path / "t" / "_delta_log").mkdir(parents=True)
    assert table.snapshot() is None


def test_a_transaction_goes_in_once_and_rows_with_it(tmp_path: Path) -> None:
    table = table_at(tmp_path / "t")
    assert table.append(rows(1, 2), {"j": 2})
    assert not table.append(rows(1, 2), {"j": 2})
    assert not table.append(rows(1), {"j": 1})
    assert table.append(rows(3), {"j": 3})
    snapshot = table.snapshot(["j", "k"])
    assert snapshot is not None
    assert (snapshot.upto("j"), snapshot.upto("k")) == (3, 0)
    assert seen(table) == [1, 2, 3]


def test_two_writers_with_the_same_transaction_cannot_both_win(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = table_at(tmp_path / "t")
    table.append(rows(1), {"j": 1})
    stale = DeltaTable(str(tmp_path / "t"))
    table.append(rows(2), {"j": 2})
    other = table_at(tmp_path / "t")
    # The other writer opened the table just before the commit above.
    monkeypatch.setattr(other, "_open", lambda schema: stale)
    with pytest.raises(CommitFailedError):
        other.append(rows(2), {"j": 2})
    assert seen(table) == [1, 2]


def test_a_kept_snapshot_notices_every_commit_of_another_process(tmp_path: Path) -> None:
    reader, writer = table_at(tmp_path / "t"), table_at(tmp_path / "t")
    for number in range(1, 130):
        writer.append(rows(number), {"j": number})
        snapshot = reader.snapshot(["j"])
        assert snapshot is not None
        assert snapshot.upto("j") == number
        assert sum(file.rows for file in snapshot.files) == number
    # Past the hundredth commit the log has a checkpoint; the transactions are in it.
    assert list((tmp_path / "t" / "_delta_log").glob("*.checkpoint.parquet"))
    fresh = table_at(tmp_path / "t").snapshot(["j"])
    assert fresh is not None
    assert fresh.upto("j") == 129
    assert seen(reader) == list(range(1, 130))


def test_a_commit_within_one_tick_of_the_clock_is_noticed(tmp_path: Path) -> None:
    reader, writer = table_at(tmp_path / "t"), table_at(tmp_path / "t")
    writer.append(rows(1))
    assert seen(reader) == [1]
    log = tmp_path / "t" / "_delta_log"
    before = log.stat()
    writer.append(rows(2))
    os.utime(log, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert seen(reader) == [1, 2]


def test_a_reader_that_slept_through_a_cleaning_of_the_log_wakes_up(tmp_path: Path) -> None:
    reader, writer = table_at(tmp_path / "t"), table_at(tmp_path / "t")
    writer.append(rows(1))
    assert seen(reader) == [1]
    for number in range(2, 5):
        writer.append(rows(number))
    DeltaTable(str(tmp_path / "t")).create_checkpoint()
    # What Delta does to entries that are older than its retention.
    for entry in sorted((tmp_path / "t" / "_delta_log").glob("*.json"))[:-1]:
        entry.unlink()
    assert seen(reader) == [1, 2, 3, 4]


def test_bounds_are_those_of_the_files(tmp_path: Path) -> None:
    table = table_at(tmp_path / "t")
    table.append(rows(5, 9), None)
    snapshot = table.snapshot()
    assert snapshot is not None
    (file,) = snapshot.files
    assert (file.rows, file.low["seq"], file.high["seq"], file.low["journal"]) == (2, 5, 9, "j")


def test_decision_files_have_bounds_for_what_readers_skip_by(scene: Scene) -> None:
    scene.write(decision(1), decision(2))
    scene.ship()
    snapshot = table_at(scene.root / "decisions" / "credit-risk").snapshot()
    assert snapshot is not None
    assert {"decision_id", "time", "journal", "seq"} <= snapshot.files[0].low.keys()


def test_merging_keeps_every_row_for_old_and_new_readers(tmp_path: Path) -> None:
    table = table_at(tmp_path / "t")
    for number in range(1, 11):
        table.append(rows(number), {"j": number})
    before = table.snapshot(["j"])
    assert before is not None
    assert not tidy(table, most_small_files=10)
    assert tidy(table, most_small_files=9)
    after = table.snapshot(["j"])
    assert after is not None
    assert len(after.files) < len(before.files)
    assert after.upto("j") == 10
    assert seen(table) == list(range(1, 11))
    # A query that began before the merge still finds its files.
    old = dataset(before.files, before.schema, BOUNDED).to_table()
    assert sorted(old.column("seq").to_pylist()) == list(range(1, 11))
