"""ONNX files from elsewhere, prepared in this process: they are our own tests' files and carry no code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from skl2onnx import to_onnx
from sklearn.ensemble import IsolationForest
from sklearn.linear_model import LinearRegression, LogisticRegression

from tsavo.runtimes import OnnxRuntime, PrepareJob
from tsavo.runtimes.describing import PreparedVersion
from tsavo.runtimes.onnx_files import prepare_onnx
from tsavo.runtimes.reference import ReferenceRows
from tsavo.vocabulary import Batch, Hints, Invalid, Refused, Unreadable

RANDOM = np.random.default_rng(5)
X = RANDOM.normal(size=(200, 3)).astype(np.float32)
TWO = (X[:, 0] > 0).astype(np.int64)
NO_HINTS = Hints()


def _prepare(
    model: Any, folder: Path, hints: Hints = NO_HINTS, **job: Any
) -> tuple[PreparedVersion, ReferenceRows]:
    source = folder / "source.onnx"
    source.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    version, reference, framework = prepare_onnx(
        PrepareJob(source, "onnx", hints=hints, **job), folder / "artifact.onnx"
    )
    assert framework.startswith("onnx (")
    return version, reference


def _served(version: PreparedVersion, folder: Path) -> OnnxRuntime:
    return OnnxRuntime(folder / "artifact.onnx", version.signature)


def _own(nodes: list[Any], inputs: list[Any], outputs: list[Any], constants: list[Any] | None = None) -> Any:
    graph = helper.make_graph(nodes, "g", inputs, outputs, constants or [])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 19)], ir_version=9)


@pytest.mark.parametrize("zipmap", [True, False], ids=["dictionaries", "matrix"])
def test_a_classifier_with_or_without_dictionaries(tmp_path: Path, zipmap: bool) -> None:
    model = LogisticRegression().fit(X, np.where(TWO, "yes", "no"))
    source = to_onnx(model, X[:1], options={"zipmap": zipmap})
    version, _ = _prepare(source, tmp_path)
    signature = version.signature
    assert [(output.name, output.width) for output in signature.outputs] == [
        ("label", None),
        ("probabilities", 2),
    ]
    assert (signature.task, signature.classes) == ("binary", ("no", "yes"))
    assert signature.matrix_dtype == "float32"
    assert not any(field.nullable for field in signature.inputs)
    label, probabilities = _served(version, tmp_path).predict(Batch(200, X))
    np.testing.assert_array_equal(label, model.predict(X))
    np.testing.assert_allclose(probabilities, model.predict_proba(X), atol=1e-6)


def test_a_regression_takes_its_names_from_the_reference(tmp_path: Path) -> None:
    model = LinearRegression().fit(X, X[:, 0] * 2)
    reference = tmp_path / "reference.csv"
    rows = "\n".join(",".join(map(str, row)) for row in np.c_[X, X[:, 0] * 2].tolist())
    reference.write_text(f"length,width,height,price\n{rows}\n")
    version, rows_read = _prepare(to_onnx(model, X[:1]), tmp_path, reference=reference, target="price")
    assert [field.name for field in version.signature.inputs] == ["length", "width", "height"]
    assert version.signature.inputs[0].low == pytest.approx(X[:, 0].min())
    assert version.signature.task == "regression"
    (value,) = _served(version, tmp_path).predict(Batch(200, X))
    assert value.shape == (200,)
    np.testing.assert_allclose(value, model.predict(X), rtol=1e-5, atol=1e-5)
    assert rows_read.rows == 200
    with pytest.raises(Invalid, match="another number of columns"):
        _prepare(to_onnx(model, X[:1]), tmp_path, reference=reference)


def test_an_anomaly_model_gives_score_and_label(tmp_path: Path) -> None:
    model = IsolationForest(n_estimators=10, random_state=0).fit(X)
    version, _ = _prepare(to_onnx(model, X[:1], target_opset={"": 19, "ai.onnx.ml": 3}), tmp_path)
    assert version.signature.task == "anomaly"
    assert [output.name for output in version.signature.outputs] == ["score", "label"]
    np.testing.assert_array_equal(_served(version, tmp_path).predict(Batch(200, X))[1], model.predict(X))


def test_one_tensor_a_column(tmp_path: Path) -> None:
    """A double column [n, 1], an integer column [n], and text: named as in the file."""
    inputs = [
        helper.make_tensor_value_info("size", TensorProto.DOUBLE, [None, 1]),
        helper.make_tensor_value_info("count", TensorProto.INT64, [None]),
        helper.make_tensor_value_info("colour", TensorProto.STRING, [None, 1]),
    ]
    nodes = [
        helper.make_node("Reshape", ["size", "flat"], ["s"]),
        helper.make_node("Cast", ["count"], ["c"], to=TensorProto.DOUBLE),
        helper.make_node("Mul", ["s", "c"], ["value"]),
        helper.make_node("Reshape", ["colour", "flat"], ["label"]),
    ]
    outputs = [
        helper.make_tensor_value_info("value", TensorProto.DOUBLE, [None]),
        helper.make_tensor_value_info("label", TensorProto.STRING, [None]),
    ]
    flat = numpy_helper.from_array(np.array([-1]), "flat")
    version, _ = _prepare(_own(nodes, inputs, outputs, [flat]), tmp_path, Hints(task="generic"))
    assert [(field.name, field.dtype) for field in version.signature.inputs] == [
        ("size", "float64"),
        ("count", "int64"),
        ("colour", "string"),
    ]
    colours: npt.NDArray[Any] = np.array(["red", "blue"], dtype=object)
    value, label = _served(version, tmp_path).predict(
        Batch(2, None, (np.array([1.5, 2.0]), np.array([2, 3]), colours))
    )
    assert value.tolist() == [3.0, 6.0]
    assert label.tolist() == ["red", "blue"]


def test_external_data_is_refused(tmp_path: Path) -> None:
    model = to_onnx(LinearRegression().fit(X, X[:, 0]), X[:1])
    tensor = numpy_helper.from_array(np.zeros((3, 3), np.float32), "big")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "/etc/passwd"
    model.graph.initializer.append(tensor)
    with pytest.raises(Refused, match="other files"):
        _prepare(model, tmp_path)


@pytest.mark.parametrize("branch", [False, True], ids=["in a node", "in a branch of a node"])
def test_external_data_deeper_inside_is_refused(tmp_path: Path, branch: bool) -> None:
    tensor = numpy_helper.from_array(np.zeros(1, np.float32))
    tensor.ClearField("raw_data")
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../secret"
    constant = helper.make_node("Constant", [], ["c"], value=tensor)
    nodes = [constant]
    if branch:
        inner = helper.make_graph(
            [constant], "branch", [], [helper.make_tensor_value_info("c", TensorProto.FLOAT, [1])]
        )
        yes = helper.make_node("Constant", [], ["yes"], value=numpy_helper.from_array(np.array(True)))
        nodes = [yes, helper.make_node("If", ["yes"], ["c"], then_branch=inner, else_branch=inner)]
    nodes.append(helper.make_node("Add", ["x", "c"], ["y"]))
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 1])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])
    with pytest.raises(Refused, match="other files"):
        _prepare(_own(nodes, [x], [y]), tmp_path)


@pytest.mark.parametrize("shape", [[1, 3], [None, None], [None, 3, 3]], ids=str)
def test_inputs_that_are_no_table_are_refused(tmp_path: Path, shape: list[int | None]) -> None:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)
    with pytest.raises(Refused, match="table of rows"):
        _prepare(_own([helper.make_node("Neg", ["x"], ["y"])], [x], [y]), tmp_path)


def test_operators_of_others_are_refused(tmp_path: Path) -> None:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 2])
    model = _own([helper.make_node("Exfiltrate", ["x"], ["y"], domain="evil")], [x], [y])
    model.opset_import.append(helper.make_opsetid("evil", 1))
    with pytest.raises(Refused, match="operators that are not ONNX's own"):
        _prepare(model, tmp_path)


def test_invalid_graphs_are_unreadable(tmp_path: Path) -> None:
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 2])
    with pytest.raises(Unreadable):
        _prepare(_own([helper.make_node("Neg", ["nowhere"], ["y"])], [x], [y]), tmp_path)
    with pytest.raises(Unreadable):
        _prepare(b"\x08\x09\x12\xff\xff", tmp_path)
    assert onnx.__version__
