"""Verifying and ejecting over HTTP, and what the version's page shows of it."""

from __future__ import annotations

import io
import zipfile

from tests.console.conftest import Scene

VERSION = "/api/models/small/versions/1"


def test_a_version_is_verified_and_its_history_told(scene: Scene) -> None:
    found = scene.http.post(f"{VERSION}/verify", json={}).json()
    assert found["verdict"] == "same"
    history = scene.http.get(f"{VERSION}/verifications?limit=1").json()
    assert history["items"] == [found]
    whole = scene.http.get(VERSION).json()
    assert whole["verifications"]["items"][0] == found
    assert whole["signature"]["inputs"][0]["name"] == "a"


def test_versions_are_verified_page_by_page(scene: Scene) -> None:
    page = scene.http.post("/api/verifications", json={"model": "small"}).json()
    assert (page["done"], page["total"], page["last"]) == (1, 1, None)
    assert page["items"][0]["version"] == {"model": "small", "number": 1}
    after = scene.http.post("/api/verifications", json={"model": "small", "after": "small@1"}).json()
    assert after["items"] == []


def test_what_cannot_be_verified_is_refused_in_words(scene: Scene) -> None:
    assert scene.http.post("/api/models/small/versions/9/verify", json={}).status_code == 404
    assert scene.http.get("/api/models/small/versions/9/verifications").status_code == 404
    assert scene.http.get("/api/models/small/versions/9/eject").status_code == 404
    wrong = scene.http.post(f"{VERSION}/verify", json={"requirements": ["git+https://example.org/x"]})
    assert wrong.status_code == 422
    assert wrong.json()["field"].startswith("requirements")
    assert scene.http.post("/api/verifications", json={"after": "no ref"}).status_code == 422
    assert scene.http.post("/api/verifications", json={"nothing": 1}).status_code == 422


def test_a_version_comes_as_a_zip(scene: Scene) -> None:
    answer = scene.http.get(f"{VERSION}/eject")
    assert answer.headers["content-type"] == "application/zip"
    assert answer.headers["content-disposition"] == 'attachment; filename="small-1.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        assert "MLmodel" in archive.namelist()


def test_the_page_tells_everything_that_its_twin_has(scene: Scene) -> None:
    scene.http.post(f"{VERSION}/verify", json={})
    text = scene.http.get("/models/small/versions/1").text
    version = scene.http.get(VERSION).json()
    for told in (
        version["digest"],
        version["artifact"],
        version["lineage"]["source_digest"],
        version["lineage"]["framework"],
        f"{version['lineage']['trusted_by']} vouched for the source",
        version["checks"][0]["summary"].replace("&", "&amp;"),
        "all 200 rows give the same answers, bit by bit",
        f'action="{VERSION}/eject"',
        "compiled to ONNX",
    ):
        assert told in text, told
    for field in version["signature"]["inputs"]:
        assert f'class="name">{field["name"]}<' in text


def test_the_form_verifies_and_comes_back(scene: Scene) -> None:
    before = scene.http.get(f"{VERSION}/verifications").json()["total"]
    answer = scene.http.post("/models/small/versions/1/verify", data={"requirements": " "})
    assert answer.status_code == 303
    assert answer.headers["location"] == "/models/small/versions/1#verifications"
    assert scene.http.get(f"{VERSION}/verifications").json()["total"] == before + 1
