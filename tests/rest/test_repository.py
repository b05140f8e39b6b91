from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tests.rest.served import Echo, echo, served
from tsavo.vocabulary import Damaged, Field, Plug, Route, TsavoError, VersionFallback, VersionRef

ONE, TWO, BROKEN = VersionRef("m", 1), VersionRef("m", 2), VersionRef("broken", 1)
PLUG = Plug("me", datetime(2026, 1, 1, tzinfo=UTC), "wrong")


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    model = echo(Field("x", "float64"))
    routes = [
        Route("e", 1, TWO, (), (VersionFallback(ONE),)),
        Route("off", 2, TWO, (), (VersionFallback(ONE),), PLUG),
        Route("off-for-good", 3, TWO, plug=PLUG),
        Route("broken", 4, BROKEN),
    ]
    versions: dict[VersionRef, Echo | TsavoError] = {
        ONE: model,
        TWO: model,
        BROKEN: Damaged("its file is gone"),
    }
    with (
        served(tmp_path_factory.mktemp("door"), versions, routes) as door,
        httpx.Client(base_url=door.url) as connected,
    ):
        assert connected.get("/v2/models/broken/ready").status_code == 503
        yield connected


def listed(answer: httpx.Response) -> list[tuple[str, str, str]]:
    assert answer.status_code == 200
    return [(entry["name"], entry["version"], entry["state"]) for entry in answer.json()]


ALL = [
    ("broken", "1", "UNAVAILABLE"),
    ("e", "2", "READY"),
    ("e", "1", "READY"),
    ("off", "2", "UNAVAILABLE"),
    ("off", "1", "READY"),
    ("off-for-good", "2", "UNAVAILABLE"),
]


@pytest.mark.parametrize("body", [b"", b"{}", b'{"ready": false}', b'{"something": "else"}'])
def test_the_index_lists_all(client: httpx.Client, body: bytes) -> None:
    assert listed(client.post("/v2/repository/index", content=body)) == ALL


def test_the_index_lists_those_that_can_answer(client: httpx.Client) -> None:
    ready = listed(client.post("/v2/repository/index", json={"ready": True}))
    assert ready == [entry for entry in ALL if entry[2] == "READY"]


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"{", 400, "body"),
        (b"[]", 422, "body"),
        (b'{"ready": "yes"}', 422, "ready"),
        (b"\xff", 400, "body"),
        (b'{"else": ' + b"[" * 100_000, 400, "body"),
    ],
)
def test_other_questions_are_refused(client: httpx.Client, body: bytes, status: int, field: str) -> None:
    answer = client.post("/v2/repository/index", content=body)
    assert answer.status_code == status
    assert answer.json()["field"] == field


def test_the_specification_has_no_get(client: httpx.Client) -> None:
    answer = client.get("/v2/repository/index")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize("what", ["load", "unload"])
def test_model_control_is_refused_with_what_to_do_instead(client: httpx.Client, what: str) -> None:
    answer: Any = client.post(f"/v2/repository/models/e/{what}").json()
    assert answer["kind"] == "refused"
    assert "tsavo deploy m" in answer["next_step"]
    assert client.post(f"/v2/repository/models/nobody/{what}").status_code == 404


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("e/ready", 200),
        ("e/versions/1/ready", 200),
        ("e/versions/7/ready", 404),
        ("e/versions/x/ready", 404),
        ("e/versions/-1", 404),
        ("e/versions/" + "9" * 40, 404),
        ("e/versions/²", 404),
        # The fallback answers for the endpoint, and for no version that is asked for by its number.
        ("off/ready", 200),
        ("off/versions/2/ready", 503),
        ("off/versions/1/ready", 200),
        ("off-for-good/ready", 503),
        ("broken/versions/1/ready", 503),
        ("broken/versions/1", 200),
        ("broken/versions/1/config", 200),
    ],
)
def test_versions_of_endpoints(client: httpx.Client, path: str, status: int) -> None:
    answer = client.get(f"/v2/models/{path}")
    assert answer.status_code == status
    if status == 404:
        assert answer.json()["field"] == "version"
        assert "1" in answer.json()["expected"]
        assert "2" in answer.json()["expected"]
    assert client.head(f"/v2/models/{path}").status_code == status
