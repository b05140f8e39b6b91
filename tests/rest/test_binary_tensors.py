from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.rest.test_open_inference import answer
from tsavo.rest.binary_tensors import split_body
from tsavo.rest.open_inference import InferRequest, decode_request, encode_answer, encode_binary_answer
from tsavo.vocabulary import BadInput, Field, Invalid, Output, Signature, Unreadable

SIGNATURE = Signature(
    (Field("x", "float64"),),
    (Output("label", "string"), Output("probabilities", "float32", 2), Output("count", "int64")),
    "generic",
)
VALUES = (
    np.array(["no", None], object),
    np.array([[0.75, np.nan], [0.1, 0.9]], np.float32),
    np.array([1, -(2**60)]),
)


def request(*tensors: tuple[dict[str, Any], bytes], **rest: Any) -> tuple[bytes, bytes]:
    """The body and the header's value."""
    document = json.dumps({"inputs": [tensor for tensor, _ in tensors], **rest}).encode()
    return document + b"".join(raw for _, raw in tensors), str(len(document)).encode()


def tensor(name: str = "x", size: Any = 16, **changes: Any) -> dict[str, Any]:
    parameters = {"binary_data_size": size}
    return {"name": name, "shape": [2], "datatype": "FP64", "parameters": parameters} | changes


RAW = np.array([0.1, -2.5]).tobytes()


def refused(body: bytes, length: bytes | None) -> BadInput:
    with pytest.raises((Invalid, Unreadable)) as caught:
        decode_request(body, length)
    return caught.value


def test_binary_and_json_tensors_come_in_one_request() -> None:
    city = b"\x03\0\0\0voi\0\0\0\0"
    body, length = request(
        (tensor("a"), RAW),
        ({"name": "b", "shape": [2], "datatype": "INT64", "data": [1, 2]}, b""),
        (tensor("c", len(city), datatype="BYTES"), city),
    )
    read = decode_request(body, length)
    assert [given.name for given in read.tensors] == ["a", "b", "c"]
    assert np.asarray(read.tensors[0].data).tolist() == [0.1, -2.5]
    assert np.asarray(read.tensors[1].data).tolist() == [1, 2]
    assert read.tensors[2].data == ["voi", ""]


def test_a_missing_number_is_nan() -> None:
    body, length = request((tensor(), np.array([np.nan, 1.0]).tobytes()))
    assert np.isnan(decode_request(body, length).tensors[0].data[0])


def test_a_request_that_is_all_json_may_say_how_long_it_is() -> None:
    body, length = request(({"name": "x", "shape": [1], "datatype": "FP64", "data": [1.5]}, b""))
    assert decode_request(body, length).tensors[0].data == [1.5]


@pytest.mark.parametrize(
    ("asked", "rest", "raw"),
    [
        (None, {}, set()),
        (None, {"binary_data_output": False}, set()),
        (None, {"binary_data_output": True}, {"label", "probabilities", "count"}),
        ({"count": None, "label": None}, {}, set()),
        ({"count": None, "label": None}, {"binary_data_output": True}, {"count", "label"}),
        ({"count": True, "label": None}, {}, {"count"}),
        ({"count": None, "label": False}, {"binary_data_output": True}, {"count"}),
    ],
)
def test_outputs_are_binary_where_asked(asked: Any, rest: Any, raw: set[str]) -> None:
    outputs = None
    if asked is not None:
        outputs = [
            {"name": name} if said is None else {"name": name, "parameters": {"binary_data": said}}
            for name, said in asked.items()
        ]
    body, length = request((tensor(), RAW), outputs=outputs, parameters=rest)
    read = decode_request(body, length)
    whole, size = encode_binary_answer(answer(SIGNATURE, *VALUES), read)
    document = json.loads(whole[:size])
    assert [output["name"] for output in document["outputs"]] == list(
        asked or ("label", "probabilities", "count")
    )
    assert {output["name"] for output in document["outputs"] if "data" not in output} == raw
    sizes = [output.get("parameters", {}).get("binary_data_size", 0) for output in document["outputs"]]
    assert size + sum(sizes) == len(whole)
    # The door writes JSON only where nothing is binary.
    assert bool(read.binary is None or read.binary) == bool(raw)


def test_raw_outputs_are_the_values_bit_for_bit() -> None:
    whole, size = encode_binary_answer(answer(SIGNATURE, *VALUES), InferRequest(None, [], None, None))
    label = b"\x02\0\0\0no\0\0\0\0"
    assert whole[size:] == label + VALUES[1].tobytes() + VALUES[2].tobytes()
    described = json.loads(whole[:size])["outputs"]
    assert [(output["datatype"], output["shape"]) for output in described] == [
        ("BYTES", [2]),
        ("FP32", [2, 2]),
        ("INT64", [2]),
    ]


