from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.ipc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.endpoints.test_serving import Times
from tests.rest.scoring_world import MIXED, NAMES, RECORDS, ROWS, Scene, with_scene
from tests.rest.test_arrow_tables import stream
from tsavo.rest.score_roads import ARROW, answers_in_arrow

SCORE = "/endpoints/e/score"
TABLE = pa.table({name: [row[at] for row in ROWS] for at, name in enumerate(NAMES)})
TYPES = {"int64": "INT64", "float64": "FP64", "float32": "FP32", "bool": "BOOL", "string": "BYTES"}


def in_json(**body: Any) -> dict[str, Any]:
    return {"content": json.dumps(body), "headers": {"content-type": "application/json"}}


def in_arrow(table: pa.Table) -> dict[str, Any]:
    return {"content": stream(table), "headers": {"content-type": ARROW}}


def in_csv() -> dict[str, Any]:
    text = pd.DataFrame(ROWS, columns=NAMES).to_csv(index=False)
    return {"content": text.encode(), "headers": {"content-type": "text/csv; charset=utf-8"}}


def table_of(answer: httpx.Response) -> pa.Table:
    assert answer.headers["content-type"] == ARROW
    return pyarrow.ipc.open_stream(answer.content).read_all()


def labels_and_shares(answer: httpx.Response) -> tuple[list[str], list[list[np.float32]] | None]:
    """What any of the protocols answered."""
    if answer.headers["content-type"] == ARROW:
        table = table_of(answer)
        return table["label"].to_pylist(), _narrow(table["probabilities"].to_pylist())
    body = answer.json()
    if "predictions" in body:
        return body["predictions"], None
    if "rows" in body:
        shares = [[row["probabilities"][name] for name in ("no", "yes")] for row in body["rows"]]
        return [row["label"] for row in body["rows"]], _narrow(shares)
    label, probabilities = body["outputs"]
    return label["data"], _narrow(np.reshape(probabilities["data"], (-1, 2)))


def _narrow(shares: Any) -> list[list[np.float32]]:
    return np.array(shares, np.float32).tolist()  # type: ignore[no-any-return]


def test_all_protocols_give_the_model_the_same_rows_and_callers_the_same_answer(tmp_path: Path) -> None:
    split = {"columns": NAMES, "data": ROWS, "index": [7, 8, 9]}
    columns = {name: [row[at] for row in ROWS] for at, name in enumerate(NAMES)}
    tensors = [
        {"name": field.name, "datatype": TYPES[field.dtype], "shape": [3], "data": columns[field.name]}
        for field in MIXED.inputs
    ]
    ways = [
        ("/v2/models/e/infer", in_json(inputs=tensors)),
        (SCORE, in_json(rows=ROWS)),
        (SCORE, in_json(rows=RECORDS)),
        (SCORE, in_arrow(TABLE)),
        (SCORE, in_arrow(TABLE.select(NAMES[::-1]))),
        (SCORE, in_csv()),
        ("/endpoints/e/invocations", in_csv()),
        ("/endpoints/e/invocations", in_json(dataframe_split=split)),
        ("/endpoints/e/invocations", in_json(dataframe_records=RECORDS)),
        ("/endpoints/e/invocations", in_json(instances=ROWS)),
        ("/endpoints/e/invocations", in_json(inputs=columns)),
        ("/v1/models/e:predict", in_json(instances=RECORDS)),
    ]
    answers: list[Any] = []

    async def test(scene: Scene) -> None:
        for path, parts in ways:
            answer = await scene.post(path, **parts)
            answers.append(labels_and_shares(answer))

    records = with_scene(tmp_path, test)
    assert len(records) == len(ways)
    for record in records:
        assert record.inputs == records[0].inputs
        assert record.row_flags == {1: ["unseen:city"]}
    labels, shares = answers[0]
    assert sorted(set(labels)) == ["no", "yes"]
    for label, share in answers:
        assert label == labels
        assert share in (None, shares)


def test_answers_come_in_the_type_that_is_asked_for(tmp_path: Path) -> None:
    async def test(scene: Scene) -> None:
        for parts in (in_json(rows=ROWS), in_arrow(TABLE), in_csv()):
            for accept, arrow in (
                (ARROW, True),
                ("application/json", False),
                ("*/*", parts == in_arrow(TABLE)),
            ):
                headers = parts["headers"] | {"accept": accept}
                answer = await scene.post(SCORE, content=parts["content"], headers=headers)
                assert answer.headers["content-type"] == (ARROW if arrow else "application/json")
                ids = (
                    table_of(answer)["decision_id"].to_pylist()
                    if arrow
                    else [row["decision_id"] for row in answer.json()["rows"]]
                )
                request, _, _ = answer.headers["x-tsavo-decision-id"].rpartition(":")
                assert ids == [f"{request}:{row}" for row in range(3)]
                assert answer.headers["x-tsavo-version"] == "m@1"

    with_scene(tmp_path, test)


