"""Exported PyTorch programs as ONNX, operator by operator, in float32 as PyTorch computes.

The program is brought down to PyTorch's core operators first ("Core ATen IR" in its documentation); each of those
that models for tables use has its form here. An operator that is missing is named, and the Python worker runs the
model.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
from onnx import TensorProto

from tsavo.formats.answers import Answer, valued
from tsavo.formats.boosted import compiled_answers
from tsavo.formats.boosted_meaning import Meaning
from tsavo.formats.graph import CannotCompile, Graph, Table
from tsavo.formats.torch_operators import OPERATORS, Place, Translation
from tsavo.formats.torch_tensors import named_leaves
from tsavo.vocabulary import DType, Field

if TYPE_CHECKING:
    from tsavo.formats.torch_models import TorchOriginal

__all__ = ["torch_answers"]

_NAMED: Final[dict[str, DType]] = {"float32": "float64", "int64": "int64", "bool": "bool"}


def torch_answers(
    graph: Graph, original: TorchOriginal, program: Any, table: Table, fields: Sequence[Field]
) -> tuple[Answer, ...]:
    """The public outputs of `original`, whose program is `program` and whose columns are `table`.

    Raises
    ------
    CannotCompile
        When an operator has no form here, or the columns are not of the kind that it takes.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = program.run_decompositions()
    translation = Translation(graph)
    _place_inputs(translation, original, program, table, fields)
    outputs: Sequence[Any] = ()
    for node in program.graph.nodes:
        if node.op == "output":
            outputs = node.args[0]
        elif node.op == "call_function":
            _translate(translation, node)
        elif node.op != "placeholder":
            raise CannotCompile(f"its program holds a '{node.op}', which has no form in ONNX here")
    return _public(graph, original, program, translation, outputs)


def _place_inputs(
    translation: Translation, original: TorchOriginal, program: Any, table: Table, fields: Sequence[Field]
) -> None:
    graph, signature = translation.graph, program.graph_signature
    stored = {**program.constants, **program.state_dict}
    held = {
        **signature.inputs_to_parameters,
        **signature.inputs_to_buffers,
        **signature.inputs_to_lifted_tensor_constants,
    }
    for name, key in held.items():
        translation.numbers[name] = stored[key].detach().cpu().numpy()
    if signature.buffers_to_mutate or signature.user_inputs_to_mutate:
        raise CannotCompile("it changes itself while it answers")
    at = 0
    for name, part in zip(signature.user_inputs, original.inputs, strict=True):
        width = len(fields) if part.width == -1 else (part.width or 1)
        cells, at = table.select(range(at, at + width)), at + width
        if "string" in cells.kinds():
            raise CannotCompile("a tensor holds numbers, and there is text among the columns")
        whole = all(fields[place].dtype in {"int64", "bool"} for place in range(at - width, at))
        if part.dtype not in {"float32", "int64"}:
            raise CannotCompile(f"its input '{part.name}' is {part.dtype}")
        if part.dtype != "float32" and not whole:
            raise CannotCompile(
                f"its input '{part.name}' is {part.dtype}, and not all its columns are whole numbers"
            )
        kind = TensorProto.FLOAT if part.dtype == "float32" else TensorProto.INT64
        tensor = graph.node("Cast", graph.matrix(cells), to=kind)
        translation.tensors[name] = graph.flatten(tensor) if part.width is None else tensor


def _translate(translation: Translation, node: Any) -> None:
    name = str(node.target)
    if name == "aten.sym_size.int" or not node.users:
        return
    if "getitem" in name:
        source, at = node.args
        if at != 0:
            raise CannotCompile(f"it uses output {at} of the operator {source.target}")
        translation.tensors[node.name] = translation.tensors[source.name]
        return
    if (
        "val" in node.meta
        and not hasattr(node.meta["val"], "shape")
        and not isinstance(node.meta["val"], tuple)
    ):
        return  # a size, which the shapes of the tensors tell again
    operator = OPERATORS.get(name)
    if operator is None:
        raise CannotCompile(f"its operator {name} has no form in ONNX here")
    translation.tensors[node.name] = operator(translation, Place(node))


def _public(
    graph: Graph, original: TorchOriginal, program: Any, translation: Translation, outputs: Sequence[Any]
) -> tuple[Answer, ...]:
    tree = import_module("torch.utils._pytree")
    kept = [node for node in outputs if node.name in set(program.graph_signature.user_outputs)]
    shaped = tree.tree_unflatten([node.meta["val"] for node in kept], program.call_spec.out_spec)
    leaves = named_leaves(shaped)
    tensors = [
        (name, translation.tensor(node), leaf)
        for (name, leaf), node in zip(leaves.items(), kept, strict=True)
    ]
    if len(tensors) > 1 or original.task == "generic":
        return tuple(_as_it_is(graph, *tensor) for tensor in tensors)
    (_, tensor, leaf), *_ = tensors
    width = int(leaf.shape[1]) if len(leaf.shape) == 2 else 1
    matrix = graph.node("Reshape", _wide(graph, tensor), graph.constant(np.array([-1, width], np.int64)))
    if original.task in {"binary", "multiclass"} and original.classes is not None:
        if width == 1 and len(original.classes) == 2:
            return compiled_answers(graph, Meaning("binary", "identity", 1, original.classes), matrix)
        if width != len(original.classes):
            raise CannotCompile(
                f"it gives {width} figures a row, and there are {len(original.classes)} classes"
            )
        return _by_greatest(graph, original.classes, matrix)
    if original.task in {"regression", "ranking", "anomaly"}:
        (answer,) = valued(graph, matrix, None if width == 1 else width)
        name = "value" if original.task == "regression" else "score"
        return (Answer(name, answer.tensor, answer.dtype, answer.width),)
    raise CannotCompile(f"the task {original.task} without the classes that its figures stand for")


def _by_greatest(graph: Graph, classes: tuple[Any, ...], matrix: str) -> tuple[Answer, ...]:
    kind = {str: "string", bool: "bool", int: "int64", float: "float64"}[type(classes[0])]
    labels: npt.NDArray[Any] = np.array(classes, dtype=object if kind == "string" else None)
    index = graph.node("ArgMax", matrix, axis=1, keepdims=0)
    label = graph.node("Gather", graph.constant(labels), index)
    dtype: DType = kind  # type: ignore[assignment]
    return Answer("label", label, dtype), Answer("probabilities", matrix, "float64", len(classes))


def _as_it_is(graph: Graph, name: str, tensor: str, leaf: Any) -> Answer:
    kind = _NAMED.get(str(leaf.dtype).partition(".")[2])
    if kind is None or len(leaf.shape) not in {1, 2}:
        raise CannotCompile(f"its output '{name}' is of {leaf.dtype} and shape {tuple(leaf.shape)}")
    shown = _wide(graph, tensor) if kind == "float64" else tensor
    if len(leaf.shape) == 1:
        # [n, 1] that is one figure a row has become [n] by its name.
        return Answer(name, graph.flatten(shown), kind)
    return Answer(name, shown, kind, int(leaf.shape[1]))


def _wide(graph: Graph, tensor: str) -> str:
    return graph.float64(tensor)
