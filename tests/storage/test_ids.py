from __future__ import annotations

import subprocess
import sys
import uuid

from hypothesis import given
from hypothesis import strategies as st

from tests.examples import SteppingClock
from tsavo.storage import IdSource, SystemClock, mark_of, name_mark


class FixedClock(SteppingClock):
    """Always tells the same nanosecond."""

    def __init__(self, nanoseconds: int) -> None:
        super().__init__()
        self._fixed = nanoseconds

    def nanoseconds(self) -> int:
        return self._fixed


def test_the_example_of_the_standard_comes_out_bit_for_bit() -> None:
    # RFC 9562, appendix A.6: unix_ts_ms 0x017F22E279B0, rand_a 0xCC3, rand_b 0b01, 0x8C4DC0C0C07398F.
    within = -(-0xCC3 * 1_000_000 // 4096)
    clock = FixedClock(0x017F22E279B0 * 1_000_000 + within)
    tail = (0x18C4DC0C0C07398F).to_bytes(8, "big")
    source = IdSource(clock, lambda count: tail * (count // 8))
    assert source.new().upper() == "017F22E2-79B0-7CC3-98C4-DC0C0C07398F"


@given(st.integers(0, 2**60), st.binary(min_size=8, max_size=8))
def test_the_layout_is_that_of_version_7(nanoseconds: int, random: bytes) -> None:
    made = uuid.UUID(IdSource(FixedClock(nanoseconds), lambda count: random * (count // 8)).new())
    assert made.version == 7
    assert made.variant == uuid.RFC_4122
    # A clock that stands at 1970 is moved on by 1/4096 ms, because the first id is one after "none".
    assert made.int >> 80 == nanoseconds // 1_000_000
    assert made.int & (2**62 - 1) == int.from_bytes(random, "big") & (2**62 - 1)


def test_ids_of_one_process_sort_in_the_order_in_which_they_were_made() -> None:
    for clock in (SystemClock(), FixedClock(1_700_000_000_000_000_000)):
        source = IdSource(clock)
        made = [source.new() for _ in range(20_000)]
        assert made == sorted(made)
        assert len(set(made)) == len(made)


def test_a_clock_that_goes_back_does_not_break_the_order() -> None:
    times = iter([5_000_000_000, 4_000_000_000, 4_500_000_000, 5_000_000_001])
    clock = FixedClock(0)
    clock.nanoseconds = lambda: next(times)  # type: ignore[method-assign]
    source = IdSource(clock)
    made = [source.new() for _ in range(4)]
    assert made == sorted(made)


def test_processes_never_make_the_same_id() -> None:
    # All of them at the same, standing nanosecond: only the random bits are left to tell them apart.
    program = (
        "from tests.storage.test_ids import FixedClock; from tsavo.storage import IdSource; "
        "s = IdSource(FixedClock(1_700_000_000_000_000_000)); print('\\n'.join(s.new() for _ in range(20_000)))"
    )
    words = [sys.executable, "-c", program]
    processes = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    made = [line for process in processes for line in process.communicate(timeout=60)[0].split()]
    assert len(made) == 60_000
    assert len(set(made)) == len(made)


@given(st.text(st.characters(codec="utf-8"), min_size=1, max_size=100), st.integers(0, 2**60))
def test_an_id_carries_its_names_mark_and_is_a_version_7_still(name: str, nanoseconds: int) -> None:
    made = IdSource(FixedClock(nanoseconds)).new(name)
    assert mark_of(made) == name_mark(name)
    parsed = uuid.UUID(made)
    assert (str(parsed), parsed.version, parsed.variant) == (made, 7, uuid.RFC_4122)
    assert parsed.int >> 80 == nanoseconds // 1_000_000


def test_marked_ids_are_unique_and_in_order_within_a_process() -> None:
    for clock in (SystemClock(), FixedClock(1_700_000_000_000_000_000)):
        source = IdSource(clock)
        made = [source.new(f"e{number % 7}") for number in range(20_000)]
        assert made == sorted(made)
        assert len(set(made)) == len(made)


def test_processes_that_stand_at_one_moment_make_no_id_twice_for_one_name() -> None:
    # 46 random bits and as many clashing moments as there are ids: a birthday in 2e10 tries.
    sources = [IdSource(FixedClock(1_700_000_000_000_000_000)) for _ in range(4)]
    made = [source.new("credit") for source in sources for _ in range(20_000)]
    assert len(set(made)) == len(made)


def test_marks_spread_evenly() -> None:
    # Ten thousand names over 65,536 marks: 65,536 (1 - (1 - 1/65,536)^10,000) = 9,275 are expected to be in use.
    marks = {name_mark(f"sales-{number:05d}") for number in range(10_000)}
    assert 9_275 - 150 < len(marks) < 9_275 + 150


def test_what_is_no_id_has_no_mark() -> None:
    assert mark_of("") is None
    assert mark_of("0123") is None
