"""Families on a running Tsavo: the control API, the pages, and what the gateway makes of it."""

from __future__ import annotations

import html
import shlex
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import httpx
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

from tests.app.conftest import Running, running_on
from tests.console.conftest import wait_for
from tests.console.test_api import problem
from tsavo.client import Client
from tsavo.console.examples import curl_example
from tsavo.console.families import asked_signature
from tsavo.vocabulary import Field, Member, Page, Route, Segments, Signature, VersionRef

SEGMENTS = [f"region {number:03}" for number in range(120)]


class Family(NamedTuple):
    """The running Tsavo, a client of its console, and the endpoint's rows."""

    running: Running
    http: httpx.Client
    rows: pd.DataFrame


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Family]:
    """``sales`` with four versions: a slope of 1, 2, 3, 4; and ``odd``, which answers something else."""
    rows = pd.DataFrame({"a": np.arange(20.0), "b": np.arange(20.0)[::-1]})
    with running_on(tmp_path_factory.mktemp("families") / "home") as running:
        with Client(running.console) as client:
            for slope in (1.0, 2.0, 3.0, 4.0):
                client.register(LinearRegression().fit(rows, rows["a"] * slope), name="sales")
            wide = rows.assign(c=1.0)
            client.register(LinearRegression().fit(wide, rows["a"]), name="odd")
            client.deploy("sales@1")
            client.deploy("odd@1")
        with httpx.Client(base_url=running.console, timeout=30) as http:
            yield Family(running, http, rows)


@pytest.fixture(scope="module")
def family(scene: Family) -> Family:
    """``sales`` by region: 120 regions with versions 2 and 3 in turn."""
    made = scene.http.post(
        "/api/families/sales/make",
        json={"key": "region", "why": "by region"},
        headers={"X-Tsavo-User": "ada"},
    )
    assert made.status_code == 200, made.text
    assert made.json()["segments"] == {"key": "region", "dtype": "string", "unseen": "parent"}
    versions = {segment: f"sales@{2 + place % 2}" for place, segment in enumerate(SEGMENTS)}
    told = scene.http.post("/api/families/sales/set", json={"members": versions}).json()
    assert (told["changed"], told["members"]) == (120, 120)
    wait_for(lambda: gateway_state(scene)["revision"] >= told["revision"])
    return scene


def gateway_state(scene: Family) -> Any:
    answer = httpx.get(f"{scene.running.gateway}/v2/families/sales")
    return answer.json() if answer.status_code == 200 else {"revision": 0}


def score(scene: Family, regions: list[str]) -> Any:
    inputs = [
        {"name": "a", "shape": [len(regions)], "datatype": "FP64", "data": [10.0] * len(regions)},
        {"name": "b", "shape": [len(regions)], "datatype": "FP64", "data": [9.0] * len(regions)},
        {"name": "region", "shape": [len(regions)], "datatype": "BYTES", "data": regions},
    ]
    answer = httpx.post(f"{scene.running.gateway}/v2/models/sales/infer", json={"inputs": inputs})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_an_endpoint_that_is_no_family_says_what_to_do(scene: Family) -> None:
    for path in ("/api/families/odd", "/api/families/odd/members"):
        assert "tsavo family make odd" in problem(scene.http.get(path), 422)["detail"]
    assert scene.http.get("/families/odd/members").status_code == 422
    problem(scene.http.get("/api/families/nowhere"), 404)
    problem(scene.http.post("/api/families/odd/set", json={"members": {"x": "odd@1"}}), 422)


def test_the_family_and_pages_of_its_members(family: Family) -> None:
    view = family.http.get("/api/families/sales").json()
    assert (view["members"], view["segments"]["key"]) == (120, "region")
    assert view["route"]["champion"] == {"model": "sales", "number": 1}
    assert view["url"] == f"{family.running.gateway}/v2/families/sales/infer_all"
    assert family.http.get("/api/endpoints/sales").json()["members"] == 120
    assert family.http.get("/api/endpoints/odd").json()["members"] is None
    page = family.http.get("/api/families/sales/members?offset=110&limit=50").json()
    assert (page["total"], [one["segment"] for one in page["items"]]) == (120, SEGMENTS[110:])
    found = family.http.get("/api/families/sales/members", params={"search": "on 01"}).json()
    assert [one["segment"] for one in found["items"]] == SEGMENTS[10:20]
    one = family.http.get("/api/families/sales/member", params={"segment": SEGMENTS[1]}).json()
    assert one["version"] == {"model": "sales", "number": 3}
    problem(family.http.get("/api/families/sales/member", params={"segment": "mars"}), 404)
    problem(family.http.get("/api/families/sales/members?limit=5000"), 422)


