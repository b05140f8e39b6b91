"""SQL, saved queries and exports over HTTP."""

from __future__ import annotations

import io
import socket
import time
from typing import Any
from urllib.parse import urlsplit

import httpx
import pandas as pd
import pyarrow as pa
import pytest

from tests.console.conftest import ENDPOINT, Scene, wait_for

# It takes no memory and has no end: only being stopped ends it.
ENDLESS = (
    "select count(*) from range(1000000) a, range(1000000) b, range(1000000) c"
    " where a.range + b.range + c.range = -1"
)


def query_of(scene: Scene) -> str:
    """Four rows: one of each of the first requests, whatever other tests have asked since."""
    ours = f"decision_id like '%:1' and decision_id < '{scene.end}'"
    return f'select decision_id, a, outcome from "{ENDPOINT}" where {ours} order by 1'


def problem(answer: httpx.Response, status: int) -> Any:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")
    return answer.json()


@pytest.mark.parametrize(
    ("accept", "format", "read"),
    [
        ("text/csv", "csv", pd.read_csv),
        ("application/vnd.apache.parquet", "parquet", pd.read_parquet),
        ("application/vnd.apache.arrow.stream", "arrow", lambda file: pa.ipc.open_stream(file).read_pandas()),
        ("application/x-ndjson", "jsonl", lambda file: pd.read_json(file, lines=True)),
        (
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            "xlsx",
            pd.read_excel,
        ),
    ],
    ids=["csv", "parquet", "arrow", "jsonl", "xlsx"],
)
def test_the_same_rows_come_in_every_form(scene: Scene, accept: str, format: str, read: Any) -> None:
    query = query_of(scene)
    told = scene.http.post("/api/sql", json={"query": query}).json()
    ids = [row[0] for row in told["rows"]]
    assert len(ids) == 4
    for answer in (
        scene.http.post("/api/sql", json={"query": query}, headers={"Accept": f"{accept}, */*;q=0.1"}),
        scene.http.post("/api/sql", json={"query": query, "format": format}),
        scene.http.get("/api/query", params={"query": query, "format": format}),
    ):
        assert answer.headers["content-type"].startswith(accept)
        assert answer.headers["content-disposition"] == f'attachment; filename="answer.{format}"'
        assert (answer.headers["x-tsavo-rows"], answer.headers["x-tsavo-truncated"]) == ("4", "false")
        assert list(read(io.BytesIO(answer.content)).iloc[:, 0]) == ids


def test_a_cut_answer_says_so(scene: Scene) -> None:
    body = {"query": "select * from range(10)", "limit": 3, "format": "csv"}
    answer = scene.http.post("/api/sql", json=body)
    assert (answer.headers["x-tsavo-rows"], answer.headers["x-tsavo-truncated"]) == ("3", "true")
    assert scene.http.get("/api/query?query=from+range(10)&limit=3").json()["truncated"] is True


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"query": "select 1", "format": "doc"}, "format"),
        ({"query": "select 1", "seconds": 0}, "seconds"),
        ({"query": "select 1", "seconds": 301}, "seconds"),
        ({"query": "select 1", "memory_mib": 1}, "memory_mib"),
        ({"query": "select 1", "limit": 10**9}, "limit"),
        ({"query": ENDLESS, "seconds": 0.5}, "query"),
        ({"query": "select list(range) from range(100000000)", "memory_mib": 64}, "query"),
        ({"query": "select cast(range - 50000 || 'x' as int) from range(60000)", "format": "csv"}, "query"),
        ({"query": f"select {', '.join(f'{n} c{n}' for n in range(16385))}", "format": "xlsx"}, "query"),
    ],
    ids=range(9),
)
def test_what_fails_is_a_problem_and_never_half_a_file(scene: Scene, body: Any, field: str) -> None:
    answer = scene.http.post("/api/sql", json=body)
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert answer.status_code in (413, 422)
    assert answer.json()["field"] == field


def test_a_refusal_names_the_place_and_near_names(scene: Scene) -> None:
    told = problem(scene.http.post("/api/sql", json={"query": f'select *\nfrom "{ENDPOINT}s"'}), 422)
    assert told["details"] == {"line": 2, "column": 7}
    assert f'"{ENDPOINT}"' in told["next_step"]


def test_a_query_ends_when_its_client_goes_away(scene: Scene) -> None:
    # More than run at once: if they went on, the last question would find no place.
    where = urlsplit(scene.running.console)
    body = ('{"query": "' + ENDLESS + '", "seconds": 300}').encode()
    for _ in range(6):
        with socket.create_connection((where.hostname or "", where.port or 0)) as connection:
            connection.sendall(
                f"POST /api/sql HTTP/1.1\r\nHost: {where.netloc}\r\nContent-Type: application/json\r\n".encode()
                + f"Content-Length: {len(body)}\r\n\r\n".encode()
                + body
            )
            time.sleep(0.3)
    assert wait_for(lambda: scene.http.post("/api/sql", json={"query": "select 1"}).status_code == 200)


