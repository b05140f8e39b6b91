"""Merging changes where rows lie and nothing else; what nobody reads any more leaves the disk."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from tests.lake.scene import Scene, decision, outcome, row_id
from tsavo.lake.folders import Folders
from tsavo.lake.replacing import Replacement, replace_files
from tsavo.lake.tables import LakeTable
from tsavo.lake.tidying import sweep, tidy

LONG_AGO = 1_000_000_000

_PROCESS = Path(__file__).with_name("tidying_process.py")
_HERE = Path(__file__).parents[2]


def filled(scene: Scene, commits: int = 12) -> LakeTable:
    chance = random.Random(3)
    for turn in range(commits):
        records = [decision(turn * 10 + number, rows=1 + number % 3) for number in range(10)]
        chance.shuffle(records)
        scene.write(*records, journal=f"gateway-{turn % 2}")
        scene.ship()
    return Folders(scene.root).decisions("credit-risk")


def lines(table: LakeTable) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = DeltaTable(str(table.path)).to_pyarrow_dataset().to_table().to_pylist()
    return sorted(rows, key=lambda row: (row["decision_id"], row["role"]))


def test_merged_files_are_sorted_and_say_what_is_in_their_row_groups(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tsavo.lake.replacing._GROUP_ROWS", 50)
    table = filled(scene)
    before = lines(table)
    assert tidy(table, 7)
    assert lines(table) == before
    snapshot = table.snapshot()
    assert snapshot is not None
    (file,) = snapshot.files
    parquet = pq.ParquetFile(file.path)
    ids = parquet.read(columns=["decision_id"])["decision_id"].to_pylist()
    assert ids == sorted(ids)
    groups = [parquet.metadata.row_group(place).column(0) for place in range(parquet.num_row_groups)]
    assert len(groups) > 3
    assert all(group.has_offset_index and group.has_column_index for group in groups)
    assert "DELTA_BYTE_ARRAY" in groups[0].encodings
    bounds = [(group.statistics.min, group.statistics.max) for group in groups]
    assert bounds[0][0] == ids[0] == file.low["decision_id"]
    assert bounds[-1][1] == ids[-1] == file.high["decision_id"]
    assert all(high < low for (_, high), (low, _) in pairwise(bounds))


def test_merging_keeps_positions_and_readers_of_the_table(scene: Scene) -> None:
    table = filled(scene)
    first, position = scene.lake.new_decisions("credit-risk", {}, 60)
    assert tidy(table, 7)
    rest, position = scene.lake.new_decisions("credit-risk", position, 10_000)
    ids = first["decision_id"].to_pylist() + rest["decision_id"].to_pylist()
    assert sorted(ids) == sorted(row["decision_id"] for row in lines(table))
    assert scene.lake.new_decisions("credit-risk", position, 10)[0].num_rows == 0
    scene.write(decision(9_999))
    assert scene.lake.ship().decisions == {"credit-risk": 1}
    assert scene.reopened().ship().decisions == {}


def test_a_merge_tells_those_who_follow_the_table_that_nothing_is_new(scene: Scene) -> None:
    table = filled(scene)
    tidy(table, 7)
    delta = DeltaTable(str(table.path))
    assert delta.history(1)[0]["operation"] == "OPTIMIZE"
    newest = max((table.path / "_delta_log").glob("*.json"))
    actions = [json.loads(line) for line in newest.read_text().splitlines()]
    assert [action["remove"]["dataChange"] for action in actions if "remove" in action] == [False] * 12
    (added,) = [action["add"] for action in actions if "add" in action]
    assert added["dataChange"] is False
    assert json.loads(added["stats"])["numRecords"] == len(lines(table))
    assert list((table.path / "_delta_log").glob("*.checkpoint.parquet"))
    assert not list((table.path / "_delta_log").glob(".*"))


def test_a_commit_made_meanwhile_makes_a_merge_fail_and_leaves_nothing(scene: Scene) -> None:
    table = filled(scene)
    snapshot = table.snapshot()
    assert snapshot is not None
    scene.write(decision(5_000))
    scene.ship()
    before, files = lines(table), set(table.path.glob("*.parquet"))
    rows = pq.read_table(snapshot.files[0].path)
    late = Replacement(snapshot.files[:1], [rows], data_change=False, operation="OPTIMIZE", parameters={})
    assert not replace_files(table.path, snapshot.version, late, bounded=table.bounded)
    assert lines(table) == before
    assert set(table.path.glob("*.parquet")) == files


def test_a_merge_that_breaks_off_leaves_nothing(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    table = filled(scene)
    before, files = lines(table), set(table.path.glob("*.parquet"))

    def full(_folder: Path) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("tsavo.lake.replacing.sync_file_system", full)
    with pytest.raises(OSError, match="no space"):
        tidy(table, 7)
    assert lines(table) == before
    assert set(table.path.glob("*.parquet")) == files


def test_versions_with_other_columns_are_merged_into_one_file(scene: Scene) -> None:
    for number in range(9):
        scene.write(decision(number, version=1 + number % 3))
        scene.ship()
    before = scene.rows('SELECT * FROM "credit-risk" ORDER BY decision_id')
    table = Folders(scene.root).decisions("credit-risk")
    assert tidy(table, 7)
    assert scene.rows('SELECT * FROM "credit-risk" ORDER BY decision_id') == before


def test_outcomes_are_merged_with_the_last_one_still_last(scene: Scene) -> None:
    scene.write(*[decision(number) for number in range(5)])
    for turn in range(10):
        scene.write(outcome([row_id(number) for number in range(5)], [turn] * 5, at=turn))
        scene.ship()
    assert scene.lake.maintain() == 1
    assert scene.rows('SELECT outcome, count(*) FROM "credit-risk" GROUP BY ALL') == [(9, 5)]


def test_replaced_files_and_those_of_a_killed_writer_are_swept_after_six_hours(scene: Scene) -> None:
    table = filled(scene)
    orphan = table.path / "part-00000-orphan-c000.zstd.parquet"
    orphan.write_bytes(b"half a file")
    tidy(table, 7)
    assert sweep(table) == 0
    assert len(list(table.path.glob("*.parquet"))) == 14
    os.utime(orphan, (LONG_AGO, LONG_AGO))
    before = lines(table)
    # Nothing else is six hours old.
    assert sweep(table) == 0 or not orphan.exists()
    snapshot = table.snapshot()
    assert snapshot is not None
    for file in table.path.glob("*.parquet"):
        os.utime(file, (LONG_AGO, LONG_AGO))
    assert sweep(table) in (0, 1)
    assert not orphan.exists()
    assert lines(table) == before


def test_every_table_is_swept_in_its_turn(scene: Scene) -> None:
    orphans = []
    for number in range(5):
        scene.write(decision(number, endpoint=f"e{number}"))
        scene.ship()
        orphans.append(scene.root / "decisions" / f"e{number}" / "part-00000-orphan-c000.zstd.parquet")
        orphans[-1].write_bytes(b"half a file")
        for file in orphans[-1].parent.glob("*.parquet"):
            os.utime(file, (LONG_AGO, LONG_AGO))
    for _ in range(36):
        scene.lake.maintain()
    assert not any(orphan.exists() for orphan in orphans)
    assert scene.rows("SELECT count(*) FROM decisions") == [(5,)]


def test_a_keeper_killed_while_it_merges_and_drops_loses_and_doubles_nothing(scene: Scene) -> None:
    chance = random.Random(12)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(_HERE), str(_HERE / "src"), *sys.path])}
    number = 0
    for turn in range(6):
        # What is dropped is from before everything that is added later.
        dropped = turn * 300
        scene.write(*[decision(number + more) for more in range(400)])
        number += 400
        process = subprocess.Popen(
            [sys.executable, str(_PROCESS), str(scene.folder), str(dropped)],
            stdout=subprocess.PIPE,
            env=environment,
            cwd=_HERE,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        time.sleep(chance.uniform(0.05, 0.8))
        process.kill()
        process.wait()
        process.stdout.close()
        found = scene.lake.sql("SELECT decision_id FROM decisions", rows=10**6)["decision_id"].to_pylist()
        assert len(found) == len(set(found))
        assert {row_id(kept) for kept in range(dropped, number)} <= set(found)
    scene.ship()
    left = DeltaTable(str(scene.root / "decisions" / "credit-risk")).to_pyarrow_dataset().to_table()
    ids = left["decision_id"].to_pylist()
    assert len(ids) == len(set(ids))
    assert {row_id(kept) for kept in range(5 * 300, number)} <= set(ids)
