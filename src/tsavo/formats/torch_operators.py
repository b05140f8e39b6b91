"""PyTorch's core operators as ONNX nodes in float32.

Specification: "Core ATen IR" of PyTorch's documentation, and ONNX operators of version 19.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
from onnx import TensorProto

from tsavo.formats.graph import CannotCompile, Graph

__all__ = ["OPERATORS", "Place", "Translation"]

_END: Final = np.iinfo(np.int64).max
_OUTSIDE: Final = np.iinfo(np.int32).max


class Place:
    """One node of a program with its arguments."""

    def __init__(self, node: Any) -> None:
        self.node = node

    def arg(self, at: int, name: str, default: Any = None) -> Any:
        """An argument by position or name."""
        if at < len(self.node.args):
            return self.node.args[at]
        return self.node.kwargs.get(name, default)

    @property
    def shape(self) -> list[Any]:
        """Of what it gives; an open size is no int."""
        return list(self.node.meta["val"].shape)

    def axes(self, at: int, name: str = "dim") -> list[int]:
        """Axes among the arguments, counted from the front; all when none is named."""
        rank = len(self.node.args[0].meta["val"].shape)
        said = self.arg(at, name)
        if said is None or said == []:
            return list(range(rank))
        return [int(axis) % rank for axis in (said if isinstance(said, list | tuple) else [said])]


class Translation:
    """What is known of a program so far: tensor by name of node, and the numbers that it holds."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.tensors: dict[str, str] = {}
        self.numbers: dict[str, npt.NDArray[Any]] = {}

    def tensor(self, value: Any) -> str:
        """The tensor that an argument stands for."""
        if isinstance(value, bool | int | float):
            return self.graph.constant(np.array(value, np.float32))
        if not hasattr(value, "name"):
            raise CannotCompile(f"it computes with {type(value).__name__}, which has no form in ONNX here")
        if value.name not in self.tensors:
            if value.name not in self.numbers:
                raise CannotCompile("it computes with the number of rows")
            self.tensors[value.name] = self.graph.constant(self.numbers[value.name])
        return self.tensors[value.name]

    def like(self, value: Any, other: Any) -> str:
        """A plain number in the type of the tensor beside it."""
        if isinstance(value, bool | int | float):
            kind = str(other.meta["val"].dtype).partition(".")[2]
            if kind != "float32" and isinstance(value, float):
                raise CannotCompile(f"it mixes {kind} with fractions")
            return self.graph.constant(np.array(value, kind))
        if hasattr(value, "meta") and hasattr(other, "meta"):
            held = [part.meta["val"] for part in (value, other)]
            if not all(hasattr(part, "dtype") for part in held):
                raise CannotCompile("it computes with the number of rows")
            kinds = {str(part.dtype) for part in held}
            if len(kinds) > 1:
                raise CannotCompile(f"it mixes tensors of {' and '.join(sorted(kinds))}")
        return self.tensor(value)

    def held(self, value: Any) -> npt.NDArray[np.float64]:
        """The numbers of a parameter."""
        if value.name not in self.numbers:
            raise CannotCompile("it normalizes by figures that it computes itself")
        return self.numbers[value.name].astype(np.float64)

    def float32(self, value: npt.ArrayLike) -> str:
        """A constant of float32."""
        return self.graph.constant(np.asarray(value, np.float32))

    def whole(self, *values: int) -> str:
        """A constant list of int64."""
        return self.graph.constant(np.array(values, np.int64))


_Operator: TypeAlias = Callable[[Translation, Place], str]


def _plain(name: str, **attributes: Any) -> _Operator:
    return lambda to, at: to.graph.node(name, to.tensor(at.arg(0, "self")), **attributes)


def _same(to: Translation, at: Place) -> str:
    return to.tensor(at.arg(0, "self"))


def _binary(name: str) -> _Operator:
    def made(to: Translation, at: Place) -> str:
        left, right = at.arg(0, "self"), at.arg(1, "other")
        first, second = to.like(left, right), to.like(right, left)
        alpha = at.node.kwargs.get("alpha", 1)
        if alpha != 1:
            second = to.graph.node("Mul", second, to.like(alpha, left))
        return to.graph.node(name, first, second)

    return made


def _divide(to: Translation, at: Place) -> str:
    if at.node.kwargs.get("rounding_mode") is not None:
        raise CannotCompile("its operator aten.div with rounding has no form in ONNX here")
    if "float" not in str(at.arg(0, "self").meta["val"].dtype):
        raise CannotCompile("it divides whole numbers")
    return _binary("Div")(to, at)


