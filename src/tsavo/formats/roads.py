"""How a compiler of a composed estimator asks for its members; `compilation` is what answers."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from tsavo.formats.answers import Answer
from tsavo.formats.graph import CannotCompile, Graph, Table

__all__ = ["Roads", "constant_rows", "has_decision", "named", "response"]


class Roads(Protocol):
    """Compiles members into a graph under construction."""

    def predict(self, graph: Graph, estimator: Any, table: Table) -> tuple[Answer, ...]:
        """The public outputs of an estimator; raise `CannotCompile` when there is no road."""
        ...

    def transform(self, graph: Graph, step: Any, table: Table) -> Table:
        """What a transformer makes of the table."""
        ...

    def decide(self, graph: Graph, estimator: Any, table: Table) -> str:
        """Its decision function, [n, 1] for two classes and [n, classes] for more."""
        ...


def named(answers: tuple[Answer, ...], name: str) -> Answer:
    """The answer of that name; raise `CannotCompile` when a member has none."""
    for answer in answers:
        if answer.name == name:
            return answer
    raise CannotCompile(f"a member without {name}")


def has_decision(estimator: Any) -> bool:
    """Whether the estimator has a decision function, which scikit-learn asks before probabilities."""
    return hasattr(estimator, "decision_function")


def response(roads: Roads, graph: Graph, estimator: Any, table: Table) -> tuple[str, int]:
    """The decision function, else the probabilities: [n, 1] for two classes, [n, k] for more; and the width."""
    if type(estimator).__name__ == "_ConstantPredictor":
        # What stands in for a member whose training rows were all of one class.
        return constant_rows(graph, table, np.asarray(estimator.y_, np.float64).reshape(1, 1)), 1
    count = len(estimator.classes_)
    if has_decision(estimator):
        return roads.decide(graph, estimator, table), 1 if count == 2 else count
    shares = named(roads.predict(graph, estimator, table), "probabilities").tensor
    return (graph.column(shares, 1), 1) if count == 2 else (shares, count)


def constant_rows(graph: Graph, table: Table, row: npt.NDArray[Any]) -> str:
    """[n, k]: the same `row` [1, k] for every row of the table."""
    rows = graph.node("Shape", table[0].tensor, start=0, end=1)
    shape = graph.node("Concat", rows, graph.constant(np.array([row.shape[1]], np.int64)), axis=0)
    return graph.node("Expand", graph.constant(row), shape)
