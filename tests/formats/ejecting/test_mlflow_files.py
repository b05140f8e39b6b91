from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
import yaml

from tests.examples import example_version
from tsavo.formats.ejecting.mlflow_files import environment_files, mlmodel
from tsavo.vocabulary import Environment, Field, Output, Signature, Version


def version(**changes: Any) -> Version:
    return msgspec.structs.replace(example_version(), number=3, **changes)


def requirements(given: Version) -> list[str]:
    return environment_files(given)["requirements.txt"].decode().splitlines()


@pytest.mark.parametrize(
    "name",
    [
        "it's",
        'say "so"',
        "a: b",
        "# no comment",
        "tab\tand\nline",
        "nul\x00",
        "é 語 🦁",
        "\x85\u2028\ufeff",
        "yes",
        "- x",
    ],
)
def test_any_name_survives_yaml(name: str) -> None:
    signature = Signature((Field(name, "float64"),), (Output("value", "float64"),), "regression")
    told = yaml.safe_load(mlmodel(version(signature=signature), "package", example=True))
    assert [column["name"] for column in json.loads(told["signature"]["inputs"])] == [name]


def test_columns_have_the_types_that_mlflow_knows() -> None:
    dtypes = ("float64", "float32", "int64", "int32", "bool", "string")
    signature = Signature(
        tuple(Field(dtype, dtype) for dtype in dtypes),  # type: ignore[arg-type]
        (Output("label", "int64"), Output("probabilities", "float32", 2)),
        "binary",
        (0, 1),
    )
    told = yaml.safe_load(mlmodel(version(signature=signature), "package", example=False))
    inputs = json.loads(told["signature"]["inputs"])
    assert [column["type"] for column in inputs] == [
        "double",
        "float",
        "long",
        "integer",
        "boolean",
        "string",
    ]
    outputs = json.loads(told["signature"]["outputs"])
    assert [column["name"] for column in outputs] == ["label", "probabilities.0", "probabilities.1"]
    assert "saved_input_example_info" not in told
    assert told["utc_time_created"] == "2026-03-01 12:00:00.000000"


def test_a_compiled_version_needs_three_libraries_as_they_were() -> None:
    made = version()
    lineage = msgspec.structs.replace(
        made.lineage,
        libraries={"numpy": "2.4.6", "onnxruntime": "1.31.1", "pandas": "3.1.1", "torch": "2.13.0"},
    )
    assert requirements(version(lineage=lineage)) == ["numpy==2.4.6", "onnxruntime==1.31.1", "pandas==3.1.1"]


def test_a_version_with_an_environment_needs_just_that() -> None:
    environment = Environment("d", "3.12", "l", ("numpy==2.1.0", "six==1.16.0", "--find-links=evil"))
    made = version(runtime="python", environment=environment)
    assert requirements(made) == ["numpy==2.1.0", "six==1.16.0", "msgspec", "pandas"]
    told = environment_files(made)
    assert yaml.safe_load(told["python_env.yaml"])["python"] == "3.12"
    assert yaml.safe_load(told["conda.yaml"])["dependencies"][0] == "python=3.12"