def _backwards(to: Translation, at: Place) -> str:
    if at.arg(2, "alpha", 1) != 1:
        raise CannotCompile("its operator aten.rsub with a factor has no form in ONNX here")
    tensor = at.arg(0, "self")
    return to.graph.node("Sub", to.like(at.arg(1, "other"), tensor), to.tensor(tensor))


def _addmm(to: Translation, at: Place) -> str:
    if at.node.kwargs.get("beta", 1) != 1 or at.node.kwargs.get("alpha", 1) != 1:
        raise CannotCompile("its operator aten.addmm with factors has no form in ONNX here")
    product = to.graph.node("MatMul", to.tensor(at.arg(1, "mat1")), to.tensor(at.arg(2, "mat2")))
    return to.graph.node("Add", product, to.tensor(at.arg(0, "self")))


def _linear(to: Translation, at: Place) -> str:
    turned = to.graph.node("Transpose", to.tensor(at.arg(1, "weight")), perm=[1, 0])
    product = to.graph.node("MatMul", to.tensor(at.arg(0, "input")), turned)
    bias = at.arg(2, "bias")
    return product if bias is None else to.graph.node("Add", product, to.tensor(bias))


def _gelu(to: Translation, at: Place) -> str:
    graph, x = to.graph, to.tensor(at.arg(0, "self"))
    if at.node.kwargs.get("approximate", "none") == "tanh":
        cubed = graph.node("Mul", graph.node("Mul", graph.node("Mul", x, x), x), to.float32(0.044715))
        inner = graph.node("Mul", graph.node("Add", x, cubed), to.float32(math.sqrt(2 / math.pi)))
        bent = graph.node("Tanh", inner)
    else:
        bent = graph.node("Erf", graph.node("Mul", x, to.float32(math.sqrt(0.5))))
    half = graph.node("Mul", x, to.float32(0.5))
    return graph.node("Mul", half, graph.node("Add", bent, to.float32(1.0)))


def _elu(to: Translation, at: Place) -> str:
    graph, x = to.graph, to.tensor(at.arg(0, "self"))
    alpha, scale = float(at.arg(1, "alpha", 1.0)), float(at.arg(2, "scale", 1.0))
    inner = float(at.arg(3, "input_scale", 1.0))
    small = graph.node("Min", graph.node("Mul", x, to.float32(inner)), to.float32(0.0))
    bent = graph.node("Mul", graph.node("Sub", graph.node("Exp", small), to.float32(1.0)), to.float32(alpha))
    both = graph.node("Where", graph.node("Greater", x, to.float32(0.0)), x, bent)
    return both if scale == 1.0 else graph.node("Mul", both, to.float32(scale))


def _along(name: str) -> _Operator:
    def made(to: Translation, at: Place) -> str:
        (axis,) = at.axes(1)
        if axis == 0:
            raise CannotCompile(f"it takes {name} over the rows of a request")
        return to.graph.node(name, to.tensor(at.arg(0, "self")), axis=axis)

    return made


def _batch_norm(to: Translation, at: Place) -> str:
    weight, bias, mean, variance = (at.arg(place, "") for place in (1, 2, 3, 4))
    epsilon = float(at.arg(6, "eps"))
    centre = to.held(mean)
    factor = 1.0 / np.sqrt(to.held(variance) + epsilon)
    if weight is not None:
        factor = factor * to.held(weight)
    shift = -centre * factor + (0.0 if bias is None else to.held(bias))
    # Channels are the second axis.
    wide = (1, -1) + (1,) * (len(at.arg(0, "input").meta["val"].shape) - 2)
    scaled = to.graph.node("Mul", to.tensor(at.arg(0, "input")), to.float32(factor.reshape(wide)))
    return to.graph.node("Add", scaled, to.float32(shift.reshape(wide)))


