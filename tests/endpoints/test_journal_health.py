"""What workers say of their journals, as another process reads it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

from tsavo.endpoints import Gauges, Statistics
from tsavo.endpoints.figures import FiguresReader
from tsavo.endpoints.journal_health import journal_health, journal_warnings
from tsavo.endpoints.statistics_file import CounterFile
from tsavo.journal import Standing
from tsavo.journal.damage import set_aside


def said(folder: Path, standing: Standing) -> Statistics:
    statistics = Statistics(folder / "gateway-0")
    statistics.watch(lambda: Gauges(journal=standing))
    statistics.pulse()
    return statistics


def test_what_a_worker_says_is_read_by_others_as_it_was_said(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    oldest = int((now - timedelta(minutes=2)).timestamp() * 1e9)
    standing = Standing("spilling", "why", 5, 6, 7, oldest, 8, 9, 3)
    said(tmp_path, standing).stop()
    (health,) = journal_health(tmp_path, now)
    assert (health.name, health.state, health.bytes, health.most_bytes) == ("gateway-0", "spilling", 5, 6)
    assert (health.free_bytes, health.spilled, health.unrecorded) == (7, 8, 9)
    assert health.oldest_seconds is not None
    assert 119 < health.oldest_seconds < 130
    figures = FiguresReader().read([CounterFile(tmp_path / "gateway-0", read_only=True)])
    assert figures.workers[0].journal == standing._replace(why="")


def test_counters_go_on_where_the_worker_before_stopped(tmp_path: Path) -> None:
    said(tmp_path, Standing(spilled=3, unrecorded=4, answers=2)).stop()
    said(tmp_path, Standing(spilled=10, unrecorded=1, answers=1)).stop()
    (health,) = journal_health(tmp_path, datetime.now(UTC))
    assert (health.spilled, health.unrecorded) == (13, 5)


def test_nothing_is_said_when_all_is_well_and_one_sentence_for_each_thing_that_is_not(tmp_path: Path) -> None:
    statistics, journals = tmp_path / "statistics", tmp_path / "journal"
    statistics.mkdir()
    journals.mkdir()
    now = datetime.now(UTC)
    said(statistics, Standing()).stop()
    assert journal_warnings(statistics, journals, now) == []
    late = int((now - timedelta(hours=3)).timestamp() * 1e9)
    said(statistics, Standing("not recording", "why", 1 << 30, 0, 0, late, 0, 1234)).stop()
    set_aside(journals / "gateway-0.db", "torn", journal_id="id", last=7, now=int(now.timestamp() * 1e9))
    state, count, waits, damage = journal_warnings(statistics, journals, now)
    assert "NOT recorded" in state
    assert "1,234 decisions" in count
    assert "180 minutes" in waits
    assert "1.00 GiB" in waits
    assert "gateway-0.db.damaged-" in damage


def test_a_worker_that_has_fallen_silent_is_left_out(tmp_path: Path) -> None:
    said(tmp_path, Standing("refusing")).stop()
    assert journal_health(tmp_path, datetime.now(UTC) + timedelta(minutes=1)) == []
