from __future__ import annotations

import logging
import threading

import pytest

from tsavo.app.chores import Chore


def test_a_chore_goes_on_after_failures_and_tells_each_series_once(caplog: pytest.LogCaptureFixture) -> None:
    rounds: list[int] = []
    enough = threading.Event()

    def work() -> None:
        rounds.append(len(rounds))
        if len(rounds) == 8:
            enough.set()
        if len(rounds) in (2, 3, 4, 6):
            raise OSError("the database is locked")

    chore = Chore("the work", work, pause_seconds=0.001)
    with caplog.at_level(logging.ERROR, "tsavo.keeper"):
        chore.start()
        assert enough.wait(30)
        chore.stop()
    seen = len(rounds)
    assert len([record for record in caplog.records if "the work failed" in record.message]) == 2
    assert len(rounds) == seen


def test_a_chore_that_was_never_started_stops() -> None:
    Chore("nothing", lambda: None, pause_seconds=1).stop()
