"""What an ONNX graph from elsewhere may do, for it will run in the gateway's own process.

A graph holds no code, yet it can keep a processor busy for ever (loops), ask for any amount of memory (sizes that it
computes from what a caller sends), and name files (external data). Such graphs are refused by what they are, and not by
trying them: the rows that wake the bomb need not be among those that are tried.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

import numpy as np
from onnx import AttributeProto, ModelProto, TensorProto, numpy_helper

from tsavo.vocabulary import Refused, TooLarge

__all__ = ["check_limits", "tensors_of"]

MOST_NODES: Final = 200_000
MOST_ELEMENTS: Final = 1 << 26
"""Of any one tensor whose size the graph itself says."""

_MOST_DEPTH: Final = 8
_DOMAINS: Final = frozenset({"", "ai.onnx", "ai.onnx.ml"})
_ENDLESS: Final = frozenset({"Loop", "Scan", "SequenceMap"})
# Operators that make more than they take -> the position of the input that says how much.
_SIZED_BY: Final = {
    "ConstantOfShape": (0,),
    "Expand": (1,),
    "Tile": (1,),
    "Range": (0, 1, 2),
    "Pad": (1,),
    "OneHot": (1,),
    "Resize": (2, 3),
    "Upsample": (1,),
    "CenterCropPad": (1,),
    "HannWindow": (0,),
    "HammingWindow": (0,),
    "BlackmanWindow": (0,),
}
_RANDOM: Final = frozenset({"RandomNormal", "RandomUniform"})
# What is known before the first row is read, or follows from how many rows there are.
_SHAPES: Final = frozenset({"Shape", "Size"})


def check_limits(model: ModelProto) -> None:
    """Raise when the graph could do harm where it runs.

    Raises
    ------
    Refused
        For loops, operators that are not ONNX's own, data in other files, and sizes that depend on the rows' values.
    TooLarge
        For more nodes, deeper graphs or larger tensors than a model of tables needs.
    """
    outside = sorted({tensor.name for tensor in tensors_of(model) if _is_outside(tensor)})
    if outside:
        raise Refused(
            "the ONNX file keeps numbers in other files",
            field="source",
            found=outside[:10],
            expected="one file that holds everything",
            next_step="save it again with 'onnx.save(model, path, save_as_external_data=False)'",
        )
    bodies = [(model.graph.node, 1), *((function.node, 1) for function in model.functions)]
    # A function that the file defines is looked at where it is defined.
    domains = _DOMAINS | {function.domain for function in model.functions}
    _check_functions(model)
    count = 0
    while bodies:
        nodes, depth = bodies.pop()
        count += len(nodes)
        if count > MOST_NODES or depth > _MOST_DEPTH:
            raise _too_large(
                f"{count} nodes, {depth} levels deep", f"{MOST_NODES} nodes, {_MOST_DEPTH} levels"
            )
        _check_nodes(nodes, domains)
        bodies += [(inner.node, depth + 1) for node in nodes for inner in _graphs(node)]
    _check_sizes(model)


def tensors_of(model: ModelProto) -> Iterator[Any]:
    """Every tensor in a model: in its graph, the graphs inside that, and its functions."""
    yield from _tensors(model.graph)
    for function in model.functions:
        yield from _tensors_in(function.node)
        for attribute in function.attribute_proto:
            yield from _tensors_of(attribute)
    for training in model.training_info:
        yield from _tensors(training.initialization)
        yield from _tensors(training.algorithm)


def _tensors(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    yield from _tensors_in(graph.node)


def _tensors_in(nodes: Iterable[Any]) -> Iterator[Any]:
    for node in nodes:
        for attribute in node.attribute:
            yield from _tensors_of(attribute)


def _tensors_of(attribute: AttributeProto) -> Iterator[Any]:
    yield from (*((attribute.t,) if attribute.HasField("t") else ()), *attribute.tensors)
    for sparse in (
        *((attribute.sparse_tensor,) if attribute.HasField("sparse_tensor") else ()),
        *attribute.sparse_tensors,
    ):
        yield from (sparse.values, sparse.indices)
    for inner in (*((attribute.g,) if attribute.HasField("g") else ()), *attribute.graphs):
        yield from _tensors(inner)


def _is_outside(tensor: TensorProto) -> bool:
    return bool(tensor.data_location == TensorProto.EXTERNAL or tensor.external_data)


def _graphs(node: Any) -> Iterator[Any]:
    for attribute in node.attribute:
        yield from (*((attribute.g,) if attribute.HasField("g") else ()), *attribute.graphs)


def _check_nodes(nodes: Iterable[Any], domains: Iterable[str]) -> None:
    for node in nodes:
        if node.domain not in domains:
            raise _refused("it uses operators that are not ONNX's own", f"{node.domain}.{node.op_type}")
        if node.op_type in _ENDLESS and node.domain in _DOMAINS:
            raise _refused("it has a loop, which may have no end", node.op_type)


def _check_functions(model: ModelProto) -> None:
    """Functions that call each other twice each grow like powers of two when they are inlined."""
    known = {(function.domain, function.name): function for function in model.functions}
    sizes: dict[tuple[str, str], int] = {}

    def size_of(key: tuple[str, str], above: tuple[tuple[str, str], ...]) -> int:
        if key in above:
            raise _refused("one of its functions calls itself", key[1])
        if len(above) > _MOST_DEPTH:
            raise _too_large(f"functions that call each other {len(above)} times", str(_MOST_DEPTH))
        if key not in sizes:
            sizes[key] = sum(
                size_of((node.domain, node.op_type), (*above, key))
                if (node.domain, node.op_type) in known
                else 1
                for node in known[key].node
            )
        return sizes[key]

    total = sum(
        size_of((node.domain, node.op_type), ())
        for node in model.graph.node
        if (node.domain, node.op_type) in known
    )
    total += sum(size_of(key, ()) for key in known)
    if total > MOST_NODES:
        raise _too_large(f"functions of {total} nodes", str(MOST_NODES))


def _check_sizes(model: ModelProto) -> None:
    for tensor in tensors_of(model):
        _check_elements(tensor.name, tensor.dims)
    _check_graph_sizes(model.graph.node, {tensor.name: tensor for tensor in model.graph.initializer}, {})
    for function in model.functions:
        _check_graph_sizes(function.node, {}, {})


def _check_graph_sizes(
    nodes: Iterable[Any], constants: dict[str, TensorProto], outer: dict[str, Any]
) -> None:
    """Sizes that the nodes ask for, in one graph and those inside it."""
    makers = {**outer, **{output: node for node in nodes for output in node.output}}
    constants = {**constants, **_constants(nodes)}
    for node in nodes:
        if node.op_type in _RANDOM:
            _check_elements(
                node.op_type, [part for item in node.attribute if item.name == "shape" for part in item.ints]
            )
        for position in _SIZED_BY.get(node.op_type, ()):
            if position < len(node.input) and (name := node.input[position]):
                _check_size(node, name, constants, makers)
        for inner in _graphs(node):
            own = {tensor.name: tensor for tensor in inner.initializer}
            _check_graph_sizes(inner.node, {**constants, **own}, makers)


def _check_size(node: Any, name: str, constants: dict[str, TensorProto], makers: dict[str, Any]) -> None:
    if name in constants:
        values = numpy_helper.to_array(constants[name])
        if values.dtype.kind in "iuf" and np.isfinite(values).all():
            most = np.abs(values.astype(np.float64)).clip(1).ravel()
            if node.op_type in {"Pad", "Range", "OneHot"}:
                most = most.max(initial=1.0)
            _check_elements(node.op_type, [float(np.prod(most))])
        return
    if not _is_known_beforehand(name, constants, makers):
        raise _refused("the values in a row decide how much memory it takes", f"{node.op_type} by '{name}'")


def _is_known_beforehand(name: str, constants: dict[str, TensorProto], makers: dict[str, Any]) -> bool:
    """Whether a value follows from constants and from how many rows there are."""
    open_names, seen = [name], set()
    while open_names:
        at = open_names.pop()
        if at in seen or at in constants or not at:
            continue
        seen.add(at)
        maker = makers.get(at)
        if maker is None or any(True for _ in _graphs(maker)):
            return False
        if maker.op_type not in _SHAPES:
            open_names += maker.input
    return True


def _constants(nodes: Iterable[Any]) -> dict[str, TensorProto]:
    return {
        node.output[0]: attribute.t
        for node in nodes
        if node.op_type == "Constant" and node.output
        for attribute in node.attribute
        if attribute.name == "value"
    }


def _check_elements(name: str, sizes: Iterable[float]) -> None:
    elements = 1.0
    for size in sizes:
        elements *= max(float(size), 1.0)
    if elements > MOST_ELEMENTS:
        raise _too_large(f"{elements:.3g} numbers in '{name}'", f"{MOST_ELEMENTS} in one tensor")


def _refused(what: str, found: str) -> Refused:
    return Refused(
        f"the ONNX graph cannot be served: {what}",
        field="source",
        found=found[:200],
        expected="a graph that takes bounded time and memory for each row",
        next_step="export the model without it, or register the original with --runtime python",
    )


def _too_large(found: str, most: str) -> TooLarge:
    return TooLarge(
        "the ONNX graph is larger than a model of tables needs",
        field="source",
        found=found,
        expected=f"at most {most}",
    )
