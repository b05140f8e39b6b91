"""Recent sums and the timeline against their definitions."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tsavo.monitors.kinds.recent import RecentSums, Timeline


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 5_000), max_size=8))
def test_recent_sums_are_over_the_present_block_and_the_one_before(sizes: list[int]) -> None:
    sums, seen = RecentSums(1), 0
    for size in sizes:
        rows = np.arange(seen, seen + size, dtype=np.float64)[:, None]
        sums.add(seen, size, lambda piece, rows=rows: rows[piece])  # type: ignore[misc]
        sums = RecentSums.from_state(sums.state())
        seen += size
        first = max(((seen - 1) // 2048 - 1) * 2048, 0)
        assert sums.total.tolist() == [float(np.arange(first, seen).sum())]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(1, 3_000), min_size=1, max_size=6), st.floats(0, 1))
def test_a_timeline_is_small_and_nearly_right(sizes: list[int], where: float) -> None:
    line, seen = Timeline(), 0
    for size in sizes:
        line.add(np.arange(seen + 1, seen + size + 1) * 10)
        line = Timeline.from_state(line.state())
        seen += size
    whole = Timeline()
    whole.add(np.arange(1, seen + 1) * 10)
    assert line.state() == whole.state()
    assert len(line.state().marks) <= 128
    row = max(1, round(where * seen))
    assert 0 <= row - line.time_of(row) // 10 <= max(seen // 64, 0)
