"""How a compiler of a composed estimator asks for its members; `compilation` is what answers."""

from __future__ import annotations

from typing import Any, Protocol

from tsavo.formats.answers import Answer
from tsavo.formats.graph import CannotCompile, Graph, Table

__all__ = ["Roads", "has_decision", "named", "response"]


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
    count = len(estimator.classes_)
    if has_decision(estimator):
        return roads.decide(graph, estimator, table), 1 if count == 2 else count
    shares = named(roads.predict(graph, estimator, table), "probabilities").tensor
    return (graph.column(shares, 1), 1) if count == 2 else (shares, count)
