"""The keeper's word on its log."""

from __future__ import annotations

from pathlib import Path

import pytest

from tsavo.ledger import LedgerStanding, keep_standing, ledger_warnings, read_standing


def test_what_is_said_comes_back(tmp_path: Path) -> None:
    told = LedgerStanding(told=1.5, every=60.0, origin="tsavo/0", entries=7, anchors=True, anchor_error="no")
    keep_standing(tmp_path, told)
    assert read_standing(tmp_path) == told


@pytest.mark.parametrize(
    "content", [None, b"", b"{", b'{"told": "late"}'], ids=["none", "empty", "half", "wrong"]
)
def test_what_cannot_be_read_was_not_said(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "ledger.json").write_bytes(content)
    assert read_standing(tmp_path) is None
    assert ledger_warnings(tmp_path, 0.0) == []


def test_a_place_that_takes_nothing_keeps_nobody_from_working(tmp_path: Path) -> None:
    keep_standing(tmp_path / "gone", LedgerStanding())
    assert read_standing(tmp_path / "gone") is None


@pytest.mark.parametrize(
    ("every", "age", "late"),
    [
        (60.0, 179.0, False),
        (60.0, 181.0, True),
        (0.1, 59.0, False),
        (0.1, 61.0, True),
        (3600.0, 7200.0, False),
    ],
)
def test_three_missed_heads_are_worth_a_word_and_a_moment_is_not(
    tmp_path: Path, every: float, age: float, late: bool
) -> None:
    keep_standing(tmp_path, LedgerStanding(every=every, signed=1000.0))
    assert bool(ledger_warnings(tmp_path, 1000.0 + age)) == late


def test_a_closed_log_and_a_failing_anchor_are_told_with_the_reason(tmp_path: Path) -> None:
    keep_standing(tmp_path, LedgerStanding(signed=100.0, anchored=40.0, anchor_error="disk full"))
    (warning,) = ledger_warnings(tmp_path, 100.0)
    assert "disk full" in warning
    assert "1 minutes" in warning
    keep_standing(tmp_path, LedgerStanding(closed="entry 5 is gone"))
    (warning,) = ledger_warnings(tmp_path, 100.0)
    assert "entry 5 is gone" in warning
