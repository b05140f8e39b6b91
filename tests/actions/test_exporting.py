from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pandas as pd
import pytest

from tests.examples import SteppingClock
from tests.lake.scene import Scene, decision
from tsavo.actions import ControlPlane, keep_query, run_due_exports, schedule_export
from tsavo.governance import local_owner
from tsavo.registry import delete_export, find_export
from tsavo.vocabulary import ExportFormat

ADA = local_owner("ada")


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    (tmp_path / "home").mkdir()
    scene = Scene(tmp_path / "home")
    scene.write(*(decision(number) for number in range(5)))
    return scene


def pass_time(clock: SteppingClock, span: timedelta) -> None:
    clock._now += span


def schedule(plane: ControlPlane, name: str, query: str, format: ExportFormat = "csv") -> None:
    schedule_export(plane, ADA, name, query, folder="sales/daily", every_seconds=3600, format=format)


def test_files_are_written_when_they_are_due_and_replaced_as_a_whole(
    plane: ControlPlane, clock: SteppingClock, scene: Scene, tmp_path: Path
) -> None:
    root = tmp_path / "exports"
    keep_query(plane, ADA, "ages", 'select decision_id, age from "credit-risk" order by 1')
    schedule(plane, "ages", "@ages")
    (done,) = run_due_exports(plane, scene.lake, root)
    file = root / "sales" / "daily" / "ages.csv"
    assert done.last is not None
    assert (done.last.error, done.last.rows, done.last.bytes) == ("", 5, file.stat().st_size)
    assert done.last.file == "sales/daily/ages.csv"
    assert list(pd.read_csv(file)["age"]) == [0, 1, 2, 3, 4]
    assert run_due_exports(plane, scene.lake, root) == []
    scene.write(decision(5))
    pass_time(clock, timedelta(hours=1))
    reader = file.open()
    (done,) = run_due_exports(plane, scene.lake, root)
    # Who reads the old file reads it to its end.
    assert len(reader.readlines()) == 6
    reader.close()
    assert len(pd.read_csv(file)) == 6
    assert [path.name for path in file.parent.iterdir()] == ["ages.csv"]


def test_a_run_that_fails_leaves_the_file_and_says_why(
    plane: ControlPlane, clock: SteppingClock, scene: Scene, tmp_path: Path
) -> None:
    root = tmp_path / "exports"
    schedule(plane, "ages", 'select age from "credit-risk"', "parquet")
    run_due_exports(plane, scene.lake, root)
    file = root / "sales" / "daily" / "ages.parquet"
    before = file.read_bytes()
    schedule(plane, "ages", 'select cast(decision_id as int) as age from "credit-risk"', "parquet")
    (done,) = run_due_exports(plane, scene.lake, root)
    assert done.last is not None
    assert "Could not convert" in done.last.error
    assert file.read_bytes() == before
    assert [path.name for path in file.parent.iterdir()] == ["ages.parquet"]
    assert run_due_exports(plane, scene.lake, root) == []
    (tmp_path / "taken").write_text("a file")
    schedule(plane, "ages", "select 1 as age", "parquet")
    (done,) = run_due_exports(plane, scene.lake, tmp_path / "taken")
    assert done.last is not None
    assert "the file cannot be written" in done.last.error


def test_an_export_that_was_removed_meanwhile_does_not_come_back(
    plane: ControlPlane, scene: Scene, tmp_path: Path
) -> None:
    from tsavo.actions import run_export

    schedule(plane, "ages", "select 1")
    with plane.database.begin() as connection:
        export = find_export(connection, "ages")
        assert export is not None
        delete_export(connection, "ages")
    run_export(plane, scene.lake, tmp_path / "exports", export)
    with plane.database.read() as connection:
        assert find_export(connection, "ages") is None
