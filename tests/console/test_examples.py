from __future__ import annotations

import json
import shlex

import pytest

from tests.examples import CLASSIFIER
from tsavo.console.examples import curl_example
from tsavo.vocabulary import DType, Field, Signature

URL = "http://127.0.0.1:8080/v2/models/m/infer"


def body_of(signature: Signature) -> list[dict[str, object]]:
    """What a shell would hand to curl."""
    words = shlex.split(curl_example(URL, signature))
    assert words[:4] == ["curl", "-s", URL, "-d"]
    inputs: list[dict[str, object]] = json.loads(words[4])["inputs"]
    return inputs


def test_every_input_is_there_once_in_order() -> None:
    inputs = body_of(CLASSIFIER)
    assert [tensor["name"] for tensor in inputs] == [field.name for field in CLASSIFIER.inputs]
    assert inputs[0]["data"] == [54]
    assert inputs[1]["data"] == ["nairobi"]


@pytest.mark.parametrize(
    ("dtype", "datatype", "kind"),
    [
        ("float64", "FP64", float),
        ("float32", "FP32", float),
        ("int64", "INT64", int),
        ("int32", "INT32", int),
        ("bool", "BOOL", bool),
        ("string", "BYTES", str),
    ],
)
def test_every_type_has_a_value_of_its_own(dtype: DType, datatype: str, kind: type) -> None:
    (tensor,) = body_of(Signature((Field("x", dtype),), (), "generic"))
    assert tensor["datatype"] == datatype
    assert isinstance(tensor["data"], list)
    assert type(tensor["data"][0]) is kind


def test_quotes_survive_the_shell() -> None:
    field = Field("city's name", "string", categories=("Côte d'Ivoire", "; rm -rf $HOME `x`"))
    (tensor,) = body_of(Signature((field,), (), "generic"))
    assert (tensor["name"], tensor["data"]) == ("city's name", ["Côte d'Ivoire"])
