"""Acceptance: what a team trained answers through Tsavo as it does in its own library."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import tsavo
from tests.app.conftest import running_on
from tests.matrix.cases import CASES
from tests.matrix.running import run_all

# A few cases share a test, so that several are registered at once, and test processes share the table among them.
TOGETHER = 12
PARTS = [CASES[at : at + TOGETHER] for at in range(0, len(CASES), TOGETHER)]


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tsavo.Client]:
    home: Path = tmp_path_factory.mktemp("matrix")
    with running_on(home) as running, tsavo.connect(running.console) as connected:
        yield connected


def test_it_has_what_was_promised() -> None:
    assert len(CASES) >= 60
    assert len({case.name for case in CASES}) == len(CASES)
    assert {case.framework for case in CASES} >= {"scikit-learn", "XGBoost", "LightGBM", "CatBoost", "ONNX"}


@pytest.mark.parametrize("part", range(len(PARTS)), ids=[f"from {part[0].name}" for part in PARTS])
def test_answers_as_its_own_library_does(client: tsavo.Client, part: int) -> None:
    lines = list(run_all(client, PARTS[part], prefix=f"part-{part}"))
    assert not [f"{line.case.name}: {line.wrong}" for line in lines if line.wrong]
    for line in lines:
        assert line.version is not None
        assert all(check.passed for check in line.version.checks)
        # A reason is told in words for people, never as a converter's error.
        assert not re.search(r"Error|Traceback|onnxruntime|0x", line.version.reason)
        # What it answered it answers again, to the last bit.
        counts = [page.counts for page in client.replay_all(line.version.model)]
        assert [set(verdicts) for verdicts in counts] == [{"same"}], line.case.name
