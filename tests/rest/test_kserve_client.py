"""KServe's published REST client, unmodified, in an environment of its own because of what it needs beside it."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.environments import fresh_environment
from tests.grpc_door.test_kserve import KSERVE
from tests.rest.served import Echo, echo, served
from tsavo.vocabulary import Damaged, Field, Route, TsavoError, VersionRef

PROGRAM = Path(__file__).parent / "kserve_calls.py"
MIXED = echo(
    Field("whole", "int64"),
    Field("small", "int32"),
    Field("number", "float64", nullable=True),
    Field("single", "float32", nullable=True),
    Field("yes", "bool"),
    Field("text", "string"),
)
MATRIX = echo(*(Field(name, "float64", nullable=True) for name in "abc"))
BACK = {
    "same_whole": repr([1, 2**62]),
    "same_small": repr([0, -(2**31)]),
    "same_number": "[0.1, nan]",
    "same_single": "[0.5, nan]",
    "same_yes": "[True, False]",
    "same_text": repr(["voi", "☃"]),
    "role": "champion",
}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("kserve")
    python = fresh_environment(folder / "environment", KSERVE)
    mixed, matrix, broken = (VersionRef(name, 1) for name in ("mixed", "matrix", "broken"))
    routes = [Route(ref.model, place, ref) for place, ref in enumerate((mixed, matrix, broken))]
    versions: dict[VersionRef, Echo | TsavoError] = {
        mixed: MIXED,
        matrix: MATRIX,
        broken: Damaged("its file is gone"),
    }
    with served(folder, versions, routes) as door:
        words = [str(python), str(PROGRAM), door.url]
        done = subprocess.run(words, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_it_finds_out_who_is_there(told: Any) -> None:
    assert [told["v2"][name] for name in ("live", "ready", "model", "nobody")] == [True, True, True, False]
    assert [told["v1"][name] for name in ("live", "model", "broken")] == [True, True, False]


@pytest.mark.parametrize("way", ["binary", "json"])
def test_a_column_of_every_kind_goes_there_and_back(told: Any, way: str) -> None:
    assert told["v2"][way] == BACK | {"id": way}


def test_a_matrix_of_every_datatype_is_taken(told: Any) -> None:
    answers = {name: outputs for name, outputs in told["v2"].items() if name.startswith(("binary ", "json "))}
    assert len(answers) == 11 + 10
    assert all(outputs == [[1, 4], [2, 5], [3, 6]] for outputs in answers.values())


def test_predictions_of_version_1(told: Any) -> None:
    assert told["v1"]["predicted"] == {
        "predictions": [
            {"same_a": 1.0, "same_b": 2.0, "same_c": None},
            {"same_a": 4.0, "same_b": 5.0, "same_c": 6.0},
        ]
    }


def test_refusals_arrive(told: Any) -> None:
    assert "422" in told["v2"]["refused"]
    assert "422" in told["v1"]["refused"]
