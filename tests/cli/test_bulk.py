from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import CommandLine, Scene


@pytest.fixture
def manifest(scene: Scene, tmp_path: Path) -> Path:
    """Two rows that can be registered, and one in between whose file is not there."""
    path = tmp_path / "models.csv"
    lines = ["source,name,reference,target,endpoint"]
    for name, source in (("first", scene.model), ("gone", "gone.joblib"), ("last", scene.model)):
        lines.append(f"{source},cli-{name},{scene.reference},target,cli-bulk-{name}")
    path.write_text("\n".join(lines) + "\n")
    return path


def test_the_bad_rows_are_told_and_the_others_kept(tsavo: CommandLine, manifest: Path) -> None:
    said = tsavo("register-many", str(manifest), "--trust", "--deploy")
    assert said.code == 1
    gone, summary = said.out.splitlines()
    assert gone.startswith("row 2: cli-gone: there is no such file (field: source")
    assert summary == "2 registered, 0 known already, 1 failed"
    assert said.err == "tsavo: 1 of 3 rows failed. Next: mend them and run it again\n"
    assert "cli-bulk-first" in tsavo.done("show", "cli-bulk-first")

    (manifest.parent / "gone.joblib").write_bytes(Path(manifest).read_bytes())
    told = tsavo("register-many", str(manifest), "--trust", "--deploy", "--json")
    assert told.code == 1
    lines = {line["row"]: line for line in map(json.loads, told.out.splitlines())}
    assert [lines[row]["status"] for row in (1, 2, 3)] == ["known", "failed", "known"]
    assert lines[1] | {"version": None} == {
        "row": 1,
        "name": "cli-first",
        "status": "known",
        "version": None,
        "endpoint": "cli-bulk-first",
        "segment": None,
        "error": None,
    }
    assert lines[2]["error"]["kind"] == "unreadable"


def test_a_folder_is_registered_by_the_names_of_its_files(
    tsavo: CommandLine, scene: Scene, tmp_path: Path
) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    for name in ("North 1", "South"):
        (folder / f"{name}.joblib").write_bytes(scene.model.read_bytes())
    words = [str(folder), "--trust", "--reference", str(scene.reference), "--target", "target"]
    assert tsavo.done("register-many", *words) == "2 registered, 0 known already, 0 failed\n"
    assert tsavo.json("show", "north-1")["model"]["model"]["name"] == "north-1"
    assert tsavo.done("register-many", *words) == "0 registered, 2 known already, 0 failed\n"


def test_what_is_no_list_is_refused(tsavo: CommandLine, scene: Scene) -> None:
    assert "not a manifest" in tsavo.refused("register-many", str(scene.model))
    assert "either deploy or family" in tsavo.refused(
        "register-many", str(scene.model.parent), "--deploy", "--family", "x"
    )
