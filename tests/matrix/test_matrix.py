"""Acceptance: what a team trained answers through Tsavo as it does in its own library."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import tsavo
from tests.app.conftest import running_on
from tests.matrix.cases import CASES
from tests.matrix.running import Line, run_all


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Line]]:
    """Every case, run against one Tsavo."""
    home: Path = tmp_path_factory.mktemp("matrix")
    with running_on(home) as running, tsavo.connect(running.console) as client:
        yield {line.case.name: line for line in run_all(client, CASES)}


def test_it_has_what_was_promised() -> None:
    assert len(CASES) >= 60
    assert len({case.name for case in CASES}) == len(CASES)


@pytest.mark.parametrize("name", [case.name for case in CASES])
def test_answers_as_its_own_library_does(lines: dict[str, Line], name: str) -> None:
    line = lines[name]
    assert not line.wrong
    assert line.version is not None
    assert all(check.passed for check in line.version.checks)