def test_what_was_known_then(scene: Scene) -> None:
    known = f"select count(*) as n from \"{ENDPOINT}_outcomes\" where decision_id < '{scene.end}'"
    now = scene.http.post("/api/sql", json={"query": known}).json()["rows"]
    then = scene.http.post("/api/sql", json={"query": known, "as_of": "2020-01-01T00:00:00Z"}).json()["rows"]
    assert (now, then) == ([[800]], [[0]])
    page = scene.http.get("/sql", params={"query": known, "as_of": "2020-01-01"})
    assert '<td class="number">0</td>' in page.text
    assert "not a moment" in scene.http.get("/sql", params={"query": known, "as_of": "soon"}).text


def test_a_saved_query_is_kept_versioned_run_and_audited(scene: Scene) -> None:
    ann = {"X-Tsavo-User": "ann"}
    body = {"query": "select 41 as answer", "description": "the answer"}
    first = scene.http.post("/api/queries/the-answer/save", json=body, headers=ann).json()
    assert (first["number"], first["by"]) == (1, "ann")
    body = {"query": "select 42 as answer", "description": "the answer", "why": "counted again"}
    assert scene.http.post("/api/queries/the-answer/save", json=body).json()["number"] == 2
    assert scene.http.get("/api/queries/the-answer").json()["query"] == "select 42 as answer"
    assert scene.http.get("/api/queries/the-answer?number=1").json() == first
    history = scene.http.get("/api/queries/the-answer/history").json()
    assert [one["number"] for one in history["items"]] == [2, 1]
    assert scene.http.get("/api/queries/the-answer/run").json()["rows"] == [[42]]
    file = scene.http.get("/api/queries/the-answer/run?number=1&format=csv")
    assert file.text == '"answer"\n41\n'
    assert 'filename="the-answer.csv"' in file.headers["content-disposition"]
    assert "the-answer" in scene.http.get("/queries").text
    page = scene.http.get("/queries/the-answer").text
    assert '<td class="number">42</td>' in page
    assert "counted again" in page
    form = {"name": "the-answer", "query": "select 43 as answer", "description": "the answer"}
    saved = scene.http.post("/queries/save", data=form)
    assert (saved.status_code, saved.headers["location"]) == (303, "/queries/the-answer")
    audit = scene.http.get("/api/audit?subject=query:the-answer").json()["items"]
    assert [entry["action"] for entry in audit] == ["query.save"] * 3
    removed = scene.http.post("/api/queries/the-answer/remove", json={"why": "done"}).json()
    assert removed == {"removed": "the-answer"}
    problem(scene.http.get("/api/queries/the-answer"), 404)
    problem(scene.http.get("/api/queries/the-answer/run"), 404)
    problem(scene.http.post("/api/queries/x/save", json={"query": "drop table y"}), 422)


def test_an_answer_is_paged_by_its_address(scene: Scene) -> None:
    query: dict[str, str | int] = {"query": "select range as n from range(450) order by 1", "limit": 200}
    first = scene.http.get("/sql", params=query).text
    assert "rows 1 to 200, there are more" in first
    assert "offset=200" in first
    last = scene.http.get("/sql", params=query | {"offset": 400}).text
    assert "rows 401 to 450<" in last
    assert '<td class="number">449</td>' in last
    assert "next →" not in last


def test_the_keeper_writes_an_export(scene: Scene) -> None:
    body = {"query": query_of(scene), "folder": "small/daily", "every_seconds": 3600, "format": "parquet"}
    assert scene.http.post("/api/exports/seconds/schedule", json=body).status_code == 200
    done = wait_for(lambda: scene.http.get("/api/exports/seconds").json()["last"])
    assert (done["error"], done["rows"]) == ("", 4)
    table = pd.read_parquet(scene.running.home / "exports" / "small" / "daily" / "seconds.parquet")
    assert list(table.columns) == ["decision_id", "a", "outcome"]
    assert "small/daily/seconds.parquet" in scene.http.get("/queries").text
    assert scene.http.get("/api/exports").json()["total"] == 1
    problem(scene.http.post("/api/exports/x/schedule", json=body | {"folder": "../../etc"}), 422)
    scene.http.post("/api/exports/seconds/remove", json={})
    problem(scene.http.get("/api/exports/seconds"), 404)
