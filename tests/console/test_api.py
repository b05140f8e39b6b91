from __future__ import annotations

import shlex
from html import unescape
from typing import Any
from xml.etree import ElementTree

import httpx
import pytest

from tests.console.conftest import ENDPOINT, Scene

PAGES = [
    "/",
    "/?plugged=false&model=small&search=sm",
    f"/endpoints/{ENDPOINT}",
    f"/endpoints/{ENDPOINT}?window=1h",
    f"/endpoints/{ENDPOINT}/decisions",
    "/models",
    "/models/small",
    "/models/small/versions/1",
    "/alerts",
    "/alerts?state=all",
    "/audit",
    "/sql",
    "/sql?query=select+count(*)+from+decisions",
    "/queries",
    "/sql?query=select+decision_id,+null+as+none,+latency_us+from+decisions&limit=3",
]


def problem(answer: httpx.Response, status: int) -> Any:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert "Traceback" not in answer.text
    return answer.json()


@pytest.mark.parametrize("path", PAGES)
def test_every_page_and_its_json_twin_answer(scene: Scene, path: str) -> None:
    page = scene.http.get(path)
    assert page.status_code == 200, page.text
    assert page.headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'")
    assert page.headers["x-content-type-options"] == "nosniff"
    if path == "/sql":
        return
    marker = '<footer><a href="'
    twin = page.text[page.text.index(marker) + len(marker) :].split('"')[0].replace("&amp;", "&")
    answer = scene.http.get(twin)
    assert answer.status_code == 200, (twin, answer.text)
    assert answer.headers["content-type"] == "application/json"


def test_the_decision_page_shows_what_went_in_and_out(scene: Scene) -> None:
    told = scene.http.get(f"/api/decisions/{scene.decision}").json()
    assert told["decision"]["decision_id"] == scene.decision
    assert told["version"]["lineage"]["trusted_by"]
    page = scene.http.get(f"/decisions/{scene.decision}")
    assert page.status_code == 200
    assert scene.decision in page.text


def test_what_is_not_there_is_said_in_both_forms(scene: Scene) -> None:
    assert problem(scene.http.get("/api/endpoints/nowhere"), 404)["field"] == "endpoint"
    page = scene.http.get("/endpoints/nowhere")
    assert page.status_code == 404
    assert "There is no such endpoint" in page.text
    problem(scene.http.get("/api/nothing/here"), 404)
    problem(scene.http.get("/api/decisions/nonsense"), 422)
    problem(scene.http.get("/api/models/small/versions/99"), 404)
    for path in (f"/endpoints/{ENDPOINT}?window=forever", "/sql?limit=0"):
        page = scene.http.get(path)
        assert page.status_code == 422
        assert "expected" in page.text
    assert scene.http.get("/endpoints/nowhere/trend").status_code == 404


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        (f"/api/endpoints/{ENDPOINT}/deploy", {"version": "small"}, "version"),
        (f"/api/endpoints/{ENDPOINT}/deploy", {"version": "small@1", "extra": 1}, ""),
        (f"/api/endpoints/{ENDPOINT}/deploy", {}, ""),
        (f"/api/endpoints/{ENDPOINT}/plug", {"fallback": [{}]}, "fallback"),
        (f"/api/endpoints/{ENDPOINT}/plug", {"fallback": [{"constant": 7}]}, "fallback"),
        (f"/api/endpoints/{ENDPOINT}/outcomes", {"decisions": ["x"], "values": [1]}, "decisions[0]"),
        (f"/api/endpoints/{ENDPOINT}/outcomes", {"decisions": ["x", "y"], "values": [1]}, "values"),
        (f"/api/endpoints/{ENDPOINT}/outcomes", {"decisions": ["x"], "values": ["maybe"]}, "values[0]"),
        ("/api/sql", {"query": "drop table decisions"}, "query"),
        ("/api/sql", {"query": "select * from read_csv('/etc/passwd')"}, "query"),
        ("/api/sql", {"query": "select 1", "limit": 0}, "limit"),
    ],
)
def test_wrong_bodies_name_the_field(scene: Scene, path: str, body: Any, field: str) -> None:
    assert problem(scene.http.post(path, json=body), 422).get("field", "").startswith(field)


@pytest.mark.parametrize("query", ["offset=-1", "limit=0", "limit=100000", "limit=x", "state=odd"])
def test_impossible_pages_are_refused(scene: Scene, query: str) -> None:
    problem(scene.http.get(f"/api/alerts?{query}"), 422)


def test_broken_json_is_a_400_and_a_large_body_a_413(scene: Scene) -> None:
    problem(scene.http.post("/api/sql", content=b"{"), 400)
    problem(scene.http.post("/api/sql", content=b'{"query": "' + b"x" * 11_000_000 + b'"}'), 413)


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "127.0.0.1", "127.0.0.1:1", ""])
def test_a_rebound_name_is_refused(scene: Scene, host: str) -> None:
    problem(scene.http.get("/api/status", headers={"Host": host}), 403)


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_another_sites_page_cannot_change_anything(scene: Scene, headers: dict[str, str]) -> None:
    path = f"/endpoints/{ENDPOINT}/plug"
    problem(scene.http.post(path, data={"why": "mischief"}, headers=headers), 403)
    assert scene.http.get(f"/api/endpoints/{ENDPOINT}").json()["route"]["plug"] is None


