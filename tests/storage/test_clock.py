from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from tsavo.storage import SystemClock, clock_source, from_nanoseconds


def test_the_system_clock_tells_one_time_in_two_ways() -> None:
    clock = SystemClock()
    before = clock.nanoseconds()
    moment = clock.now()
    after = clock.nanoseconds()
    assert moment.tzinfo is UTC
    assert from_nanoseconds(before) <= moment <= from_nanoseconds(after) + timedelta(microseconds=1)


@given(st.integers(0, 4_000_000_000_000_000_000))
def test_nanoseconds_are_cut_to_microseconds_exactly(nanoseconds: int) -> None:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    assert from_nanoseconds(nanoseconds) == epoch + timedelta(microseconds=nanoseconds // 1000)


def test_the_clock_says_whether_it_is_in_step() -> None:
    known = {"system clock", "system clock, synchronised", "system clock, not synchronised"}
    assert clock_source() in known
