"""PMML documents as ONNX graphs in float64: the steps that numpy does for the original, as nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
from onnx import TensorProto

from tsavo.formats.answers import Answer, valued
from tsavo.formats.graph import CannotCompile, Graph, Table
from tsavo.formats.layout import MISSING
from tsavo.formats.pmml import Calculation, Value
from tsavo.formats.pmml.results import greatest
from tsavo.vocabulary import DType, Field

if TYPE_CHECKING:
    from tsavo.formats.pmml_models import PMMLOriginal

__all__ = ["GraphCalculation", "pmml_answers"]

# A graph of more nodes would take longer for a row than the Python worker.
_MAX_NODES: Final = 20_000
_TRUTHS: Final = frozenset({"And", "Or", "Not", "Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"})
# onnxruntime has these in float32 only.
_NARROW: Final = frozenset({"Erf", "Atan"})


class GraphCalculation(Calculation):
    """Tensors [n, 1]; the same step of the same tensors is one node."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self._made: dict[Any, str] = {}

    def constant(self, value: float | str | bool) -> Value:
        """See `Calculation.constant`."""
        kind = type(value).__name__
        key = (kind, repr(value))
        if key not in self._made:
            table = np.array([[value]], dtype=object if isinstance(value, str) else None)
            self._made[key] = self.graph.constant(
                table if isinstance(value, str | bool) else table.astype(np.float64)
            )
        if isinstance(value, bool):
            return Value("truth", self._made[key])
        return Value("text" if isinstance(value, str) else "number", self._made[key])

    def step(self, operator: str, *values: Value) -> Value:
        """See `Calculation.step`."""
        if operator in _NARROW:
            raise CannotCompile(f"it computes {operator}, which is compiled in float32 only")
        kind = "truth" if operator in _TRUTHS else "number"
        return Value(kind, self._node(operator, *(value.data for value in values)))  # type: ignore[arg-type]

    def where(self, condition: Value, this: Value, other: Value) -> Value:
        """See `Calculation.where`."""
        if this.data == other.data:
            return this
        return Value(this.kind, self._node("Where", condition.data, this.data, other.data))

    def missing(self, value: Value) -> Value:
        """See `Calculation.missing`."""
        if value.kind == "truth":
            return self.constant(False)
        if value.kind == "text":
            return self.step("Equal", value, self.constant(MISSING))
        return Value("truth", self._node("IsNaN", value.data))

    def _node(self, operator: str, *inputs: str) -> str:
        key = (operator, inputs)
        if key not in self._made:
            if len(self._made) > _MAX_NODES:
                raise CannotCompile(f"it takes more than {_MAX_NODES:,} steps")
            if operator == "Float32":
                narrow = self.graph.node("Cast", *inputs, to=TensorProto.FLOAT)
                self._made[key] = self.graph.float64(narrow)
            else:
                self._made[key] = self.graph.node(operator, *inputs)
        return self._made[key]


def pmml_answers(
    graph: Graph, original: PMMLOriginal, table: Table, fields: Sequence[Field]
) -> tuple[Answer, ...]:
    """The public outputs of `original`, whose columns are `table`.

    Raises
    ------
    CannotCompile
        When it computes what onnxruntime has in float32 only, or is too large.
    """
    calculation = GraphCalculation(graph)
    columns = {}
    for at, declared in enumerate(original.document.inputs):
        kind = table[at].kind
        if (kind == "string") != (declared.data_type == "string"):
            raise CannotCompile(f"the column '{fields[at].name}' is not of the type that the file declares")
        columns[declared.name] = Value(
            "text" if kind == "string" else "number", graph.matrix(table.select([at]))
        )
        if declared.values and kind == "string" and declared.invalid == "returnInvalid":
            graph.known[at] = list(declared.values)
        if declared.values and declared.invalid == "asMissing":
            columns[declared.name] = _only(calculation, columns[declared.name], declared.values)
    result = original.document.evaluate(calculation, columns)
    # A document may ignore its columns; what it gives is still one answer a row.
    each = graph.node("Shape", graph.matrix(table.select([0])), end=1)
    shape = graph.node("Concat", each, graph.constant(np.array([1], np.int64)), axis=0)

    def wide(value: Value) -> str:
        return graph.node("Expand", value.data, shape)

    if result.value is not None:
        return valued(graph, wide(result.value), None)
    names = list(result.scores)
    labels: list[Any] = [original.document.label(name) for name in names]
    text = isinstance(labels[0], str)
    stored: npt.NDArray[Any] = np.array(labels, dtype=object if text else None)
    # Where there is no answer the position is far outside, and the row is refused.
    position = graph.node("Cast", graph.flatten(wide(greatest(calculation, result))), to=TensorProto.INT64)
    shares = graph.node("Concat", *(wide(result.scores[name]) for name in original.order), axis=1)
    dtypes: dict[type, DType] = {str: "string", bool: "bool", int: "int64", float: "float64"}
    return (
        Answer("label", graph.node("Gather", graph.constant(stored), position), dtypes[type(labels[0])]),
        Answer("probabilities", shares, "float64", len(names)),
    )


def _only(calculation: Calculation, value: Value, valid: Sequence[str]) -> Value:
    """The column with what is not valid taken for missing."""
    if value.kind != "text":
        return value
    made = calculation.constant(MISSING)
    for text in valid:
        same = calculation.step("Equal", value, calculation.constant(text))
        made = calculation.where(same, calculation.constant(text), made)
    return made
