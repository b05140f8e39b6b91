"""Builds an ONNX graph whose numbers are float64 throughout.

scikit-learn computes in float64 almost everywhere, so a compiled model does too: the answers then agree to about
1e-15 rather than 1e-6, and a tree's threshold cannot flip because of a rounded input.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any, Final, Literal, cast

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, TensorProto, checker, helper, numpy_helper

from tsavo.formats.layout import LAYOUT_KEY, MISSING, MISSING_KEY, GraphInput, encode_layout
from tsavo.formats.originals import CannotCompile
from tsavo.vocabulary import DType

__all__ = [
    "ONNX_OPSET",
    "ONNX_TYPES",
    "CannotCompile",
    "Cell",
    "Graph",
    "NeedsOlderTrees",
    "Table",
    "describe",
]

ONNX_OPSET: Final = 19
"""Strings can be compared from this operator set on."""
_IR_VERSION: Final = 9
ONNX_TYPES: Final[dict[DType, int]] = {
    "float64": TensorProto.DOUBLE,
    "float32": TensorProto.FLOAT,
    "int64": TensorProto.INT64,
    "int32": TensorProto.INT32,
    "bool": TensorProto.BOOL,
    "string": TensorProto.STRING,
}

Kind = Literal["number", "string"]


class NeedsOlderTrees(Exception):
    """A part needs the tree operators of ai.onnx.ml 3, which version 5 forbids."""


class Cell:
    """One column of a table: where its values are, and which input of the model they still equal, if any."""

    __slots__ = ("column", "kind", "origin", "tensor")

    def __init__(self, tensor: str, column: int, kind: Kind, origin: int | None = None) -> None:
        self.tensor = tensor
        self.column = column
        self.kind = kind
        self.origin = origin


class Table(tuple[Cell, ...]):
    """Columns between two steps. Selecting and putting side by side costs no node in the graph."""

    __slots__ = ()

    def select(self, positions: Iterable[int]) -> Table:
        """Some of the columns, in the order given."""
        return Table(self[position] for position in positions)

    def kinds(self) -> set[Kind]:
        """The kinds of values it holds."""
        return {cell.kind for cell in self}


class Graph:
    """A graph under construction.

    Parameters
    ----------
    ml_opset
        Version of the ai.onnx.ml operators: 5, or 3 for graphs with older tree operators.
    float32
        Parts that other converters make compute in float32 rather than float64.
    """

    def __init__(self, ml_opset: int = 5, *, float32: bool = False) -> None:
        self.ml_opset = ml_opset
        self.float32 = float32
        self.borrowed: list[str] = []
        self.known: dict[int, list[str]] = {}
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._inputs: list[tuple[GraphInput, int]] = []
        self._widths: dict[str, int] = {}
        self._count = 0

    def name(self, stem: str) -> str:
        """A name that is not yet taken."""
        self._count += 1
        return f"{stem.lower()}_{self._count}"

    def input(self, name: str, kind: Kind, columns: Sequence[int]) -> Table:
        """Take the model's input `columns` as one tensor."""
        dtype: DType = "float64" if kind == "number" else "string"
        self._inputs.append((GraphInput(name, dtype, tuple(columns)), len(columns)))
        return self.table(name, len(columns), kind, columns)

    def table(
        self, tensor: str, width: int, kind: Kind = "number", origins: Sequence[int | None] = ()
    ) -> Table:
        """The columns of a tensor [n, width]."""
        self._widths[tensor] = width
        return Table(
            Cell(tensor, column, kind, origins[column] if origins else None) for column in range(width)
        )

    def constant(self, value: npt.ArrayLike) -> str:
        """A constant tensor: numbers as they are, text as a string tensor."""
        array = np.asarray(value)
        name = self.name("constant")
        if array.dtype.kind in "OU":
            texts = [str(text).encode() for text in array.ravel().tolist()]
            self.constants.append(
                helper.make_tensor(name, TensorProto.STRING, array.shape, cast("Any", texts))
            )
        else:
            self.constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def node(self, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add a node with one output; return the output's name."""
        return self.nodes_of(operator, inputs, 1, domain=domain, **attributes)[0]

    def nodes_of(
        self, operator: str, inputs: Sequence[str], outputs: int, *, domain: str = "", **attributes: Any
    ) -> list[str]:
        """Add a node with several outputs."""
        names = [self.name(operator) for _ in range(outputs)]
        self.nodes.append(helper.make_node(operator, list(inputs), names, domain=domain, **attributes))
        return names

    def mark(self) -> tuple[int, int, int]:
        """Where the graph stands now, for `rewind`."""
        return len(self.nodes), len(self.constants), len(self.borrowed)

    def rewind(self, mark: tuple[int, int, int]) -> None:
        """Forget what was added since `mark`: a road that turned out to be closed."""
        del self.nodes[mark[0] :], self.constants[mark[1] :], self.borrowed[mark[2] :]

    def matrix(self, table: Table) -> str:
        """One tensor [n, columns] of the table, whose columns must be of one kind."""
        if len(table.kinds()) > 1:
            raise CannotCompile("numbers and strings enter one step together")
        if not table:
            raise CannotCompile("a step without columns")
        starts = [0]
        starts += [at for at, (left, right) in enumerate(pairwise(table), 1) if left.tensor != right.tensor]
        pieces = [self._piece(table[start:end]) for start, end in pairwise([*starts, len(table)])]
        return pieces[0] if len(pieces) == 1 else self.node("Concat", *pieces, axis=1)

    def _piece(self, run: Sequence[Cell]) -> str:
        columns = [cell.column for cell in run]
        if columns == list(range(self._widths[run[0].tensor])):
            return run[0].tensor
        return self.node("Gather", run[0].tensor, self.constant(np.array(columns, np.int64)), axis=1)

    def column(self, tensor: str, at: int) -> str:
        """Column `at` of a tensor [n, k] as [n, 1]."""
        return self.node("Gather", tensor, self.constant(np.array([at], np.int64)), axis=1)

    def float64(self, tensor: str) -> str:
        """The tensor cast to float64."""
        return self.node("Cast", tensor, to=TensorProto.DOUBLE)

    def flatten(self, tensor: str) -> str:
        """[n, 1] as [n]."""
        return self.node("Reshape", tensor, self.constant(np.array([-1], np.int64)))

    def model(self, outputs: Sequence[tuple[str, str, DType, int | None]]) -> ModelProto:
        """The finished and checked model.

        Parameters
        ----------
        outputs
            (public name, tensor, dtype, width) of each; width ``None`` means [n].
        """
        results = []
        for name, tensor, dtype, width in outputs:
            self.nodes.append(helper.make_node("Identity", [tensor], [name]))
            shape: list[str | int | None] = ["rows"] if width is None else ["rows", width]
            results.append(helper.make_tensor_value_info(name, ONNX_TYPES[dtype], shape))
        inputs = [
            helper.make_tensor_value_info(part.name, ONNX_TYPES[part.dtype], ["rows", width])
            for part, width in self._inputs
        ]
        model = helper.make_model(
            helper.make_graph(self.nodes, "tsavo", inputs, results, self.constants),
            opset_imports=[
                helper.make_opsetid("", ONNX_OPSET),
                helper.make_opsetid("ai.onnx.ml", self.ml_opset),
            ],
            ir_version=_IR_VERSION,
            producer_name="tsavo",
        )
        describe(model, tuple(part for part, _ in self._inputs))
        checker.check_model(model)
        return model


def describe(model: ModelProto, layout: tuple[GraphInput, ...]) -> None:
    """Write into the file how columns become its inputs."""
    kept = {entry.key: entry.value for entry in model.metadata_props}
    helper.set_model_props(model, {**kept, LAYOUT_KEY: encode_layout(layout), MISSING_KEY: MISSING})
