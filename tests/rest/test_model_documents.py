from __future__ import annotations

from datetime import UTC, datetime

from tsavo.rest.model_documents import configuration, metadata
from tsavo.runtimes import RuntimeState
from tsavo.vocabulary import Field, Lineage, Output, Signature, Version

VERSION = Version(
    "credit",
    3,
    "d" * 64,
    "a" * 64,
    1,
    "onnx",
    Signature(
        (
            Field("age", "int64"),
            Field("income", "float32", nullable=True),
            Field("city", "string", categories=("nairobi", "voi"), unseen="refuse"),
        ),
        (Output("label", "string"), Output("probabilities", "float64", 2)),
        "binary",
        ("no", "yes"),
    ),
    Lineage("me", "f", "skops", "s" * 64, "none"),
    (),
    datetime(2026, 1, 1, tzinfo=UTC),
)


def test_the_metadata_say_what_to_send_and_what_comes_back() -> None:
    state = RuntimeState("ready")
    told = metadata("loans", VERSION, state, [3, 1])
    assert told["name"] == "loans"
    assert told["versions"] == ["3", "1"]
    assert told["inputs"] == [
        {"name": "age", "datatype": "INT64", "shape": [-1], "parameters": {"nullable": False}},
        {"name": "income", "datatype": "FP32", "shape": [-1], "parameters": {"nullable": True}},
        {
            "name": "city",
            "datatype": "BYTES",
            "shape": [-1],
            "parameters": {"nullable": False, "categories": ("nairobi", "voi"), "unseen": "refuse"},
        },
    ]
    assert told["outputs"] == [
        {"name": "label", "datatype": "BYTES", "shape": [-1]},
        {"name": "probabilities", "datatype": "FP64", "shape": [-1, 2]},
    ]
    assert told["parameters"]["classes"] == ("no", "yes")
    assert told["parameters"]["state"] is state


def test_the_configuration_has_the_names_and_shapes_of_the_metadata() -> None:
    told = configuration("loans", VERSION)
    described = metadata("loans", VERSION, RuntimeState("ready"), [3])
    assert (told["name"], told["platform"]) == (described["name"], described["platform"])
    for configured, tensors in (("input", "inputs"), ("output", "outputs")):
        assert [(tensor["name"], tensor["dims"]) for tensor in told[configured]] == [
            (tensor["name"], tensor["shape"]) for tensor in described[tensors]
        ]
    assert [tensor["data_type"] for tensor in told["input"]] == ["TYPE_INT64", "TYPE_FP32", "TYPE_STRING"]
