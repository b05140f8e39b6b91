from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.endpoints.test_serving import ONE
from tests.rest.scoring_world import NAMES, RECORDS, ROWS, Scene, with_scene
from tsavo.vocabulary import Damaged, Route

PREDICT = "/v1/models/e:predict"


def test_instances_as_lists_or_objects_and_inputs_by_column(tmp_path: Path) -> None:
    async def test(scene: Scene) -> None:
        columns = {name: [row[at] for row in ROWS] for at, name in enumerate(NAMES)}
        for body in (
            {"instances": ROWS},
            {"instances": RECORDS, "signature_name": "serving_default"},
            {"inputs": columns},
            {"inputs": ROWS},
        ):
            answer = await scene.post(PREDICT, content=json.dumps(body))
            assert answer.json() == {"predictions": ["yes", "yes", "no"]}
            assert answer.headers["x-tsavo-version"] == "m@1"
            assert answer.headers["x-tsavo-flags"] == "unseen:city"

    records = with_scene(tmp_path, test)
    assert len(records) == 4
    assert all(record.inputs == records[0].inputs for record in records)


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        (b"", 400, "body"),
        (b"{}", 422, "body"),
        (b'{"instances": [], "inputs": []}', 422, "body"),
        (b'{"instances": []}', 422, "instances"),
        (b'{"inputs": {}}', 422, "inputs"),
        (b'{"inputs": []}', 422, "inputs"),
        (b'{"instances": {"x": 1}}', 422, "instances"),
        (b'{"instances": [[1, 2, 3, 4, 5]]}', 422, "inputs.member[0]"),
        (b'{"inputs": {"age": [1]}}', 422, "inputs.income"),
    ],
)
def test_bad_requests_name_the_field(tmp_path: Path, body: bytes, status: int, field: str) -> None:
    async def test(scene: Scene) -> None:
        problem = (await scene.post(PREDICT, content=body, status=status)).json()
        assert problem["field"] == field
        assert problem["status"] == status

    assert with_scene(tmp_path, test) == []


def test_explanations_are_refused_clearly(tmp_path: Path) -> None:
    async def test(scene: Scene) -> None:
        problem = (await scene.post("/v1/models/e:explain", json={"instances": ROWS}, status=422)).json()
        assert ":predict" in problem["next_step"]
        await scene.post("/v1/models/nobody:explain", json={}, status=404)

    with_scene(tmp_path, test)


def test_who_is_there_and_ready(tmp_path: Path) -> None:
    async def test(scene: Scene) -> None:
        assert (await scene.get("/")).json() == {"status": "alive"}
        assert (await scene.get("/v1/models")).json() == {"models": ["e"]}
        assert (await scene.get("/v1/models/e")).json() == {"name": "e", "ready": True}
        await scene.get("/v1/models/nobody", status=404)
        await scene.post("/v1/models/nobody:predict", json={"instances": ROWS}, status=404)
        assert (await scene.get(PREDICT, status=405)).headers["allow"] == "POST"
        await scene.post("/v1/models/e", status=405)

    with_scene(tmp_path, test)


def test_who_cannot_answer_is_not_ready(tmp_path: Path) -> None:
    async def test(scene: Scene) -> None:
        problem = (await scene.get("/v1/models/e", status=503)).json()
        assert problem["reason"] == "its file is gone"

    with_scene(tmp_path, test, Damaged("its file is gone"))


def test_very_many_models_come_in_pages(tmp_path: Path) -> None:
    async def test(scene: Scene) -> None:
        names = [f"e{number:04}" for number in range(1100)]
        # In another order than the alphabet's.
        scene.world.plane.apply([Route(name, 2, ONE) for name in reversed(names)])
        names = sorted(["e", *names])
        first = (await scene.get("/v1/models")).json()
        assert first == {"models": names[:1000], "next_after": names[999]}
        rest = (await scene.get(f"/v1/models?after={first['next_after']}")).json()
        assert rest == {"models": names[1000:]}
        listed: list[str] = []
        page: dict[str, Any] = {"next_after": ""}
        while "next_after" in page:
            page = (await scene.get(f"/v1/models?limit=367&after={page['next_after']}")).json()
            listed += page["models"]
        assert listed == names
        for wrong in ("", "0", "-1", "x", "10001", "9" * 50, "%00", "1.5", "²"):
            problem = (await scene.get(f"/v1/models?limit={wrong}", status=422)).json()
            assert problem["field"] == "limit"

    with_scene(tmp_path, test)
