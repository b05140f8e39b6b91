from __future__ import annotations

from typing import Any

import pytest
from tritonclient.grpc import model_config_pb2, service_pb2

from tsavo.grpc.messages import PACKAGE, SERVICE, message

NAMES = sorted(
    name
    for name in [
        *service_pb2.DESCRIPTOR.message_types_by_name,
        *model_config_pb2.DESCRIPTOR.message_types_by_name,
    ]
    if name.startswith(("Server", "Model", "Infer", "Repository", "Statistic"))
)


def theirs(name: str) -> Any:
    return getattr(service_pb2, name, None) or getattr(model_config_pb2, name)


def ours() -> list[str]:
    found = []
    for name in NAMES:
        try:
            message(name)
        except KeyError:
            continue
        found.append(name)
    return found


def compare(mine: Any, other: Any) -> int:
    """Each field of ours is the published one, by name, number, type and label; return how many there are."""
    assert mine.full_name == other.full_name
    count = 0
    for field in mine.fields:
        published = other.fields_by_name[field.name]
        assert field.number == published.number, field.full_name
        assert field.is_repeated == published.is_repeated, field.full_name
        # An enumeration is its number on the wire.
        kind = published.TYPE_INT32 if published.type == published.TYPE_ENUM else published.type
        assert field.type == kind, field.full_name
        assert (field.containing_oneof is None) == (published.containing_oneof is None), field.full_name
        count += 1
        if field.message_type is not None:
            assert field.message_type.GetOptions().map_entry == published.message_type.GetOptions().map_entry
            if field.message_type.containing_type is mine:
                count += compare(field.message_type, published.message_type)
    return count


def test_every_field_is_that_of_the_published_client() -> None:
    names = ours()
    assert {"ModelInferRequest", "ModelInferResponse", "InferTensorContents", "ModelConfig"} <= set(names)
    assert sum(compare(message(name).DESCRIPTOR, theirs(name).DESCRIPTOR) for name in names) > 100
    assert service_pb2.DESCRIPTOR.package == PACKAGE
    assert service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"].full_name == SERVICE


def test_what_is_needed_to_answer_an_inference_is_whole() -> None:
    for name in ("ModelInferRequest", "ModelInferResponse", "InferTensorContents", "InferParameter"):
        published = theirs(name).DESCRIPTOR
        assert [field.name for field in message(name).DESCRIPTOR.fields] == [f.name for f in published.fields]


def test_both_read_what_the_other_wrote() -> None:
    mine = message("ModelInferRequest")(model_name="credit", id="7")
    mine.parameters["a"].uint64_param = 2**64 - 1
    tensor = mine.inputs.add(name="x", datatype="FP32", shape=[2])
    tensor.contents.fp32_contents.extend([0.5, float("nan")])
    theirs_now = service_pb2.ModelInferRequest.FromString(mine.SerializeToString())
    assert theirs_now.parameters["a"].WhichOneof("parameter_choice") == "uint64_param"
    assert theirs_now.inputs[0].contents.fp32_contents[0] == 0.5
    back = message("ModelInferRequest").FromString(theirs_now.SerializeToString())
    assert back.SerializeToString(deterministic=True) == mine.SerializeToString(deterministic=True)


def test_a_choice_holds_one_value() -> None:
    parameter = message("InferParameter")(string_param="x")
    parameter.bool_param = True
    assert parameter.WhichOneof("parameter_choice") == "bool_param"


def test_a_message_that_is_not_there() -> None:
    with pytest.raises(KeyError):
        message("Nothing")
