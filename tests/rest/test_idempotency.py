"""A request that is sent again with its key: the same bytes, and one decision, on every road that scores."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.ipc
import pytest

from tests.endpoints.test_serving import ONE
from tests.rest.scoring_world import MIXED, NAMES, RECORDS, ROWS, ScoringWorld, Weighs
from tsavo.endpoints.retries import Retries
from tsavo.journal import Journal, KeptReplies, Reservations
from tsavo.rest import Gateway
from tsavo.storage import SystemClock
from tsavo.vocabulary import DecisionRecord, Plug, decode_record

PREDICT = {"instances": ROWS}
ARROW = "application/vnd.apache.arrow.stream"


def open_inference(rows: int = 3) -> dict[str, Any]:
    datatypes = {"int64": "INT64", "float64": "FP64", "float32": "FP32", "bool": "BOOL", "string": "BYTES"}
    columns = list(zip(*(ROWS * rows)[:rows], strict=True))
    return {
        "inputs": [
            {"name": field.name, "shape": [rows], "datatype": datatypes[field.dtype], "data": list(column)}
            for field, column in zip(MIXED.inputs, columns, strict=True)
        ]
    }


def arrow_stream() -> bytes:
    table = pa.table({name: [row[at] for row in ROWS] for at, name in enumerate(NAMES)})
    sink = pa.BufferOutputStream()
    with pyarrow.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


class Scene:
    """A gateway that answers keys once, and its client."""

    def __init__(self, folder: Path, wait_seconds: float = 10.0) -> None:
        self.world = ScoringWorld(folder, {ONE: Weighs()})  # type: ignore[dict-item]
        self.world.route()
        self.faults: list[BaseException] = []
        self.retries = Retries(
            KeptReplies(folder),
            Reservations(folder / "reserved"),
            SystemClock().nanoseconds,
            seconds=60,
            wait_seconds=wait_seconds,
        )
        self.gateway = Gateway(
            self.world.plane,
            version="1.2.3",
            max_body=1 << 23,
            report=self.faults.append,
            retries=self.retries,
        )
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(self.gateway), base_url="http://gateway"
        )

    async def post(self, path: str, key: str | None = "k", status: int = 200, **parts: Any) -> httpx.Response:
        headers = parts.pop("headers", {}) | ({} if key is None else {"idempotency-key": key})
        answer = await self.client.post(path, headers=headers, **parts)
        assert answer.status_code == status, answer.text
        return answer


def with_scene(folder: Path, test: Callable[[Scene], Coroutine[Any, Any, None]]) -> list[DecisionRecord]:
    async def run() -> list[DecisionRecord]:
        scene = Scene(folder)
        async with scene.client:
            await test(scene)
        assert scene.faults == []
        assert (scene.gateway.admission.requests, scene.gateway.admission.bytes) == (0, 0)
        scene.retries.close()
        return await scene.world.records()

    return asyncio.run(run())


ROADS: dict[str, tuple[str, dict[str, Any]]] = {
    "infer": ("/v2/models/e/infer", {"json": open_inference()}),
    "binary": (
        "/v2/models/e/infer",
        {"json": open_inference() | {"parameters": {"binary_data_output": True}}},
    ),
    "packed": (
        "/v2/models/e/infer",
        {"json": open_inference(900), "headers": {"accept-encoding": "gzip"}},
    ),
    "version": ("/v2/models/e/versions/1/infer", {"json": open_inference()}),
    "rows": ("/endpoints/e/score", {"json": {"rows": RECORDS}}),
    "arrow": ("/endpoints/e/score", {"content": arrow_stream(), "headers": {"content-type": ARROW}}),
    "mlflow": ("/endpoints/e/invocations", {"json": {"dataframe_records": RECORDS}}),
    "the only one": ("/invocations", {"json": {"dataframe_records": RECORDS}}),
    "kserve v1": ("/v1/models/e:predict", {"json": PREDICT}),
}


def told(answer: httpx.Response) -> dict[str, str]:
    """The headers that are of the answer itself."""
    return {name: value for name, value in answer.headers.items() if name != "idempotency-replayed"}


@pytest.mark.parametrize("name", ROADS)
def test_the_same_request_again_gets_the_same_bytes_and_no_second_decision(tmp_path: Path, name: str) -> None:
    path, parts = ROADS[name]

    async def test(scene: Scene) -> None:
        first = await scene.post(path, **parts)
        again = await scene.post(path, **parts)
        assert "idempotency-replayed" not in first.headers
        assert again.headers["idempotency-replayed"] == "true"
        assert again.content == first.content
        assert told(again) == told(first)
        # Another key, or none, is another decision.
        for key in ("another", None):
            other = await scene.post(path, key, **parts)
            assert "idempotency-replayed" not in other.headers
            assert (other.content, told(other)) != (first.content, told(first))

    records = with_scene(tmp_path, test)
    assert len({record.request for record in records}) == len(records) == 3


def test_an_answer_is_given_again_whatever_became_of_the_endpoint(tmp_path: Path) -> None:
    path, parts = ROADS["infer"]

    async def test(scene: Scene) -> None:
        first = await scene.post(path, **parts)
        scene.world.route(revision=2, plug=Plug("me", SystemClock().now(), "wrong"))
        await scene.post(path, "new", status=503, **parts)
        assert (await scene.post(path, **parts)).content == first.content

    assert len(with_scene(tmp_path, test)) == 1


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("/v2/models/e/infer", {"json": open_inference(2)}),
        ("/v2/models/e/infer", {"json": open_inference() | {"id": "other"}}),
        ("/v2/models/e/versions/1/infer", {"json": open_inference()}),
        ("/endpoints/e/score", {"json": {"rows": RECORDS}}),
        ("/v2/models/e/infer", {"json": open_inference(), "headers": {"content-type": "text/plain"}}),
        ("/v2/models/e/infer?x=1", {"json": open_inference()}),
    ],
)
def test_the_key_of_another_request_is_422_and_names_the_header(
    tmp_path: Path, path: str, parts: dict[str, Any]
) -> None:
    async def test(scene: Scene) -> None:
        await scene.post("/v2/models/e/infer", json=open_inference())
        refusal = (await scene.post(path, status=422, **parts)).json()
        assert refusal["field"] == "Idempotency-Key"
        assert "idempotency-replayed" not in (await scene.post(path, status=422, **parts)).headers

    assert len(with_scene(tmp_path, test)) == 1


@pytest.mark.parametrize("key", ["a b", "x" * 256])
def test_what_is_no_key_is_400_and_names_the_header(tmp_path: Path, key: str) -> None:
    async def test(scene: Scene) -> None:
        answer = await scene.post("/v2/models/e/infer", key, 400, json=open_inference())
        assert answer.json()["field"] == "Idempotency-Key"

    assert with_scene(tmp_path, test) == []


def test_a_refused_request_does_not_use_the_key_up(tmp_path: Path) -> None:
    path, parts = ROADS["infer"]

    async def test(scene: Scene) -> None:
        await scene.post(path, status=422, json={"inputs": []})
        await scene.post(path, status=400, content=b"no json")
        await scene.post("/v2/models/nobody/infer", status=404, **parts)
        await scene.post("/v2/nowhere", status=404, **parts)
        await scene.post("/v2/models/e", status=405, **parts)
        first = await scene.post(path, **parts)
        assert "idempotency-replayed" not in first.headers

    assert len(with_scene(tmp_path, test)) == 1


def test_a_failed_request_does_not_use_the_key_up(tmp_path: Path) -> None:
    path, parts = ROADS["infer"]

    async def test(scene: Scene) -> None:
        scene.world.route(revision=2, plug=Plug("me", SystemClock().now(), "wrong"))
        await scene.post(path, status=503, **parts)
        scene.world.route(revision=3)
        first = await scene.post(path, **parts)
        assert "idempotency-replayed" not in first.headers
        assert (await scene.post(path, **parts)).headers["idempotency-replayed"] == "true"

    assert len(with_scene(tmp_path, test)) == 1


def test_many_at_the_same_moment_are_one_decision(tmp_path: Path) -> None:
    path, parts = ROADS["rows"]

    async def test(scene: Scene) -> None:
        answers = await asyncio.gather(*(scene.post(path, **parts) for _ in range(40)))
        assert len({answer.content for answer in answers}) == 1
        assert [answer.headers.get("idempotency-replayed") for answer in answers].count("true") == 39

    assert len(with_scene(tmp_path, test)) == 1


def test_a_key_on_what_scores_nothing_does_nothing(tmp_path: Path) -> None:
    async def test(scene: Scene) -> None:
        for _ in range(2):
            listed = await scene.post("/v2/repository/index", json={})
            assert "idempotency-replayed" not in listed.headers
            looked = await scene.client.get("/v2/models/e", headers={"idempotency-key": "k"})
            assert looked.status_code == 200

    with_scene(tmp_path, test)


def test_the_answer_that_is_given_again_can_be_read_as_the_first(tmp_path: Path) -> None:
    path, parts = ROADS["binary"]

    async def test(scene: Scene) -> None:
        await scene.post(path, **parts)
        again = await scene.post(path, **parts)
        head = int(again.headers["inference-header-content-length"])
        document = json.loads(again.content[:head])
        shapes = {output["name"]: output["shape"] for output in document["outputs"]}
        assert shapes == {"label": [3], "probabilities": [3, 2]}
        assert np.frombuffer(again.content[-24:], np.float32).reshape(3, 2).sum(axis=1) == pytest.approx(1)

    with_scene(tmp_path, test)


def test_an_answer_is_given_again_in_the_form_that_it_had_and_unpacked_for_who_cannot_unpack(
    tmp_path: Path,
) -> None:
    path, parts = ROADS["packed"]

    async def test(scene: Scene) -> None:
        first = await scene.post(path, **parts)
        assert first.headers["content-encoding"] == "gzip"
        plain = await scene.post(path, **parts | {"headers": {"accept-encoding": "identity"}})
        assert "content-encoding" not in plain.headers
        assert plain.json() == first.json()
        rows = await scene.post("/endpoints/e/score", "rows", json={"rows": RECORDS})
        in_arrow = {"accept": ARROW}
        again = await scene.post("/endpoints/e/score", "rows", json={"rows": RECORDS}, headers=in_arrow)
        assert (again.content, again.headers["content-type"]) == (rows.content, "application/json")

    assert len(with_scene(tmp_path, test)) == 2


def test_the_endpoint_of_the_address_without_one_is_the_only_one(tmp_path: Path) -> None:
    async def test(scene: Scene) -> None:
        await scene.post("/invocations", json={"dataframe_records": RECORDS})
        await scene.post("/endpoints/e/invocations", status=422, json={"dataframe_records": RECORDS})

    assert len(with_scene(tmp_path, test)) == 1


def test_who_got_no_answer_since_the_gateway_was_killed_gets_it_from_the_next(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    dying = subprocess.Popen([sys.executable, "-m", "tests.rest.dying_gateway", str(tmp_path), str(port)])
    address = f"http://127.0.0.1:{port}/v2"
    until_it_answers(f"{address}/health/ready")
    with pytest.raises(httpx.HTTPError):
        httpx.post(f"{address}/models/e/infer", json=open_inference(), headers={"idempotency-key": "k"})
    assert dying.wait(60) == -signal.SIGKILL
    with Journal(tmp_path / "gateway-0.db") as journal:
        (recorded,) = [decode_record(payload) for _, payload in journal.read().rows]
    assert isinstance(recorded, DecisionRecord)

    async def test(scene: Scene) -> None:
        answer = await scene.post("/v2/models/e/infer", json=open_inference())
        assert answer.headers["idempotency-replayed"] == "true"
        assert answer.json()["parameters"]["decision_id"] == f"{recorded.request}:0"

    assert with_scene(tmp_path, test) == [recorded]


def until_it_answers(address: str) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            if httpx.get(address).status_code == 200:
                return
        except httpx.HTTPError:
            assert time.monotonic() < deadline
            time.sleep(0.02)
