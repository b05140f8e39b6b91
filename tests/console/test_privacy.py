"""The pages about personal data: sealed until somebody says why, and a form that erases."""

from __future__ import annotations

import httpx
import pytest

from tests.console.conftest import Scene, wait_for

ENDPOINT = "small.people"
SUBJECT = "ada@example.org"


@pytest.fixture(scope="module")
def decision(scene: Scene) -> str:
    """Of an endpoint of its own, whose first column is personal."""
    scene.running.tsavo("deploy", "small@1", "--endpoint", ENDPOINT)
    marked = scene.http.post(f"/api/endpoints/{ENDPOINT}/personal", json={"personal": ["a"], "why": "law"})
    assert marked.json()["privacy"] == {"personal": ["a"]}
    body = {"inputs": [{"name": "m", "shape": [1, 3], "datatype": "FP64", "data": [1234.5, 2.0, 3.0]}]}
    url = f"{scene.running.gateway}/v2/models/{ENDPOINT}/infer"
    refused = httpx.post(url, json=body)
    assert (refused.status_code, refused.json()["field"]) == (422, "x-tsavo-subject")
    answer = httpx.post(url, json=body, headers={"X-Tsavo-Subject": SUBJECT})
    return str(answer.json()["parameters"]["decision_id"])


def test_a_personal_value_is_shown_to_who_says_why(scene: Scene, decision: str) -> None:
    page = scene.http.get(f"/decisions/{decision}")
    assert "1234" not in page.text
    assert ">sealed<" in page.text
    refused = scene.http.post(f"/decisions/{decision}/reveal", data={"why": ""})
    assert refused.status_code == 422
    shown = scene.http.post(f"/decisions/{decision}/reveal", data={"why": "complaint 7"})
    assert "1234" in shown.text
    assert shown.headers["cache-control"] == "no-store"
    told = scene.http.get("/api/audit", params={"subject": f"decision:{decision}"}).json()["items"]
    assert [(one["action"], one["why"]) for one in told] == [("personal.reveal", "complaint 7")]
    assert "personal data sealed" in scene.http.get(f"/endpoints/{ENDPOINT}").text


def test_erasing_asks_twice_and_tells_what_it_came_to(scene: Scene, decision: str) -> None:
    form = {"subject": SUBJECT, "why": "case 9"}
    refused = scene.http.post("/erasures/form", data=form)
    assert refused.status_code == 422
    assert scene.http.get("/api/erasures").json()["total"] == 0
    assert "Nobody was erased" in scene.http.get("/erasures").text
    done = scene.http.post("/erasures/form", data={**form, "sure": "yes"})
    assert done.status_code == 303
    pseudonym = scene.http.post("/api/pseudonyms", json={"subject": SUBJECT}).json()["pseudonym"]
    assert done.headers["location"] == f"/erasures?subject={pseudonym}"
    (erasure,) = scene.http.get("/api/erasures", params={"subject": pseudonym}).json()["items"]
    wait_for(lambda: not scene.http.get(f"/api/erasures/{erasure['id']}").json()["pending"])
    page = scene.http.get("/erasures", params={"subject": pseudonym}).text
    assert "case 9" in page
    assert ">erased<" in page
    assert SUBJECT not in page
    shown = scene.http.post(f"/decisions/{decision}/reveal", data={"why": "to see that it is gone"}).text
    assert "nobody can read these values" in shown
    assert "1234" not in shown
    replayed = scene.http.post(f"/api/decisions/{decision}/replay").json()
    assert replayed["verdict"] == "erased"


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        (f"/api/endpoints/{ENDPOINT}/personal", {}, "personal"),
        (f"/api/endpoints/{ENDPOINT}/personal", {"subject": "nope"}, "subject"),
        ("/api/erasures", {"subject": "x"}, "why"),
        ("/api/erasures", {"subject": "", "why": "a case"}, "subject"),
        ("/api/pseudonyms", {"subject": 1.5}, "subject"),
    ],
    ids=["nothing", "no-column", "no-reason", "nobody", "fraction"],
)
def test_what_is_wrong_is_named(
    scene: Scene, decision: str, path: str, body: dict[str, object], field: str
) -> None:
    answer = scene.http.post(path, json=body)
    assert answer.status_code == 422
    assert answer.json()["field"] == field
