"""How long rows are kept, and backups, as the command line says them."""

from __future__ import annotations

from pathlib import Path

import httpx

from tests.cli.conftest import CommandLine, Scene


def test_retention_is_told_and_changed(tsavo: CommandLine, scene: Scene) -> None:
    tsavo.done("deploy", "small@1", "--endpoint", "kept")
    assert tsavo.done("retention", "kept") == "kept: rows are kept for ever\n"
    said = tsavo.done("retention", "kept", "--keep-days", "365", "--at-least-days", "90", "--why", "law")
    assert said == "kept: rows are deleted after 365 days, never before 90 days\n"
    assert tsavo.json("retention", "kept") == {
        "endpoint": {"keep_days": 365, "at_least_days": 90},
        "settings": {"keep_days": 0, "at_least_days": 0},
        "effective": {"keep_days": 365, "at_least_days": 90},
    }
    page = httpx.get(f"{scene.running.console}/endpoints/kept").text
    assert "kept 365 days, at least 90 days" in page
    assert "at least 90 days" in tsavo.refused("retention", "kept", "--keep-days", "30")
    assert "forever" in tsavo.refused("retention", "kept", "--keep-days", "0")
    tsavo.done("retention", "kept", "--keep-days", "default", "--at-least-days", "default")
    assert tsavo.json("retention", "kept")["endpoint"] == {}
    assert tsavo.done("retention", "kept", "--keep-days", "forever") == "kept: rows are kept for ever\n"
    assert "nobody" in tsavo.refused("retention", "nobody")


def test_a_backup_and_a_home_of_it(
    tsavo: CommandLine, anywhere: CommandLine, scene: Scene, tmp_path: Path
) -> None:
    folder = tmp_path / "backups"
    assert tsavo.done("backup", str(folder)).startswith("backup 2")
    second = tsavo.json("backup", str(folder), "--keep", "1", "--fast")
    assert second["new_files"] < second["files"]
    assert "elsewhere" in tsavo.refused("backup", str(scene.running.home / "inside"))
    assert "1 or more" in tsavo.refused("backup", str(folder), "--keep", "0")
    assert "where the home is" in anywhere.refused("backup", str(folder), "--url", scene.running.console)
    new = tmp_path / "new"
    said = anywhere.done("restore", str(folder), "--home", str(new))
    assert said.splitlines()[-1] == f"Start it with: tsavo up --home {new}"
    assert "not empty" in anywhere.refused("restore", str(folder), "--home", str(new))
    assert "no such backup" in anywhere.refused(
        "restore", str(folder), "--home", str(tmp_path / "other"), "--backup", "20200101"
    )
