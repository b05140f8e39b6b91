"""What every file of the repository keeps to: no machine's paths, no download addresses, the agreed shape."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MADE = {".git", ".venv", "build", "dist", "site", ".bench", "__pycache__"}
# Put together from pieces, so that this file does not find itself.
NOWHERE = [
    "/".join(("", "work", "main")),
    "/".join(("", "work", "shared")),
    "/".join(("", "home", "")),
    "/".join(("", "root", "")),
    "files.python" + "hosted.org",
    "pypi" + ".org",
    "registry.npm" + "js.org",
    "deb.debian" + ".org",
    "--index" + "-url",
]


def text_files() -> dict[str, str]:
    """Files of this checkout, tracked or about to be, that are text."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode == 0:
        names = [os.fsdecode(name) for name in listed.stdout.split(b"\0") if name]
    else:
        names = [str(path.relative_to(ROOT)) for path in ROOT.rglob("*") if not MADE & set(path.parts)]
    found = {}
    for name in names:
        try:
            found[name] = (ROOT / name).read_text()
        except (UnicodeDecodeError, OSError):
            continue
    assert len(found) > 100
    return found


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    """Name -> content."""
    return text_files()


def test_no_file_knows_a_machine_or_a_download_address(texts: dict[str, str]) -> None:
    guilty = [
        f"{name}: {word}"
        for name, text in texts.items()
        for word in NOWHERE
        if word in text and "vendor" not in name
    ]
    assert guilty == []


def test_nothing_is_left_to_be_done(texts: dict[str, str]) -> None:
    marks = re.compile(r"\b(" + "|".join(("TO" + "DO", "FIX" + "ME", "X" * 3, "HA" + "CK")) + r")\b")
    code = {
        name: text for name, text in texts.items() if name.endswith((".py", ".cpp", ".hpp", ".html", ".sh"))
    }
    assert [name for name, text in code.items() if marks.search(text) and "vendor" not in name] == []


def test_no_lock_file_holds_addresses(texts: dict[str, str]) -> None:
    assert not {"uv.lock", "poetry.lock", "pdm.lock"} & {Path(name).name for name in texts}


def test_change_notes_have_names_that_a_release_understands(texts: dict[str, str]) -> None:
    notes = [
        Path(name).name for name in texts if name.startswith("changes/") and not name.endswith("README.md")
    ]
    assert notes
    for note in notes:
        assert re.fullmatch(r"(\d+|\+[a-z0-9-]+)(\.\d+)?\.(security|feature|change|fix|removal)\.md", note), (
            note
        )
        assert texts[f"changes/{note}"].strip().endswith(".")


def test_the_robot_only_calls_make(texts: dict[str, str]) -> None:
    assert texts[".ci/run"].splitlines() == ["#!/bin/sh", "exec make test"]
    assert os.access(ROOT / ".ci" / "run", os.X_OK)


def test_every_target_says_what_it_does(texts: dict[str, str]) -> None:
    (phony,) = re.findall(r"^\.PHONY: (.*)$", texts["Makefile"], re.MULTILINE)
    explained = set(re.findall(r"^([a-z]+):.*  ## \S", texts["Makefile"], re.MULTILINE))
    assert set(phony.split()) == explained
    assert {
        "setup",
        "demo",
        "test",
        "serve",
        "bench",
        "docs",
        "lint",
        "types",
        "requirements",
        "clean",
    } <= explained