def test_the_gateway_answers_by_segment(family: Family) -> None:
    told = score(family, [SEGMENTS[0], SEGMENTS[1], "mars"])
    (values,) = [output["data"] for output in told["outputs"]]
    assert values == pytest.approx([20.0, 30.0, 10.0])


def test_one_row_by_all_members_is_found_again_in_the_lake(family: Family) -> None:
    body = {
        "inputs": [
            {"name": "a", "shape": [1], "datatype": "FP64", "data": [10.0]},
            {"name": "b", "shape": [1], "datatype": "FP64", "data": [9.0]},
        ]
    }
    answer = httpx.post(f"{family.running.gateway}/v2/families/sales/infer_all", json=body).json()
    assert [one["segment"] for one in answer["members"]] == SEGMENTS
    values = [one["outputs"][0]["data"][0] for one in answer["members"]]
    assert values == pytest.approx([20.0, 30.0] * 60)
    request = answer["id"]
    query = (
        "select segment, version, decision_id, role from decisions "
        f"where decision_id like '{request}:%' order by segment"
    )
    rows = wait_for(lambda: family.http.post("/api/sql", json={"query": query}).json()["rows"])
    assert [row[0] for row in rows] == SEGMENTS
    assert [row[1] for row in rows] == [2, 3] * 60
    assert [row[2] for row in rows] == [f"{request}:{place}" for place in range(120)]
    assert {row[3] for row in rows} == {"champion"}
    told = family.http.get(f"/api/decisions/{answer['members'][7]['decision_id']}").json()
    assert (told["decision"]["segment"], told["decision"]["version"]) == (SEGMENTS[7], 3)


@pytest.mark.parametrize(
    ("path", "body", "status", "field"),
    [
        ("set", {"members": {"a": "sales@2", "b": "odd@1"}}, 422, "segments.b"),
        ("set", {"members": {"a": "sales@2", "b": "sales@9"}}, 404, "segments.b"),
        ("set", {"members": {"a": "sales"}}, 422, "members.a"),
        ("set", {"members": {}}, 422, "segments"),
        ("set", {"members": {"a\n": "sales@2"}}, 422, "segments"),
        ("set", {"members": {"a": "sales@2"}, "whi": ""}, 400, None),
        ("remove", {"segments": [SEGMENTS[0], "mars"]}, 404, "segments.mars"),
        ("plug", {"segment": "mars"}, 404, "segment"),
        ("unplug", {"segment": SEGMENTS[0]}, 409, "segment"),
        ("make", {"key": "store"}, 409, "key"),
        ("make", {"key": "a"}, 422, "key"),
        ("make", {"key": "region", "dtype": "float64"}, 400, None),
    ],
)
def test_what_is_wrong_is_named_and_nothing_changes(
    family: Family, path: str, body: dict[str, Any], status: int, field: str | None
) -> None:
    before = family.http.get("/api/families/sales").json()
    answer = family.http.post(f"/api/families/sales/{path}", json=body)
    told = problem(answer, answer.status_code)
    if field is None:
        assert answer.status_code in (400, 422)
    else:
        assert (answer.status_code, told["field"]) == (status, field)
    assert family.http.get("/api/families/sales").json() == before


def test_the_plug_of_one_segment_by_api_and_by_page(family: Family) -> None:
    other = SEGMENTS[2]
    pulled = family.http.post("/api/families/sales/plug", json={"segment": other, "why": "odd"}).json()
    assert pulled["plug"]["why"] == "odd"
    # The parent has a slope of one.
    wait_for(lambda: score(family, [other])["outputs"][0]["data"][0] == pytest.approx(10.0))
    told = score(family, [other])["parameters"]
    assert (told["role"], told["flags"]) == ("fallback", ["fallback:plug"])
    page = family.http.get("/families/sales/members", params={"search": other}).text
    assert "plug pulled" in page
    form = {"segment": other, "back": "/families/sales/members?search=002"}
    back = family.http.post("/families/sales/unplug", data=form)
    assert (back.status_code, back.headers["location"]) == (303, form["back"])
    assert family.http.get("/api/families/sales/member", params={"segment": other}).json()["plug"] is None
    form = {"segment": other, "why": "once more", "back": "//evil.example/"}
    back = family.http.post("/families/sales/plug", data=form)
    assert back.headers["location"] == "/families/sales/members"
    assert family.http.post("/api/families/sales/unplug", json={"segment": other}).status_code == 200