def test_nothing_but_the_data_differs_from_a_json_answer() -> None:
    plain = json.loads(encode_answer(answer(SIGNATURE, *VALUES), InferRequest("7", [], None)))
    whole, size = encode_binary_answer(answer(SIGNATURE, *VALUES), InferRequest("7", [], None, None))
    binary = json.loads(whole[:size])
    assert plain.pop("outputs") != binary.pop("outputs")
    assert plain == binary


@pytest.mark.parametrize(
    "length", [b"", b"-1", b"+5", b"1.5", b"x", b"0x10", b"9" * 30, b"0", b"10000", "٣".encode()]
)
def test_a_header_that_says_no_length_of_this_body(length: bytes) -> None:
    body, _ = request((tensor(), RAW))
    error = refused(body, length)
    assert error.field == "Inference-Header-Content-Length"


@pytest.mark.parametrize("change", [-1, 1, -20])
def test_a_header_that_ends_the_json_part_elsewhere(change: int) -> None:
    body, length = request((tensor(), RAW))
    assert isinstance(refused(body, str(int(length) + change).encode()), Unreadable)


@pytest.mark.parametrize("size", [-1, 17, 2**70, 1.5, "16", None, True, [16]])
def test_sizes_that_are_none_name_the_tensor(size: Any) -> None:
    error = refused(*request((tensor(size=size), RAW)))
    assert error.field == "inputs.x.parameters.binary_data_size"


@pytest.mark.parametrize(
    ("tensors", "field"),
    [
        # More or fewer bytes than shape and datatype take.
        ([(tensor("x", 8), RAW[:8])], "inputs.x.data"),
        ([(tensor("x", shape=[3]), RAW)], "inputs.x.data"),
        ([(tensor("x", datatype="FP32"), RAW)], "inputs.x.data"),
        ([(tensor("x", shape=[2**62, 2**62]), RAW)], "inputs.x.data"),
        ([(tensor("x", shape=[-2]), RAW)], "inputs.x.shape"),
        ([(tensor("x", shape=[]), RAW)], "inputs.x.shape"),
        ([(tensor("x", datatype="FP128"), RAW)], "inputs.x.datatype"),
        # Sizes that together are not the body's.
        ([(tensor("x"), RAW), (tensor("y"), RAW[:8])], "inputs.y.parameters.binary_data_size"),
        ([(tensor("x"), RAW + b"more")], "body"),
        # Twice, or not at all.
        ([(tensor("x", data=[1, 2]), RAW)], "inputs.x.data"),
        ([({"name": "x", "shape": [1], "datatype": "FP64"}, b"")], "inputs.x.data"),
        ([({"name": "x", "shape": [1], "datatype": "FP64", "parameters": {}}, b"")], "inputs.x.data"),
        # Strings.
        ([(tensor("x", datatype="BYTES"), b"\xff" * 16)], "inputs.x.data[0]"),
        ([(tensor("x", 9, datatype="BYTES"), b"\x01\0\0\0\xff\0\0\0\0")], "inputs.x.data[0]"),
        ([(tensor("x", 4, datatype="BYTES"), b"\0\0\0\0")], "inputs.x.data"),
        ([(tensor("x", 2, datatype="BOOL"), b"\x01\x07")], "inputs.x.data[1]"),
    ],
)
def test_what_does_not_fit_names_the_tensor(tensors: Any, field: str) -> None:
    assert refused(*request(*tensors)).field == field


def test_binary_tensors_need_the_header() -> None:
    body, _ = request((tensor(), b""))
    error = refused(body, None)
    assert error.field == "inputs.x.parameters.binary_data_size"
    assert "Inference-Header-Content-Length" in str(error.expected)


@pytest.mark.parametrize(
    ("rest", "field"),
    [
        ({"parameters": {"binary_data_output": "yes"}}, "body.parameters.binary_data_output"),
        ({"outputs": [{"name": "a", "parameters": {"binary_data": 1}}]}, "outputs.a.parameters.binary_data"),
        (
            {"outputs": [{"name": "a", "parameters": {"classification": 3}}]},
            "outputs.a.parameters.classification",
        ),
        ({"outputs": [{"name": "a"}, {"name": "b"}, {"name": "a"}]}, "outputs"),
    ],
)
def test_wishes_that_are_none_name_the_output(rest: Any, field: str) -> None:
    assert refused(*request((tensor(), RAW), **rest)).field == field


@given(st.integers(-5, 400), st.binary(max_size=40), st.integers(-1, 60))
def test_whatever_comes_is_read_or_refused_in_words(length: int, after: bytes, size: int) -> None:
    body, _ = request((tensor(size=size), after))
    try:
        decode_request(body, str(length).encode())
    except (Invalid, Unreadable) as error:
        assert error.field


def test_the_json_part_is_not_copied() -> None:
    body, length = request((tensor(), RAW))
    document, _ = split_body(body, length)
    assert document.obj is body