def _layer_norm(to: Translation, at: Place) -> str:
    shape, weight, bias = at.arg(1, "normalized_shape"), at.arg(2, "weight"), at.arg(3, "bias")
    factor = np.ones(shape) if weight is None else to.held(weight)
    inputs = [to.tensor(at.arg(0, "input")), to.float32(factor)]
    if bias is not None:
        inputs.append(to.float32(to.held(bias)))
    graph = to.graph
    made = graph.node("LayerNormalization", *inputs, axis=-len(shape), epsilon=float(at.arg(4, "eps")))
    # Where the squares leave float32 PyTorch answers not-a-number, and onnxruntime would answer zeros.
    axes = graph.constant(np.arange(-len(shape), 0))
    apart = graph.node("Sub", inputs[0], graph.node("ReduceMean", inputs[0], axes))
    spread = graph.node("ReduceMean", graph.node("Mul", apart, apart), axes)
    beyond = graph.node("Or", graph.node("IsInf", spread), graph.node("IsNaN", spread))
    return graph.node("Where", beyond, to.float32(np.array(np.nan)), made)


def _clamp(to: Translation, at: Place) -> str:
    made = to.tensor(at.arg(0, "self"))
    for place, name, operator in ((1, "min", "Max"), (2, "max", "Min")):
        bound = at.arg(place, name)
        if bound is not None:
            made = to.graph.node(operator, made, to.like(bound, at.arg(0, "self")))
    return made


def _concatenate(to: Translation, at: Place) -> str:
    parts = at.arg(0, "tensors")
    if len({str(part.meta["val"].dtype) for part in parts}) > 1:
        raise CannotCompile("it puts tensors of several types side by side")
    axis = int(at.arg(1, "dim", 0)) % len(at.shape)
    if axis == 0:
        raise CannotCompile("it makes more rows of the rows that come in")
    return to.graph.node("Concat", *(to.tensor(part) for part in parts), axis=axis)


def _reshape(to: Translation, at: Place) -> str:
    sizes = [size if isinstance(size, int) else -1 for size in at.shape]
    if sizes.count(-1) > 1 or (-1 in sizes[1:]):
        raise CannotCompile("it gives another axis than the first the number of rows")
    return to.graph.node("Reshape", to.tensor(at.arg(0, "self")), to.whole(*sizes))


def _permute(to: Translation, at: Place) -> str:
    return to.graph.node("Transpose", to.tensor(at.arg(0, "self")), perm=at.axes(1, "dims"))


def _transpose(to: Translation, at: Place) -> str:
    return to.graph.node("Transpose", to.tensor(at.arg(0, "self")), perm=[1, 0])


def _expand(to: Translation, at: Place) -> str:
    source = at.arg(0, "self")
    if list(source.meta["val"].shape) == at.shape:
        return to.tensor(source)
    if not all(isinstance(size, int) for size in at.shape):
        raise CannotCompile("it repeats a tensor for each row")
    return to.graph.node("Expand", to.tensor(source), to.whole(*at.shape))


def _embedding(to: Translation, at: Place) -> str:
    graph, index = to.graph, to.tensor(at.arg(1, "indices"))
    # ONNX counts what is below zero from the end, where PyTorch refuses; what is far outside both refuse.
    below = graph.node("Less", index, to.whole(0))
    known = graph.node("Where", below, to.whole(_OUTSIDE), index)
    return graph.node("Gather", to.tensor(at.arg(0, "weight")), known, axis=0)


def _over(name: str) -> _Operator:
    def made(to: Translation, at: Place) -> str:
        axes = at.axes(1)
        if 0 in axes:
            raise CannotCompile(f"it takes {name} over the rows of a request")
        if "float" not in str(at.arg(0, "self").meta["val"].dtype):
            raise CannotCompile("it adds up whole numbers or booleans")
        keep = int(bool(at.arg(2, "keepdim", False)))
        return to.graph.node(name, to.tensor(at.arg(0, "self")), to.whole(*axes), keepdims=keep)

    return made


def _slice(to: Translation, at: Place) -> str:
    axis, start, end = int(at.arg(1, "dim", 0)), at.arg(2, "start"), at.arg(3, "end")
    step = at.arg(4, "step", 1)
    whole = start in {None, 0} and (end is None or end == _END) and step == 1
    source = at.arg(0, "self")
    if whole:
        return to.tensor(source)
    axis %= len(at.shape)
    if axis == 0:
        raise CannotCompile("it takes some of the rows of a request")
    bounds = (start or 0, _END if end is None else end, axis, step)
    return to.graph.node("Slice", to.tensor(source), *(to.whole(int(bound)) for bound in bounds))


def _select(to: Translation, at: Place) -> str:
    source, axis = at.arg(0, "self"), int(at.arg(1, "dim"))
    axis %= len(source.meta["val"].shape)
    if axis == 0 and not isinstance(source.meta["val"].shape[0], int):
        raise CannotCompile("it picks a row of a request")
    chosen = to.graph.constant(np.array(int(at.arg(2, "index")), np.int64))
    return to.graph.node("Gather", to.tensor(source), chosen, axis=axis)