def test_no_request_fails_while_its_segment_changes_hands(family: Family) -> None:
    segment, seen, over = SEGMENTS[5], set[tuple[str, float]](), threading.Event()

    def go_on() -> None:
        while not over.is_set():
            told = score(family, [segment])
            seen.add((told["parameters"]["version"], round(told["outputs"][0]["data"][0])))

    with ThreadPoolExecutor(2) as threads:
        asking = [threads.submit(go_on) for _ in range(2)]
        for turn in range(12):
            time.sleep(0.1)
            given = {"members": {segment: f"sales@{2 + turn % 3}"}}
            assert family.http.post("/api/families/sales/set", json=given).json()["changed"] == 1
        wait_for(lambda: score(family, [segment])["parameters"]["version"] == "sales@4")
        over.set()
        for one in asking:
            one.result()
    # Whoever answered, the answer is that version's own.
    assert len(seen) > 1
    assert seen <= {("sales@2", 20), ("sales@3", 30), ("sales@4", 40)}
    back = {"members": {segment: "sales@3"}}
    assert family.http.post("/api/families/sales/set", json=back).status_code == 200


def test_the_pages_show_the_family_and_their_state_is_in_the_address(family: Family) -> None:
    endpoint = family.http.get("/endpoints/sales").text
    assert "120 members" in endpoint
    assert 'href="/families/sales/members"' in endpoint
    assert "120 members" not in family.http.get("/endpoints/odd").text
    page = family.http.get("/families/sales/members", params={"search": "region", "offset": 50}).text
    assert "51–100 of 120" in page
    shown = html.unescape(page)
    assert SEGMENTS[50] in shown
    assert SEGMENTS[49] not in shown
    assert "search=region&offset=100" in shown
    twin = shown[shown.index('<footer><a href="') + 17 :].split('"')[0]
    assert family.http.get(twin).json()["items"][0]["segment"] == SEGMENTS[50]
    assert "No segments like that" in family.http.get("/families/sales/members?search=mars").text


def test_the_example_on_the_page_is_a_request_that_is_answered(family: Family) -> None:
    page = html.unescape(family.http.get("/endpoints/sales").text)
    example = page[page.index('<pre id="example"') :].partition(">")[2].partition("</pre>")[0]
    _, _, url, _, body = shlex.split(example)
    answer = httpx.post(url, content=body).json()
    assert answer["parameters"]["version"] == "sales@2"
    shown = wait_for(lambda: family.http.get("/endpoints/sales/decisions").text)
    assert SEGMENTS[0] in shown


def test_the_example_for_all_members_is_answered_by_all(family: Family) -> None:
    page = html.unescape(family.http.get("/families/sales/members").text)
    example = page[page.index('<pre id="example"') :].partition(">")[2].partition("</pre>")[0]
    _, _, url, _, body = shlex.split(example)
    assert len(httpx.post(url, content=body).json()["members"]) == 120


def test_the_key_in_an_example_is_of_its_type() -> None:
    parent = Route("e", 1, VersionRef("m", 1), segments=Segments("store", "int64"))
    signature = Signature((Field("x", "float64"),), (), "generic")
    members = Page((Member("e", "17", VersionRef("m", 2), 2),), 1, 0, 8)
    assert '"data":[17]' in curl_example("u", asked_signature(parent, signature, members))
    assert '"data":[0]' in curl_example("u", asked_signature(parent, signature, None))
    takes_it = Signature((Field("store", "int64"),), (), "generic")
    assert asked_signature(parent, takes_it, members) is takes_it


def test_a_models_page_says_in_which_families_it_answers(family: Family) -> None:
    assert family.http.get("/api/models/sales").json()["families"] == {"sales": 120}
    assert "answers for 120 segments" in family.http.get("/models/sales").text
    assert family.http.get("/api/models/odd").json()["families"] == {}
    assert '">family</span>' in family.http.get("/").text


def test_a_segment_with_a_hostile_name_is_only_text(family: Family) -> None:
    name = '"><script>alert(1)</script>&'
    told = family.http.post("/api/families/sales/set", json={"members": {name: "sales@4"}}).json()
    assert told["changed"] == 1
    page = family.http.get("/families/sales/members", params={"search": "script"}).text
    assert "<script>alert" not in page
    assert name in html.unescape(page)
    assert "<script>alert" not in family.http.get("/audit").text
    gone = family.http.post("/api/families/sales/remove", json={"segments": [name]}).json()
    assert (gone["changed"], gone["members"]) == (1, 120)


def test_the_audit_trail_tells_of_every_change(family: Family) -> None:
    entries = family.http.get("/api/audit", params={"subject": "endpoint:sales"}).json()["items"]
    made = next(entry for entry in entries if entry["action"] == "family.make")
    assert (made["who"], made["why"]) == ("ada", "by region")
    first = [entry for entry in entries if entry["action"] == "family.set"][-1]
    assert first["after"]["members"][SEGMENTS[0]] == "sales@2"
    assert len(first["after"]["members"]) == 120
    assert family.http.get("/audit?subject=endpoint:sales").status_code == 200
