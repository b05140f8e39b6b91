from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import numpy as np
import pytest

from tests.rest.served import Echo, Served, echo, served
from tsavo.rest.families import ROADS
from tsavo.vocabulary import Field, Member, Plug, Route, Segments, TsavoError, Unavailable, VersionRef

PARENT, NORTH, BROKEN = (VersionRef("sales", number) for number in (1, 2, 3))
LISTED = {"north": NORTH, "süd/ost": NORTH, "broken": BROKEN}
MANY = 300
INPUTS = [
    {"name": "x", "shape": [2], "datatype": "FP64", "data": [0.5, -1.25]},
    {"name": "city", "shape": [2], "datatype": "BYTES", "data": ["voi", "ham"]},
]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A family ``sales`` of three, one of which cannot be loaded; ``many``; ``closed``; and no family, ``plain``."""
    fields = (Field("x", "float64"), Field("city", "string", categories=("voi",)))
    versions: dict[VersionRef, Echo | TsavoError] = {
        PARENT: echo(*fields),
        NORTH: echo(*fields),
        BROKEN: Unavailable("it is being moved", retry_after=3),
    }
    by_region = Segments("region")
    routes = [
        Route("sales", 1, PARENT, segments=by_region),
        Route("many", 2, PARENT, segments=by_region),
        Route("plain", 3, PARENT),
        Route("closed", 4, BROKEN, segments=by_region, plug=Plug("ada", datetime(2026, 1, 1, tzinfo=UTC))),
    ]
    members = [
        Member("sales", segment, version, at) for at, (segment, version) in enumerate(LISTED.items(), 5)
    ]
    members += [Member("many", f"s{number:04}", NORTH, 100 + number) for number in range(MANY)]
    members += [Member("closed", "a", NORTH, 900)]
    with served(tmp_path_factory.mktemp("families"), versions, routes, members=members) as running:
        yield running


def ask(world: Served, family: str = "sales", **more: Any) -> httpx.Response:
    headers = more.pop("headers", {})
    return httpx.post(
        f"{world.url}/v2/families/{family}/infer_all", json={"inputs": INPUTS, **more}, headers=headers
    )


def test_every_member_with_its_version_and_its_outputs(world: Served) -> None:
    answer = ask(world, id="mine", headers={"X-Tsavo-Caller": "me"})
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    told = answer.json()
    assert (told["family"], told["id"], told["rows"], told["after"]) == ("sales", "mine", 2, None)
    assert [(one["segment"], one["version"], one["role"], one["flags"]) for one in told["members"]] == [
        ("broken", "sales@1", "fallback", ["fallback:error"]),
        ("north", "sales@2", "champion", []),
        ("süd/ost", "sales@2", "champion", []),
    ]
    for one in told["members"]:
        assert [tensor["name"] for tensor in one["outputs"]] == ["same_x", "same_city"]
        assert one["outputs"][0] == {
            "name": "same_x",
            "datatype": "FP64",
            "shape": [2],
            "data": [0.5, -1.25],
        }
        assert one["outputs"][1]["data"] == ["voi", "ham"]
        assert one["row_flags"] == {"1": ["unseen:city"]}
    ids = [one["decision_id"] for one in told["members"]]
    request = ids[0].partition(":")[0]
    assert ids == [f"{request}:0", f"{request}:2", f"{request}:4"]
    recorded = [record for record in world.records() if record.request == request]
    assert [(one.segment, one.version, list(one.numbers), one.caller) for one in recorded] == [
        ("broken", 1, [0, 1], "me"),
        ("north", 2, [2, 3], "me"),
        ("süd/ost", 2, [4, 5], "me"),
    ]


def test_segments_outputs_and_pages(world: Served) -> None:
    told = ask(world, segments=["süd/ost"], outputs=[{"name": "same_city"}]).json()
    assert [one["segment"] for one in told["members"]] == ["süd/ost"]
    assert [tensor["name"] for tensor in told["members"][0]["outputs"]] == ["same_city"]
    seen: list[str] = []
    after: str | None = ""
    while after is not None:
        told = ask(world, "many", limit=128, after=after).json()
        seen += [one["segment"] for one in told["members"]]
        after = told["after"]
    assert seen == [f"s{number:04}" for number in range(MANY)]


def test_a_large_answer_is_one_document_and_is_packed_where_it_is_asked_for(world: Served) -> None:
    plain = ask(world, "many", headers={"Accept-Encoding": "identity"})
    assert len(plain.json()["members"]) == MANY
    with httpx.stream(
        "POST",
        f"{world.url}/v2/families/many/infer_all",
        json={"inputs": INPUTS},
        headers={"Accept-Encoding": "gzip"},
    ) as packed:
        raw = b"".join(packed.iter_raw())
        assert packed.headers["content-encoding"] == "gzip"
    assert len(json.loads(gzip.decompress(raw))["members"]) == MANY
    assert len(raw) < len(plain.content) / 4


def test_binary_inputs(world: Served) -> None:
    numbers = np.array([0.5, 2.5])
    texts = b"\x03\x00\x00\x00voi\x03\x00\x00\x00ham"
    document = {
        "inputs": [
            {"name": "x", "shape": [2], "datatype": "FP64", "parameters": {"binary_data_size": 16}},
            {"name": "city", "shape": [2], "datatype": "BYTES", "parameters": {"binary_data_size": 14}},
        ],
        "segments": ["north"],
    }
    head = json.dumps(document).encode()
    answer = httpx.post(
        f"{world.url}/v2/families/sales/infer_all",
        content=head + numbers.tobytes() + texts,
        headers={"Inference-Header-Content-Length": str(len(head))},
    )
    assert answer.json()["members"][0]["outputs"][0]["data"] == [0.5, 2.5]
    refused = ask(world, parameters={"binary_data_output": True})
    assert (refused.status_code, refused.json()["field"]) == (422, "outputs")


@pytest.mark.parametrize(
    ("family", "more", "status", "field"),
    [
        ("nowhere", {}, 404, "endpoint"),
        ("plain", {}, 422, "family"),
        ("sales", {"segments": ["north", "east"]}, 422, "segments[1]"),
        ("sales", {"segments": "north"}, 422, "segments"),
        ("sales", {"segments": [1]}, 422, "segments[0]"),
        ("sales", {"limit": "many"}, 422, "limit"),
        ("sales", {"limit": 0}, 422, "limit"),
        ("sales", {"limit": -(2**70)}, 422, "limit"),
        ("sales", {"after": None}, 422, "after"),
        ("sales", {"inputs": []}, 422, "inputs"),
        ("sales", {"inputs": INPUTS[:1]}, 422, "inputs.city"),
        ("sales", {"inputs": [{**INPUTS[0], "shape": []}, INPUTS[1]]}, 422, "inputs.x.shape"),
        ("sales", {"inputs": [{**INPUTS[0], "shape": [0], "data": []}, INPUTS[1]]}, 422, "inputs"),
        ("sales", {"outputs": [{"name": "nothing"}]}, 422, "outputs"),
        ("closed", {}, 503, "endpoint"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_recorded(
    world: Served, family: str, more: dict[str, Any], status: int, field: str
) -> None:
    before = len(world.records())
    answer = ask(world, family, **more)
    assert (answer.status_code, answer.json()["field"]) == (status, field), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert len(world.records()) == before


def test_a_segment_for_which_nobody_answers_says_so(world: Served) -> None:
    chain = httpx.post(f"{world.url}/v2/families/closed/infer_all", json={"inputs": INPUTS})
    assert chain.status_code == 503
    assert "plug" in chain.json()["detail"]


def test_a_request_that_is_sent_again_with_its_key_is_answered_again_and_decided_once(world: Served) -> None:
    headers = {"Idempotency-Key": "9b2f"}
    first, again = (ask(world, "many", limit=100, headers=headers) for _ in range(2))
    assert first.json() == again.json()
    assert again.headers["idempotency-replayed"] == "true"
    request = first.json()["id"]
    assert sum(record.request == request for record in world.records()) == 100
    other = ask(world, "many", limit=101, headers=headers)
    assert other.status_code == 422


def test_the_trace_is_kept_with_every_decision(world: Served) -> None:
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    answer = ask(world, headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"})
    assert trace in answer.headers["traceresponse"]
    kept = [record for record in world.records() if record.request == answer.json()["id"]]
    assert len(kept) == 3
    assert all(record.trace == trace for record in kept)


def test_broken_json_is_unreadable(world: Served) -> None:
    answer = httpx.post(f"{world.url}/v2/families/sales/infer_all", content=b"{")
    assert answer.status_code == 400


def test_what_a_family_is(world: Served) -> None:
    assert httpx.get(f"{world.url}/v2/families/sales").json() == {
        "family": "sales",
        "key": "region",
        "dtype": "string",
        "unseen": "parent",
        "parent": "sales@1",
        "members": 3,
        "revision": 7,
    }
    assert httpx.get(f"{world.url}/v2/families/plain").status_code == 422
    assert httpx.get(f"{world.url}/v2/families/nowhere").status_code == 404
    assert httpx.get(f"{world.url}/v2/families/sales/infer_all").status_code == 405
    assert len(ROADS) == 2
