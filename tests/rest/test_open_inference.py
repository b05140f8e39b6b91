from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from tsavo.endpoints import Answer
from tsavo.rest.open_inference import InferRequest, decode_request, encode_answer
from tsavo.vocabulary import Field, Invalid, Output, Signature, Unreadable, VersionRef

REQUEST = "0197f0a0-0000-7000-8000-000000000000"


def body(**changes: Any) -> bytes:
    tensor = {"name": "x", "shape": [1], "datatype": "FP64", "data": [1.5]} | changes
    return json.dumps({"inputs": [tensor]}).encode()


def answer(signature: Signature, *outputs: Any) -> Answer:
    ref = VersionRef("credit", 3)
    rows = len(outputs[0])
    return Answer(REQUEST, "credit-risk", ref, "champion", rows, signature, outputs, (), {0: ["unseen:city"]})


def test_a_request_is_read() -> None:
    request = decode_request(
        b'{"id": "42", "inputs": [{"name": "x", "shape": [2], "datatype": "FP64", "data": [1.5, null]}],'
        b' "outputs": [{"name": "label"}], "parameters": {"anything": 1}}'
    )
    assert request.id == "42"
    assert request.wanted == ["label"]
    assert request.tensors[0].data == [1.5, None]
    assert request.tensors[0].shape == (2,)


def test_an_empty_list_of_outputs_asks_for_all() -> None:
    assert decode_request(body()[:-1] + b', "outputs": []}').wanted is None


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"\xff\xfe", b'{"inputs": [NaN]}', body().replace(b"1.5", b"[" * 100_000), b'{"inputs"'],
)
def test_what_is_not_json_cannot_be_read(text: bytes) -> None:
    with pytest.raises(Unreadable):
        decode_request(text)


def test_nan_is_explained() -> None:
    with pytest.raises(Unreadable) as caught:
        decode_request(body().replace(b"1.5", b"NaN"))
    assert "null" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        (b"[]", "body"),
        (b"{}", "body"),
        (b'{"inputs": {}}', "inputs"),
        (body(shape="x"), "inputs[0].shape"),
        (body(shape=[]), "inputs.x.shape"),
        (body(shape=[-1]), "inputs.x.shape"),
        (body(data=5), "inputs[0].data"),
        (body(datatype="DOUBLE"), "inputs.x.datatype"),
        (body(name=7), "inputs[0].name"),
    ],
)
def test_what_is_not_a_request_names_the_field(text: bytes, field: str) -> None:
    with pytest.raises(Invalid) as caught:
        decode_request(text)
    assert caught.value.field == field


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(text: bytes) -> None:
    try:
        decode_request(text)
    except (Invalid, Unreadable) as error:
        assert error.reason


REGRESSION = Signature((Field("x", "float64"),), (Output("value", "float32"),), "regression")


@given(
    npst.arrays(
        np.float32, st.integers(1, 5), elements=st.floats(width=32, allow_nan=False, allow_infinity=False)
    )
)
def test_floats_read_back_to_the_same_value(values: Any) -> None:
    written = json.loads(encode_answer(answer(REGRESSION, values), InferRequest(None, [], None)))
    assert np.array(written["outputs"][0]["data"], dtype=np.float32).tobytes() == values.tobytes()


def test_an_answer_carries_ids_version_role_and_flags() -> None:
    signature = Signature(
        (Field("x", "float64"),),
        (Output("label", "string"), Output("probabilities", "float64", 2)),
        "binary",
        ("no", "yes"),
    )
    labels = np.array(["no", "yes"], dtype=object)
    given_answer = answer(signature, labels, np.array([[0.75, 0.25], [0.1, 0.9]]))
    written = json.loads(encode_answer(given_answer, InferRequest("7", [], None)))
    assert written["id"] == "7"
    assert written["model_name"] == "credit-risk"
    assert written["parameters"] == {
        "decision_id": f"{REQUEST}:0",
        "version": "credit@3",
        "role": "champion",
        "flags": [],
        "row_flags": {"0": ["unseen:city"]},
    }
    assert written["outputs"] == [
        {"name": "label", "datatype": "BYTES", "shape": [2], "data": ["no", "yes"]},
        {"name": "probabilities", "datatype": "FP64", "shape": [2, 2], "data": [0.75, 0.25, 0.1, 0.9]},
    ]
    only = json.loads(encode_answer(given_answer, InferRequest(None, [], ["probabilities"])))
    assert [output["name"] for output in only["outputs"]] == ["probabilities"]
    assert only["id"] == REQUEST
    turned = json.loads(encode_answer(given_answer, InferRequest(None, [], ["probabilities", "label"])))
    assert turned["outputs"] == written["outputs"][::-1]


def test_a_missing_prediction_is_null() -> None:
    written = json.loads(
        encode_answer(answer(REGRESSION, np.array([math.nan], np.float32)), InferRequest(None, [], None))
    )
    assert written["outputs"][0]["data"] == [None]