def test_the_person_is_in_the_audit_trail(scene: Scene) -> None:
    path = f"/api/endpoints/{ENDPOINT}"
    assert (
        scene.http.post(f"{path}/plug", json={"why": "drill"}, headers={"X-Tsavo-User": "Amina"}).status_code
        == 200
    )
    assert scene.http.post(f"{path}/unplug", json={}, headers={"X-Tsavo-User": "Baraka"}).status_code == 200
    newest = scene.http.get(f"/api/audit?subject=endpoint:{ENDPOINT}&limit=2").json()["items"]
    assert [(entry["who"], entry["action"]) for entry in newest] == [
        ("Baraka", "endpoint.unplug"),
        ("Amina", "endpoint.plug"),
    ]
    assert newest[1]["after"]["plug"]["why"] == "drill"
    problem(scene.http.post(f"{path}/plug", json={}, headers={"X-Tsavo-User": "a" * 300}), 422)


def test_registering_without_a_file_and_with_broken_options(scene: Scene) -> None:
    path = "/api/models/other/versions"
    assert problem(scene.http.post(path, files={"reference": b"x"}), 422)["field"] == "source"
    answer = scene.http.post(path, files={"source": b"x"}, data={"options": "{"})
    assert problem(answer, 422)["field"] == "options"
    problem(scene.http.post("/api/models/..%2Fetc/versions", files={"source": b"x"}), 404)
    assert (
        problem(scene.http.post("/api/models/UPPER/versions", files={"source": b"x"}), 422)["field"]
        == "model"
    )


def test_sql_as_json_and_as_arrow(scene: Scene) -> None:
    import io

    import pyarrow as pa

    body = {"query": f'select decision_id, a, probabilities from "{ENDPOINT}" order by 1', "limit": 5}
    told = scene.http.post("/api/sql", json=body).json()
    assert [column["name"] for column in told["columns"]] == ["decision_id", "a", "probabilities"]
    assert told["truncated"] is True
    arrow = scene.http.post("/api/sql", json=body, headers={"Accept": "application/vnd.apache.arrow.stream"})
    table = pa.ipc.open_stream(io.BytesIO(arrow.content)).read_all()
    assert [list(row.values()) for row in table.to_pylist()] == told["rows"]


def test_the_trend_is_a_picture_of_the_decisions(scene: Scene) -> None:
    answer = scene.http.get(f"/endpoints/{ENDPOINT}/trend")
    assert answer.headers["content-type"] == "image/svg+xml"
    assert "max-age" in answer.headers["cache-control"]
    picture = ElementTree.fromstring(answer.text)
    # The ground line, and a bar for each hour with decisions: they were all made a moment ago.
    assert 2 <= len(picture) <= 3


def test_the_example_on_the_page_is_a_request_that_is_answered(scene: Scene) -> None:
    page = scene.http.get(f"/endpoints/{ENDPOINT}").text
    example = unescape(page.partition('<pre id="example" tabindex="0">')[2].partition("</pre>")[0])
    _, _, url, _, body = shlex.split(example)
    answer = httpx.post(url, content=body)
    assert answer.status_code == 200, answer.text
    assert answer.json()["parameters"]["role"] == "champion"


def test_markup_from_outside_is_shown_and_not_obeyed(scene: Scene) -> None:
    markup = "<img src=x onerror=alert(1)>"
    path = f"/api/endpoints/{ENDPOINT}"
    assert scene.http.post(f"{path}/plug", json={"why": markup}).status_code == 200
    pages = [f"/endpoints/{ENDPOINT}", "/audit"]
    try:
        for page in pages:
            text = scene.http.get(page).text
            assert markup not in text, page
            assert "&lt;img src=x" in text, page
    finally:
        assert scene.http.post(f"{path}/unplug", json={}).status_code == 200
    refused = scene.http.get("/sql", params={"query": f"select '{markup}"}).text
    assert markup not in refused


def test_the_api_describes_itself(scene: Scene) -> None:
    described = scene.http.get("/api/openapi.json").json()
    assert described["openapi"].startswith("3.")
    paths = described["paths"]
    assert {"/api/status", "/api/endpoints", "/api/sql", "/api/alerts"} <= paths.keys()
    plug = paths["/api/endpoints/{endpoint}/plug"]["post"]
    assert plug["operationId"] == "plug"
    for status in ("403", "404", "409", "422"):
        (content,) = plug["responses"][status]["content"].items()
        assert content[0] == "application/problem+json"
        assert content[1]["schema"]["$ref"].endswith("/Problem")


def test_a_brief_is_replaced(scene: Scene) -> None:
    brief = {"problem": "who will leave?", "decision": "call them"}
    assert (
        scene.http.put("/api/models/small/brief", json=brief).json()["brief"]["problem"] == "who will leave?"
    )
    assert "who will leave?" in scene.http.get("/models/small").text
