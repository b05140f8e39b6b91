from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tests.examples import example_version
from tsavo.formats.needed_libraries import needed_libraries, perhaps_needed
from tsavo.vocabulary import Environment, Version

THERE = {
    "numpy": "2.4.6",
    "pandas": "3.1.1",
    "scipy": "1.17.1",
    "scikit-learn": "1.9.1",
    "joblib": "1.6.0",
    "skl2onnx": "1.20.0",
    "onnxruntime": "1.31.1",
    "xgboost-cpu": "3.2.0",
    "catboost": "1.2.10",
    "torch": "2.13.0+cpu",
}


def version(source: Any, framework: str) -> Version:
    made = example_version()
    lineage = msgspec.structs.replace(
        made.lineage, source_format=source, framework=framework, libraries=THERE
    )
    return msgspec.structs.replace(made, lineage=lineage)


@pytest.mark.parametrize(
    ("source", "framework", "certain", "perhaps"),
    [
        ("skops", "scikit-learn 1.9.1", {"scikit-learn", "joblib"}, {"xgboost-cpu", "catboost"}),
        ("xgboost", "xgboost 3.2.0", {"xgboost-cpu"}, set()),
        ("catboost", "catboost 1.2.10", {"catboost"}, set()),
        ("torch-export", "torch 2.13.0", {"torch"}, set()),
        ("torchscript", "torch 2.13.0", {"torch"}, set()),
        ("pickle", "xgboost 3.2.0", {"scikit-learn", "joblib", "xgboost-cpu"}, {"catboost"}),
    ],
)
def test_what_a_source_needs_and_no_more(
    source: str, framework: str, certain: set[str], perhaps: set[str]
) -> None:
    made = version(source, framework)
    assert set(needed_libraries(made)) == certain | {"numpy", "pandas", "scipy"}
    assert set(perhaps_needed(made)) == perhaps


def test_a_build_for_one_machine_is_no_other_release() -> None:
    assert needed_libraries(version("torch-export", "torch 2.13.0"))["torch"] == "2.13.0"


def test_an_environment_says_it_all() -> None:
    made = msgspec.structs.replace(
        version("pickle", "scikit-learn 1.7.2"),
        environment=Environment("d", "3.12", "l", ("scikit-learn==1.7.2", "numpy==2.1.0")),
    )
    assert needed_libraries(made) == {"scikit-learn": "1.7.2", "numpy": "2.1.0"}
    assert perhaps_needed(made) == {}
