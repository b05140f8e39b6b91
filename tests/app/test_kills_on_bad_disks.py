"""The short form of ``python -m benchmarks.kills``: ten kills under load, while the disk fails now and then."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.kills import run


@pytest.mark.parametrize("policy", ["spill", "answer-and-flag"])
def test_answered_means_recorded_whatever_is_killed_and_whatever_the_disk_does(
    tmp_path: Path, policy: str
) -> None:
    result = run(policy, 5, 11, tmp_path)
    assert result.killed.total() == 5
    assert result.faults.total() > 0
    assert result.answered > 0
    assert result.holds, result
