"""The rules of W3C Trace Context, level 1, section 3; cases as in the working group's own test suite."""

from __future__ import annotations

import pytest

from tsavo.endpoints.traces import read_trace

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{PARENT}-01"


def test_a_trace_is_continued_with_an_id_of_our_own() -> None:
    traces = [read_trace(GOOD) for _ in range(20)]
    assert {trace.trace_id for trace in traces if trace} == {TRACE}
    spans = {trace.span for trace in traces if trace}
    assert len(spans) == 20
    assert PARENT not in spans
    for trace in traces:
        assert trace is not None
        assert trace.traceparent == f"00-{TRACE}-{trace.span}-01"
        # What we say of it can be continued in turn.
        assert read_trace(trace.traceparent) is not None


@pytest.mark.parametrize(
    "given",
    [
        "",
        f"00-{TRACE}-{PARENT}",
        f"00-{TRACE}-{PARENT}-1",
        f"00-{TRACE}-{PARENT}-001",
        f"00-{TRACE}-{PARENT}-01-",
        f"00-{TRACE}-{PARENT}-01-more",
        f"00-{TRACE}-{PARENT}-01.",
        f"00-{TRACE}-{PARENT}-.0",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{TRACE}-{PARENT.upper()}-0A",
        f"00-{TRACE[:-1]}-{PARENT}-01",
        f"00-{TRACE}0-{PARENT}-01",
        f"00-{TRACE[:-1]}g-{PARENT}-01",
        f"00-{TRACE}-{PARENT[:-1]}-01",
        f"00-{TRACE}-{PARENT}0-01",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{PARENT}-01",
        f"0-{TRACE}-{PARENT}-01",
        f".0-{TRACE}-{PARENT}-01",
        f"000-{TRACE}-{PARENT}-01",
        f"cc-{TRACE}-{PARENT}-01.what-the-future-will-be-like",
        f"00_{TRACE}_{PARENT}_01",
        f"00-{TRACE}-{PARENT}-01\n",
        f"00-{TRACE}-{PARENT}-٠١",
    ],
)
def test_what_is_not_well_formed_is_no_trace(given: str) -> None:
    assert read_trace(given, "a=1") is None


@pytest.mark.parametrize(
    "given", [f"cc-{TRACE}-{PARENT}-01", f"cc-{TRACE}-{PARENT}-01-what-the-future-brings"]
)
def test_a_later_version_is_read_as_far_as_it_is_known_and_answered_in_ours(given: str) -> None:
    trace = read_trace(given)
    assert trace is not None
    assert trace.traceparent.startswith(f"00-{TRACE}-")
    assert trace.traceparent.endswith("-01")


def test_blanks_around_it_do_not_matter() -> None:
    assert read_trace(f" \t{GOOD} ") is not None


@pytest.mark.parametrize(
    ("given", "known"), [("00", "00"), ("01", "01"), ("02", "02"), ("ff", "03"), ("f0", "00")]
)
def test_flags_that_nobody_has_defined_are_not_passed_on(given: str, known: str) -> None:
    trace = read_trace(f"00-{TRACE}-{PARENT}-{given}")
    assert trace is not None
    assert trace.traceparent[-2:] == known


@pytest.mark.parametrize(
    "state",
    [
        "foo=1",
        "foo=1,bar=2",
        "foo=1 \t , \t bar=2",
        "foo=1,,bar=2",
        "foo=1,",
        f"{'z' * 256}=1",
        f"{'t' * 241}@{'v' * 14}=1",
        f"foo={'v' * 256}",
        "0abc=1",
        "foo= x",
        ",".join(f"k{n}=1" for n in range(32)),
        ",".join(f"k{n}={'x' * 200}" for n in range(5)),
    ],
)
def test_a_state_that_can_be_read_is_passed_on_as_it_is(state: str) -> None:
    trace = read_trace(GOOD, state)
    assert trace is not None
    assert trace.state == state


@pytest.mark.parametrize(
    "state",
    [
        "foo",
        "foo=",
        "foo=1=2",
        "foo=1,foo=2",
        "foo =1",
        "FOO=1",
        "foo.bar=1",
        "foo=bar=baz",
        f"{'z' * 257}=1",
        f"foo={'v' * 257}",
        "foo=é",
        "foo=\t",
        ",".join(f"k{n}=1" for n in range(33)),
        ",",
        ",".join(f"k{n}={'x' * 200}" for n in range(6)),
    ],
)
def test_a_state_that_cannot_be_read_is_dropped_and_the_trace_goes_on(state: str) -> None:
    trace = read_trace(GOOD, state)
    assert trace is not None
    assert (trace.trace_id, trace.state) == (TRACE, "")