@pytest.mark.parametrize(
    ("accept", "from_json", "from_arrow"),
    [
        (None, False, True),
        (b"*/*", False, True),
        (b"text/html", False, True),
        (b"application/*", False, True),
        (ARROW.encode(), True, True),
        (ARROW.upper().encode(), True, True),
        (b"application/json", False, False),
        (b"application/json;q=0.5, " + ARROW.encode(), True, True),
        (ARROW.encode() + b"; q=0.2 , application/json ; q=0.9", False, False),
        (ARROW.encode() + b";q=0", False, True),
        (ARROW.encode() + b";q=x, application/json", False, False),
        (b"application/json, " + ARROW.encode(), False, True),
    ],
)
def test_who_is_preferred(accept: bytes | None, from_json: bool, from_arrow: bool) -> None:
    assert answers_in_arrow(accept, came_in_arrow=False) == from_json
    assert answers_in_arrow(accept, came_in_arrow=True) == from_arrow


@given(st.binary(max_size=60))
def test_any_accept_header_is_understood_somehow(accept: bytes) -> None:
    answers_in_arrow(accept, came_in_arrow=True)


def test_outputs_can_be_chosen_and_callers_are_kept(tmp_path: Path) -> None:
    async def test(scene: Scene) -> None:
        # As curl does it, which calls everything a form.
        headers = {"content-type": "application/x-www-form-urlencoded", "x-tsavo-caller": "me"}
        body = json.dumps({"rows": ROWS, "outputs": ["label"]})
        answer = await scene.post(SCORE, content=body, headers=headers)
        assert [list(row) for row in answer.json()["rows"]] == [["decision_id", "label", "flags"]] * 3
        assert [row["flags"] for row in answer.json()["rows"]] == [[], ["unseen:city"], []]
        table = table_of(await scene.post(SCORE, content=body, headers=headers | {"accept": ARROW}))
        assert table.column_names == ["decision_id", "label", "flags"]
        wrong = json.dumps({"rows": ROWS, "outputs": ["nothing"]})
        problem = await scene.post(SCORE, content=wrong, headers=headers, status=422)
        assert problem.json()["field"] == "outputs"

    records = with_scene(tmp_path, test)
    assert [record.caller for record in records] == ["me", "me"]


@pytest.mark.parametrize(
    ("body", "kind", "status", "field"),
    [
        (b"", "application/json", 400, "body"),
        (b'{"rows": [[1, 2, 3, 4, 5]]}', "application/json", 422, "inputs.member[0]"),
        (b'{"rows": [["1", 2, true, "a", 5]]}', "application/json", 422, "inputs.age[0]"),
        (b'{"rows": [[null, 2, true, "a", 5]]}', "application/json", 422, "inputs.age[0]"),
        (b"age\nx\n", "text/csv", 422, "inputs.income"),
        (b"{}", ARROW, 400, "body"),
        (stream(pa.table({"age": [1]})), ARROW, 422, "body.income"),
        (stream(pa.concat_tables([TABLE] * 400)), ARROW, 413, "body"),
        (json.dumps({"rows": ROWS * 400}).encode(), "application/json", 413, "inputs.age"),
    ],
    ids=str,
)
def test_bad_requests_name_the_field(tmp_path: Path, body: bytes, kind: str, status: int, field: str) -> None:
    async def test(scene: Scene) -> None:
        answer = await scene.post(SCORE, content=body, headers={"content-type": kind}, status=status)
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["field"] == field
        await scene.post("/endpoints/nobody/score", content=body, status=404)

    assert with_scene(tmp_path, test) == []


def test_large_tables_take_the_road_beside_the_event_loop(tmp_path: Path) -> None:
    numbers = np.random.default_rng(5).normal(size=(1000, 2))
    wide = pa.table({"x": numbers[:, 0], "y": numbers[:, 1]})
    padded = wide.replace_schema_metadata({"notes": "x" * (1 << 20)})
    blanks = " " * (1 << 20)

    async def test(scene: Scene) -> None:
        for parts in (in_arrow(padded), {"content": json.dumps({"rows": numbers.tolist()}) + blanks}):
            answer = await scene.post(SCORE, **parts)
            told = (
                table_of(answer)["value"].to_pylist()
                if "headers" in parts
                else [row["value"] for row in answer.json()["rows"]]
            )
            assert told == numbers.sum(axis=1).tolist()

    with_scene(tmp_path, test, Times(1.0))


def test_arrow_is_loaded_by_the_first_table_only() -> None:
    program = "import sys, tsavo.rest; print('pyarrow' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
