from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What models that MLflow saved and loaded were given by us; in a process of its own."""
    if importlib.util.find_spec("mlflow") is None:
        pytest.skip("needs the extra 'mlflow'")
    folder = tmp_path_factory.mktemp("functions")
    program = Path(__file__).with_name("mlflow_functions.py")
    done = subprocess.run(
        [sys.executable, program, str(folder)],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads((folder / "found.json").read_text())
    return told


def test_every_column_has_the_type_that_the_signature_says(found: dict[str, Any]) -> None:
    types = dict(found["required"])
    assert types.pop("datetime").startswith("datetime64[")
    assert types.pop("string") in {"object", "str"}
    assert types == {
        "boolean": "bool",
        "integer": "int32",
        "long": "int64",
        "float": "float32",
        "double": "float64",
    }


def test_what_may_be_missing_is_whole_again_where_it_is_not(found: dict[str, Any]) -> None:
    types = found["optional"]
    assert (types["boolean"], types["integer"], types["long"]) == ("bool", "int32", "int64")


def test_tensors(found: dict[str, Any]) -> None:
    assert found["tensor"] == ["float32", [3, 2]]
    assert found["tensors"] == {"age": ["int64", [2]], "p": ["float64", [2, 2]]}


def test_models_with_code_of_their_own_are_kept_apart(found: dict[str, Any]) -> None:
    assert found["own"] == [["no", 0.25], ["yes", 0.75], ["no", 0.25], ["yes", 0.75]]


def test_the_framework(found: dict[str, Any]) -> None:
    named, version = found["framework"]
    assert named == f"mlflow {version}"
