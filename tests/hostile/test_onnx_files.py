"""ONNX files run in the gateway once they are registered: what could harm it there is refused here."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from skl2onnx import to_onnx
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LinearRegression

from tests.hostile.payloads import Scene
from tsavo.formats.onnx_limits import check_limits
from tsavo.vocabulary import TsavoError

ROWS = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])
OUT = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 2])


def _int64(name: str, *values: int) -> TensorProto:
    return numpy_helper.from_array(np.array(values, np.int64), name)


def _model(nodes: Sequence[NodeProto], constants: Sequence[TensorProto] = ()) -> ModelProto:
    graph = helper.make_graph(list(nodes), "g", [ROWS], [OUT], list(constants))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def _plain() -> ModelProto:
    return _model([helper.make_node("Identity", ["x"], ["y"])])


def _external(location: str) -> ModelProto:
    tensor = _int64("w", 1, 2)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    cast = [
        helper.make_node("Cast", ["w"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["x", "f"], ["y"]),
    ]
    return _model(cast, [tensor])


def _external_in_function() -> ModelProto:
    tensor = numpy_helper.from_array(np.zeros(2, np.float32), "w")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")
    inner = [
        helper.make_node("Constant", [], ["c"], value=tensor),
        helper.make_node("Add", ["a", "c"], ["b"]),
    ]
    function = helper.make_function("own", "F", ["a"], ["b"], inner, [helper.make_opsetid("", 18)])
    model = _model([helper.make_node("F", ["x"], ["y"], domain="own")])
    model.functions.append(function)
    model.opset_import.append(helper.make_opsetid("own", 1))
    return model


def _loop() -> ModelProto:
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["more"]),
            helper.make_node("Add", ["held", "held"], ["next"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("held", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("more", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, None),
        ],
    )
    true = numpy_helper.from_array(np.array(True), "true")
    return _model(
        [helper.make_node("Loop", ["n", "true", "x"], ["y"], body=body)], [_int64("n", 2**62), true]
    )


def _memory_by_value() -> ModelProto:
    """As many numbers as the first row says."""
    return _model(
        [
            helper.make_node("ReduceMax", ["x"], ["most"], keepdims=0),
            helper.make_node("Cast", ["most"], ["size"], to=TensorProto.INT64),
            helper.make_node("Reshape", ["size", "one"], ["shape"]),
            helper.make_node("ConstantOfShape", ["shape"], ["zeros"]),
            helper.make_node("ReduceSum", ["zeros"], ["sum"], keepdims=0),
            helper.make_node("Add", ["x", "sum"], ["y"]),
        ],
        [_int64("one", 1)],
    )


def _memory_by_constant(operator: str) -> ModelProto:
    made = helper.make_node(operator, ["shape"] if operator == "ConstantOfShape" else ["x", "shape"], ["big"])
    return _model(
        [
            made,
            helper.make_node("ReduceSum", ["big"], ["sum"], keepdims=0),
            helper.make_node("Add", ["x", "sum"], ["y"]),
        ],
        [_int64("shape", 1 << 20, 1 << 20)],
    )


def _vast_tensor() -> ModelProto:
    tensor = numpy_helper.from_array(np.zeros(2, np.float32), "w")
    tensor.dims[:] = [1 << 40]
    return _model([helper.make_node("Add", ["x", "w"], ["y"])], [tensor])


def _random() -> ModelProto:
    return _model(
        [
            helper.make_node("RandomNormal", [], ["r"], shape=[1 << 20, 1 << 20]),
            helper.make_node("ReduceSum", ["r"], ["s"], keepdims=0),
            helper.make_node("Add", ["x", "s"], ["y"]),
        ]
    )


def _other_domain() -> ModelProto:
    model = _model([helper.make_node("ReadFile", ["x"], ["y"], domain="com.evil")])
    model.opset_import.append(helper.make_opsetid("com.evil", 1))
    return model


def _functions_without_end() -> ModelProto:
    model = _model([helper.make_node("F0", ["x"], ["y"], domain="own")])
    model.opset_import.append(helper.make_opsetid("own", 1))
    for at in range(30):
        calls = [
            helper.make_node(
                f"F{at + 1}" if at < 29 else "Identity", ["a"], ["c"], domain="own" if at < 29 else ""
            ),
            helper.make_node(
                f"F{at + 1}" if at < 29 else "Identity", ["c"], ["b"], domain="own" if at < 29 else ""
            ),
        ]
        imports = [helper.make_opsetid("", 18), helper.make_opsetid("own", 1)]
        model.functions.append(helper.make_function("own", f"F{at}", ["a"], ["b"], calls, imports))
    return model


def _deep() -> ModelProto:
    inner = [helper.make_node("Identity", ["x"], ["leaf"])]
    name = "leaf"
    for at in range(12):
        branch = helper.make_graph(
            inner, f"b{at}", [], [helper.make_tensor_value_info(name, TensorProto.FLOAT, None)]
        )
        name = f"o{at}"
        inner = [
            helper.make_node(
                "If", ["true"], [name], then_branch=branch, else_branch=helper.make_graph([], "e", [], [])
            )
        ]
    return _model(
        [*inner, helper.make_node("Identity", [name], ["y"])],
        [numpy_helper.from_array(np.array(True), "true")],
    )


HARM = {
    "external": lambda: _external("weights.bin"),
    "external parent": lambda: _external("../../../etc/passwd"),
    "external absolute": lambda: _external("/etc/passwd"),
    "external in a function": _external_in_function,
    "loop": _loop,
    "memory by value": _memory_by_value,
    "memory by constant": lambda: _memory_by_constant("ConstantOfShape"),
    "expanded": lambda: _memory_by_constant("Expand"),
    "tiled": lambda: _memory_by_constant("Tile"),
    "vast tensor": _vast_tensor,
    "random": _random,
    "another domain": _other_domain,
    "functions": _functions_without_end,
    "deep": _deep,
}


@pytest.mark.parametrize("name", HARM)
def test_harmful_graphs_are_refused(scene: Scene, name: str) -> None:
    error = scene.refused(scene.file(HARM[name]().SerializeToString(), "model.onnx"), "onnx")
    assert error.kind in {"refused", "too-large", "unreadable"}


@pytest.mark.parametrize("name", [name for name in HARM if name != "vast tensor"])
def test_they_are_refused_for_what_they_are(name: str) -> None:
    """Without running them: the rows that wake a bomb need not be among those that are tried."""
    with pytest.raises(TsavoError) as refusal:
        check_limits(HARM[name]())
    assert refusal.value.next_step or refusal.value.expected


def test_graphs_of_real_models_pass() -> None:
    random = np.random.default_rng(0)
    rows = random.normal(size=(40, 3)).astype(np.float32)
    check_limits(_plain())
    check_limits(to_onnx(LinearRegression().fit(rows, rows[:, 0]), rows[:1]))
    check_limits(to_onnx(RandomForestClassifier(5).fit(rows, rows[:, 0] > 0), rows[:1]))


def test_truncated_and_flipped_files(scene: Scene) -> None:
    rows = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32)
    whole = to_onnx(
        RandomForestClassifier(3, max_depth=3).fit(rows, rows[:, 0] > 0), rows[:1]
    ).SerializeToString()
    random = np.random.default_rng(1)
    for share in (0.1, 0.5, 0.99):
        error = scene.refused(scene.file(whole[: int(len(whole) * share)], "model.onnx"), "onnx")
        assert error.kind in {"unreadable", "refused"}
    for _ in range(8):
        flipped = bytearray(whole)
        flipped[random.integers(2, len(whole))] ^= 1 << random.integers(0, 8)
        try:
            scene.register(scene.file(bytes(flipped), "model.onnx"), "onnx")
        except TsavoError as error:
            assert error.kind in {"unreadable", "refused", "invalid", "disagreement", "too-large"}
        scene.nothing_happened()


def test_forged_trees_harm_nobody_but_their_worker(scene: Scene) -> None:
    rows = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32)
    model = to_onnx(RandomForestClassifier(3, max_depth=3).fit(rows, rows[:, 0] > 0), rows[:1])
    for field in ("nodes_truenodeids", "nodes_falsenodeids", "nodes_featureids", "class_ids"):
        forged = ModelProto()
        forged.CopyFrom(model)
        for node in forged.graph.node:
            for attribute in node.attribute:
                if attribute.name == field:
                    attribute.ints[0] = sys.maxsize if field == "nodes_featureids" else 2**31 - 1
        try:
            scene.register(scene.file(forged.SerializeToString(), "model.onnx"), "onnx")
        except TsavoError as error:
            assert error.kind in {"unreadable", "refused", "invalid", "disagreement"}
        scene.nothing_happened()


def test_a_folder_beside_the_file_is_out_of_reach(scene: Scene) -> None:
    (scene.folder / "weights.bin").write_bytes(np.zeros(2, np.int64).tobytes())
    path: Path = scene.file(_external("weights.bin").SerializeToString(), "model.onnx")
    assert scene.refused(path, "onnx").kind == "refused"
