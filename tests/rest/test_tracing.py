"""Traces in headers: continued in the answer, kept with the decision, ignored where they are not well-formed."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.rest.scoring_world import RECORDS, Scene, with_scene

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
GOOD = f"00-{TRACE}-{PARENT}-01"
PATH, ROWS = "/endpoints/e/score", {"rows": RECORDS}
TOLD = ("traceparent", "traceresponse", "tracestate")


def traces(answer: httpx.Response) -> dict[str, str]:
    return {name: answer.headers[name] for name in TOLD if name in answer.headers}


def test_a_trace_is_continued_and_kept_with_the_decision(tmp_path: Path) -> None:
    async def test(scene: Scene) -> None:
        answer = await scene.post(PATH, json=ROWS, headers={"traceparent": GOOD, "tracestate": "a=1, b=2"})
        told = traces(answer)
        version, trace, span, flags = told["traceparent"].split("-")
        assert (version, trace, flags) == ("00", TRACE, "01")
        assert span != PARENT
        assert told["traceresponse"] == told["traceparent"]
        assert told["tracestate"] == "a=1, b=2"
        # The trace is of the record; who sent it knows it.
        assert answer.json()["flags"] == []

    (record,) = with_scene(tmp_path, test)
    assert record.trace == TRACE


def test_without_a_trace_none_is_begun(tmp_path: Path) -> None:
    async def test(scene: Scene) -> None:
        assert traces(await scene.post(PATH, json=ROWS)) == {}
        assert traces(await scene.post(PATH, json=ROWS, headers={"tracestate": "a=1"})) == {}

    records = with_scene(tmp_path, test)
    assert [record.flags for record in records] == [(), ()]


@pytest.mark.parametrize("given", [f"00-{'0' * 32}-{PARENT}-01", "hello", f"{GOOD},{GOOD}", "\xe9"])
def test_what_is_not_well_formed_is_ignored_with_its_state(tmp_path: Path, given: str) -> None:
    async def test(scene: Scene) -> None:
        headers = [(b"traceparent", given.encode("latin-1")), (b"tracestate", b"a=1")]
        assert traces(await scene.post(PATH, json=ROWS, headers=headers)) == {}

    (record,) = with_scene(tmp_path, test)
    assert record.flags == ()


def test_two_traces_are_none_and_several_states_are_one(tmp_path: Path) -> None:
    async def test(scene: Scene) -> None:
        twice = [("traceparent", GOOD), ("traceparent", GOOD.replace("4bf", "5bf"))]
        assert traces(await scene.post(PATH, json=ROWS, headers=twice)) == {}
        states = [("traceparent", GOOD), ("tracestate", "a=1"), ("tracestate", "b=2")]
        assert traces(await scene.post(PATH, json=ROWS, headers=states))["tracestate"] == "a=1,b=2"

    with_scene(tmp_path, test)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/v2/health/live", 200), ("GET", "/nothing", 404), ("POST", "/v2/models/e/infer", 422)],
)
def test_other_answers_and_refusals_tell_their_trace_too(
    tmp_path: Path, method: str, path: str, status: int
) -> None:
    async def test(scene: Scene) -> None:
        answer = await scene.client.request(method, path, headers={"traceparent": GOOD}, content=b"{}")
        assert answer.status_code == status
        assert traces(answer)["traceresponse"].startswith(f"00-{TRACE}-")

    with_scene(tmp_path, test)
