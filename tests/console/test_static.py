"""What browsers are given is what was vendored, and nothing is fetched from elsewhere."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import tsavo.console

STATIC = Path(tsavo.console.__file__).parent / "static"
VENDOR = STATIC / "vendor"


def test_vendored_files_are_those_that_are_recorded() -> None:
    recorded = json.loads((VENDOR / "VENDORED.json").read_text())
    assert {entry["file"] for entry in recorded} == {path.name for path in VENDOR.glob("*.js")}
    for entry in recorded:
        digest = hashlib.sha256((VENDOR / entry["file"]).read_bytes()).hexdigest()
        assert digest == entry["sha256"], entry["file"]
        assert re.fullmatch(r"\d+\.\d+\.\d+", entry["version"])
        assert entry["licence"]
        assert (VENDOR / f"LICENSE-{entry['package']}.txt").exists()


def test_our_own_files_name_no_other_host() -> None:
    for path in STATIC.glob("*.*"):
        addresses = set(re.findall(r"https?://[^\s\"']+", path.read_text()))
        assert addresses <= {"http://www.w3.org/2000/svg"}, path.name
