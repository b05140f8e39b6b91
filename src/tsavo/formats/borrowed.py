"""Steps that skl2onnx converts, spliced into our graph.

skl2onnx knows over a hundred estimators. Each borrowed step is converted by itself, with one input tensor, so that a
converter that handles one estimator well is not disturbed by what stands before it.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from typing import Any, Final

import numpy as np
from onnx import ModelProto, TensorProto, compose, helper

from tsavo.formats.answers import Answer, class_values, valued
from tsavo.formats.graph import ONNX_OPSET, ONNX_TYPES, CannotCompile, Graph, NeedsOlderTrees, Table

__all__ = ["borrow_predictor", "borrow_transformer"]

# Operators that ai.onnx.ml 5 has withdrawn.
_OLD_TREES: Final = frozenset({"TreeEnsembleClassifier", "TreeEnsembleRegressor"})
_OLD_ML_OPSET: Final = 3


def borrow_predictor(graph: Graph, estimator: Any, table: Table) -> tuple[Answer, ...]:
    """The public outputs of an estimator with ``predict``."""
    outputs = _splice(graph, estimator, table)
    if hasattr(estimator, "classes_") and hasattr(estimator, "predict"):
        classes, dtype = class_values(estimator)
        label = _typed(graph, graph.flatten(outputs[0]), ONNX_TYPES[dtype], string=dtype == "string")
        answers = [Answer("label", label, dtype)]
        if hasattr(estimator, "predict_proba") and len(outputs) > 1:
            answers.append(Answer("probabilities", graph.float64(outputs[1]), "float64", len(classes)))
        return tuple(answers)
    if hasattr(estimator, "decision_function") and hasattr(estimator, "offset_"):
        label = _typed(graph, graph.flatten(outputs[0]), TensorProto.INT64)
        return (
            Answer("score", graph.flatten(graph.float64(outputs[1])), "float64"),
            Answer("label", label, "int64"),
        )
    if hasattr(estimator, "labels_"):
        return (Answer("label", _typed(graph, graph.flatten(outputs[0]), TensorProto.INT64), "int64"),)
    width = _targets(estimator)
    return valued(graph, graph.float64(outputs[0]), width)


def borrow_transformer(graph: Graph, step: Any, table: Table) -> Table:
    """The columns that a transformer makes; they must be numbers."""
    output = _splice(graph, step, table)[0]
    try:
        width = len(step.get_feature_names_out())
    except (AttributeError, ValueError) as error:
        raise CannotCompile(f"{type(step).__name__} does not say how many columns it makes") from error
    return graph.table(graph.float64(output), width)


def _targets(estimator: Any) -> int | None:
    """How many values a regression predicts; ``None`` for one, as [n]."""
    shape = np.shape(estimator.predict(np.zeros((1, estimator.n_features_in_))))
    return int(shape[1]) if len(shape) == 2 else None


def _typed(graph: Graph, tensor: str, onnx_type: int, *, string: bool = False) -> str:
    return tensor if string else graph.node("Cast", tensor, to=onnx_type)


def _splice(graph: Graph, estimator: Any, table: Table) -> list[str]:
    model = _convert(graph, estimator, table)
    operators = {node.op_type for node in model.graph.node}
    if graph.ml_opset > _OLD_ML_OPSET and operators & _OLD_TREES:
        raise NeedsOlderTrees
    part = compose.add_prefix(model, f"{graph.name(type(estimator).__name__)}/").graph
    matrix = graph.matrix(table)
    if graph.float32 and table[0].kind == "number":
        matrix = graph.node("Cast", matrix, to=TensorProto.FLOAT)
    graph.nodes.append(helper.make_node("Identity", [matrix], [part.input[0].name]))
    graph.nodes.extend(part.node)
    graph.constants.extend(part.initializer)
    graph.borrowed.append(type(estimator).__name__)
    return [output.name for output in part.output]


def _convert(graph: Graph, estimator: Any, table: Table) -> ModelProto:
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, StringTensorType

    if len(table.kinds()) > 1:
        raise CannotCompile(f"{type(estimator).__name__} takes numbers and strings together")
    if table[0].kind == "string":
        tensor = StringTensorType([None, len(table)])
    else:
        tensor = (FloatTensorType if graph.float32 else DoubleTensorType)([None, len(table)])
    try:
        options = {id(estimator): {"zipmap": False}} if hasattr(estimator, "predict_proba") else None
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            model: ModelProto = convert_sklearn(
                estimator,
                initial_types=[("X", tensor)],
                options=options,
                target_opset={"": ONNX_OPSET, "ai.onnx.ml": _OLD_ML_OPSET},
            )
    except Exception:  # a converter may fail in any way; all of them mean that this road is closed
        raise CannotCompile(f"{type(estimator).__name__} has no converter that works") from None
    if {entry.domain for entry in model.opset_import} - {"", "ai.onnx", "ai.onnx.ml"} or model.functions:
        raise CannotCompile(f"{type(estimator).__name__} needs operators that onnxruntime does not have")
    return model
