"""ONNX files from elsewhere: checked, described, and brought to our output names.

The file's own operators are left as they are. What changes is around them: dictionaries of probabilities (ZipMap)
become a matrix, [n, 1] becomes [n], outputs get their public names, and the layout is written into the metadata.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from onnx import ModelProto, TensorProto, checker, compose, helper, numpy_helper

from tsavo.formats.graph import ONNX_TYPES, describe
from tsavo.formats.layout import GraphInput
from tsavo.formats.onnx_limits import check_limits
from tsavo.vocabulary import DType, Invalid, Output, Refused, Unreadable

__all__ = ["OnnxInput", "class_labels", "name_outputs", "open_onnx", "real_inputs", "without_maps"]

_DTYPES: Final[dict[int, DType]] = {number: dtype for dtype, number in ONNX_TYPES.items()}
_PREFIX: Final = "model/"


class OnnxInput(msgspec.Struct, frozen=True):
    """A tensor the graph wants: [n] when `width` is ``None``, else [n, width]."""

    name: str
    dtype: DType
    width: int | None


def open_onnx(path: Path) -> ModelProto:
    """Read and check a file.

    Raises
    ------
    Unreadable
        When it is no valid ONNX model.
    Refused, TooLarge
        When it names other files, or could take any amount of time or memory; see `onnx_limits`.
    """
    model = ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except Exception as error:  # protobuf's DecodeError lives in a private module
        raise _unreadable(str(error)) from error
    check_limits(model)
    try:
        checker.check_model(model)
    except Exception as error:  # the checker raises ValidationError, and others for odd inputs
        raise _unreadable(str(error)) from error
    return model


def _unreadable(found: str) -> Unreadable:
    return Unreadable(
        "the ONNX file is not a valid model",
        field="source",
        found=found[:300],
        expected="a complete file that onnx.checker accepts",
        next_step="export the model again",
    )


def real_inputs(model: ModelProto) -> tuple[OnnxInput, ...]:
    """The inputs that a caller must give; raise `Refused` for shapes or types that are no table."""
    constants = {tensor.name for tensor in model.graph.initializer}
    return tuple(_input(value) for value in model.graph.input if value.name not in constants)


def _input(value: Any) -> OnnxInput:
    tensor = value.type.tensor_type
    dtype = _DTYPES.get(tensor.elem_type)
    sizes = [dim.dim_value for dim in tensor.shape.dim]
    if dtype is None or not 1 <= len(sizes) <= 2 or sizes[0] != 0 or (len(sizes) == 2 and sizes[1] <= 0):
        raise Refused(
            "the ONNX model does not take a table of rows",
            field=f"inputs.{value.name}",
            found=helper.printable_value_info(value)[:200],
            expected="tensors of shape [rows] or [rows, columns] with any number of rows, of numbers, booleans or text",
            next_step="export the model with a free first dimension",
        )
    return OnnxInput(value.name, dtype, sizes[1] if len(sizes) == 2 else None)


def class_labels(model: ModelProto) -> tuple[str | int, ...] | None:
    """The classes that a classifier in the graph names, when one does."""
    for node in reversed(model.graph.node):
        for attribute in node.attribute:
            if attribute.name in {"classlabels_int64s", "classlabels_ints"} and attribute.ints:
                return tuple(attribute.ints)
            if attribute.name in {"classlabels_strings"} and attribute.strings:
                return tuple(text.decode() for text in attribute.strings)
    return None


def without_maps(model: ModelProto) -> ModelProto:
    """A copy whose ZipMap nodes are gone: their outputs are matrices instead."""
    changed = ModelProto()
    changed.CopyFrom(model)
    graph = changed.graph
    maps = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "ZipMap"}
    for node in [node for node in graph.node if node.op_type == "ZipMap"]:
        graph.node.remove(node)
    for value in graph.output:
        if value.name in maps:
            kept = value.name
            graph.node.append(helper.make_node("Identity", [maps[kept]], [kept]))
            value.CopyFrom(helper.make_tensor_value_info(kept, TensorProto.FLOAT, ["rows", "classes"]))
    if any(value.type.WhichOneof("value") != "tensor_type" for value in graph.output):
        raise Refused(
            "the ONNX model gives something other than tensors", field="source", expected="tensor outputs"
        )
    return changed


def name_outputs(
    model: ModelProto, outputs: tuple[tuple[str, Output], ...], layout: tuple[GraphInput, ...]
) -> ModelProto:
    """The artifact: `outputs` as (name in the file, public output), its inputs as in `layout`.

    Raises
    ------
    Invalid
        When two outputs would share a name.
    """
    public = [output.name for _, output in outputs]
    if len(set(public)) != len(public):
        raise Invalid("two outputs share a name", field="outputs", found=public)
    # Names inside the file must not meet the public ones.
    artifact = compose.add_prefix(model, _PREFIX)
    graph = artifact.graph
    flat = numpy_helper.from_array(np.array([-1], np.int64), "tsavo/flat")
    graph.initializer.append(flat)
    del graph.output[:]
    for inner, output in outputs:
        if output.width is None:
            node = helper.make_node("Reshape", [_PREFIX + inner, flat.name], [output.name])
        else:
            node = helper.make_node("Identity", [_PREFIX + inner], [output.name])
        graph.node.append(node)
        shape: list[str | int | None] = ["rows"] if output.width is None else ["rows", output.width]
        graph.output.append(helper.make_tensor_value_info(output.name, ONNX_TYPES[output.dtype], shape))
    renamed = tuple(msgspec.structs.replace(part, name=_PREFIX + part.name) for part in layout)
    describe(artifact, renamed)
    try:
        checker.check_model(artifact)
    except checker.ValidationError as error:
        raise _unreadable(str(error)) from error
    return artifact