def _to_type(to: Translation, at: Place) -> str:
    kinds = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64, "bool": TensorProto.BOOL}
    kind = kinds.get(str(at.node.meta["val"].dtype).partition(".")[2])
    if kind is None:
        raise CannotCompile(f"it computes in {at.node.meta['val'].dtype}")
    return to.graph.node("Cast", to.tensor(at.arg(0, "self")), to=kind)


def _where(to: Translation, at: Place) -> str:
    left, right = at.arg(1, "self"), at.arg(2, "other")
    return to.graph.node(
        "Where", to.tensor(at.arg(0, "condition")), to.like(left, right), to.like(right, left)
    )


def _swish(to: Translation, at: Place) -> str:
    x = to.tensor(at.arg(0, "self"))
    return to.graph.node("Mul", x, to.graph.node("Sigmoid", x))


def _leaky(to: Translation, at: Place) -> str:
    return to.graph.node(
        "LeakyRelu", to.tensor(at.arg(0, "self")), alpha=float(at.arg(1, "negative_slope", 0.01))
    )


OPERATORS: Final[dict[str, _Operator]] = {
    **{f"aten.{name}.default": _same for name in ("clone", "alias", "detach", "dropout", "contiguous")},
    **{
        f"aten.{name}.default": _plain(name.capitalize())
        for name in ("relu", "sigmoid", "tanh", "neg", "exp")
    },
    **{f"aten.{name}.default": _plain(name.capitalize()) for name in ("log", "sqrt", "abs", "erf")},
    "aten.reciprocal.default": _plain("Reciprocal"),
    "aten.isnan.default": _plain("IsNaN"),
    **{
        f"aten.{name}.{kind}": _binary(operator)
        for kind in ("Tensor", "Scalar")
        for name, operator in (
            ("add", "Add"),
            ("sub", "Sub"),
            ("mul", "Mul"),
            ("gt", "Greater"),
            ("ge", "GreaterOrEqual"),
            ("lt", "Less"),
            ("le", "LessOrEqual"),
            ("eq", "Equal"),
        )
    },
    "aten.div.Tensor": _divide,
    "aten.div.Scalar": _divide,
    "aten.rsub.Scalar": _backwards,
    "aten.pow.Tensor_Scalar": _binary("Pow"),
    "aten.pow.Tensor_Tensor": _binary("Pow"),
    "aten.maximum.default": _binary("Max"),
    "aten.minimum.default": _binary("Min"),
    "aten.mm.default": _binary("MatMul"),
    "aten.bmm.default": _binary("MatMul"),
    "aten.matmul.default": _binary("MatMul"),
    "aten.addmm.default": _addmm,
    "aten.linear.default": _linear,
    "aten.gelu.default": _gelu,
    "aten.silu.default": _swish,
    "aten.elu.default": _elu,
    "aten.leaky_relu.default": _leaky,
    "aten.clamp.default": _clamp,
    "aten.hardtanh.default": _clamp,
    "aten.clamp_min.default": _clamp,
    "aten._softmax.default": _along("Softmax"),
    "aten._log_softmax.default": _along("LogSoftmax"),
    "aten.softmax.int": _along("Softmax"),
    "aten.log_softmax.int": _along("LogSoftmax"),
    "aten._native_batch_norm_legit_no_training.default": _batch_norm,
    "aten.native_layer_norm.default": _layer_norm,
    "aten.cat.default": _concatenate,
    "aten.view.default": _reshape,
    "aten._unsafe_view.default": _reshape,
    "aten.reshape.default": _reshape,
    "aten.unsqueeze.default": _reshape,
    "aten.squeeze.default": _reshape,
    "aten.squeeze.dim": _reshape,
    "aten.squeeze.dims": _reshape,
    "aten.flatten.using_ints": _reshape,
    "aten.permute.default": _permute,
    "aten.t.default": _transpose,
    "aten.expand.default": _expand,
    "aten.embedding.default": _embedding,
    "aten.mean.dim": _over("ReduceMean"),
    "aten.sum.dim_IntList": _over("ReduceSum"),
    "aten.amax.default": _over("ReduceMax"),
    "aten.slice.Tensor": _slice,
    "aten.select.int": _select,
    "aten._to_copy.default": _to_type,
    "aten.where.self": _where,
}
