"""Many registrations over plain HTTP: what a client of another make can rely on."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import skops.io
from sklearn.linear_model import LogisticRegression

from tests.console.conftest import Scene, wait_for

ROAD = "/api/registrations"


@pytest.fixture(scope="module")
def model() -> bytes:
    random = np.random.default_rng(0)
    rows = random.normal(size=(40, 2))
    content: bytes = skops.io.dumps(LogisticRegression().fit(rows, rows[:, 0] > 0))
    return content


def item(row: int, content: bytes, **words: Any) -> dict[str, Any]:
    return {
        "row": row,
        "model": f"http-{row}",
        "source_digest": hashlib.sha256(content).hexdigest(),
        "source_name": "model.skops",
        **words,
    }


def send(http: httpx.Client, order: Any, **files: bytes) -> httpx.Response:
    parts: dict[str, Any] = {"order": (None, json.dumps(order))}
    return http.post(ROAD, files={**parts, **{name: ("file", content) for name, content in files.items()}})


def lines(answer: httpx.Response) -> dict[int, Any]:
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    told = [json.loads(line) for line in answer.text.splitlines()]
    assert len({line["row"] for line in told}) == len(told)
    return {line["row"]: line for line in told}


def test_a_file_is_wanted_then_registered_then_known(scene: Scene, model: bytes) -> None:
    asked = item(1, model)
    assert lines(send(scene.http, {"items": [asked]}))[1]["status"] == "wanted"
    done = lines(send(scene.http, {"items": [{**asked, "source": "a"}]}, a=model))[1]
    assert done == {"row": 1, "model": "http-1", "status": "registered", "version": "http-1@1"}
    assert lines(send(scene.http, {"items": [asked]}))[1] == {**done, "status": "known"}


def test_who_registers_is_told_what_was_wrong_with_each(scene: Scene, model: bytes) -> None:
    items = [
        item(10, model, source="good", owner="grace", why="trial"),
        item(11, b"nonsense", source="bad"),
        item(12, model, source="nowhere"),
        item(13, model, source="good", model="../etc"),
        {**item(14, model, source="good"), "model": "http-10"},
        item(15, model, source="good", reference="order"),
    ]
    answer = send(scene.http, {"items": items, "deploy": True}, good=model, bad=b"nonsense")
    told = lines(answer)
    assert (told[10]["status"], told[10]["endpoint"]) == ("registered", "http-10")
    kinds = {row: line["error"]["kind"] for row, line in told.items() if "error" in line}
    assert kinds == {11: "unreadable", 12: "invalid", 13: "invalid", 14: "invalid", 15: "invalid"}
    assert all(told[row]["status"] == "failed" for row in kinds)
    entry = scene.http.get("/api/audit", params={"subject": "version:http-10@1"}).json()["items"][0]
    assert (entry["action"], entry["why"]) == ("version.register", "trial")
    assert scene.http.get("/api/models/http-10").json()["model"]["owner"] == "grace"


@pytest.mark.parametrize(
    "order",
    [
        {},
        {"items": []},
        {"items": [{"row": 1, "model": "x", "source_digest": "abc"}]},
        {"items": [item(1, b"", colour="red")]},
        {"items": [item(row, b"") for row in range(501)]},
        [1],
        "nonsense",
    ],
    ids=["nothing", "no items", "no digest", "unknown field", "too many", "no object", "text"],
)
def test_an_order_that_is_none_is_refused_whole(scene: Scene, order: Any) -> None:
    answer = send(scene.http, order)
    assert (answer.status_code, answer.json()["field"]) == (422, "order")
    assert send(scene.http, {"items": [item(1, b"")]}).status_code == 200


def test_nothing_is_left_behind_by_a_caller_that_goes(scene: Scene, model: bytes) -> None:
    items = [item(row, model, source="a") for row in range(20, 28)]
    parts: dict[str, Any] = {"order": (None, json.dumps({"items": items})), "a": ("file", model)}
    with scene.http.stream("POST", ROAD, files=parts) as answer:
        first = json.loads(next(answer.iter_lines()))
    assert first["status"] == "registered", first
    # One more request that is answered whole shows that the console goes on.
    done = lines(send(scene.http, {"items": items}, a=model))
    assert done[first["row"]]["status"] == "known"
    work = Path(scene.running.home) / "work"

    # What was begun is finished, one model after another.
    assert wait_for(lambda: not list(work.glob("upload-*")), seconds=120)
