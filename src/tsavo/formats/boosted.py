"""The public outputs of a booster as ONNX, from its raw sums."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Final

import msgspec
import numpy as np

from tsavo.formats.answers import Answer, classified, from_scores, indicated, valued, with_complement
from tsavo.formats.boosted_meaning import Meaning, class_table
from tsavo.formats.graph import Graph
from tsavo.formats.originals import CannotCompile

__all__ = ["compiled_answers"]


def compiled_answers(graph: Graph, meaning: Meaning, raw: str) -> tuple[Answer, ...]:
    """The same from raw sums [n, targets] in the graph."""
    if meaning.task in {"binary", "multiclass"}:
        labelled = SimpleNamespace(classes_=class_table(meaning))
        if meaning.task == "multiclass":
            if meaning.link == "one-against-rest":
                return from_scores(graph, labelled, _sigmoid(graph, raw, meaning.scale), softmax=False)
            return from_scores(graph, labelled, raw, softmax=True)
        if meaning.link == "step":
            share, shown = _above(graph, raw, 0.0), None
        else:
            ones = _linked(graph, meaning, raw)
            share, shown = _above(graph, ones, 0.5), with_complement(graph, ones)
        return classified(graph, labelled, graph.flatten(graph.node("Cast", share, to=7)), shown)
    values = _linked(graph, meaning, raw)
    if meaning.task == "multilabel":
        return indicated(graph, _above(graph, values, 0.5), values, meaning.targets)
    (answer,) = valued(graph, values, None if meaning.targets == 1 else meaning.targets)
    return (msgspec.structs.replace(answer, name="score") if meaning.task == "ranking" else answer,)


def _above(graph: Graph, values: str, limit: float) -> str:
    return graph.node("Greater", values, graph.constant(np.array([[limit]])))


def _sigmoid(graph: Graph, raw: str, scale: float) -> str:
    scaled = raw if scale == 1.0 else graph.node("Mul", raw, graph.constant(np.array([[scale]])))
    return graph.node("Sigmoid", scaled)


def _linked(graph: Graph, meaning: Meaning, raw: str) -> str:
    made = _LINKS.get(meaning.link)
    if made is None:
        raise CannotCompile(f"the function '{meaning.link}' of its raw sums")
    return made(graph, meaning, raw)


def _square(graph: Graph, _meaning: Meaning, raw: str) -> str:
    return graph.node("Mul", graph.node("Sign", raw), graph.node("Mul", raw, raw))


def _softplus(graph: Graph, _meaning: Meaning, raw: str) -> str:
    # onnxruntime has no Softplus in float64.
    return graph.node("Log", graph.node("Add", graph.node("Exp", raw), graph.constant(np.ones((1, 1)))))


_LINKS: Final[dict[str, Callable[[Graph, Meaning, str], str]]] = {
    "identity": lambda _graph, _meaning, raw: raw,
    "sigmoid": lambda graph, meaning, raw: _sigmoid(graph, raw, meaning.scale),
    "one-against-rest": lambda graph, meaning, raw: _sigmoid(graph, raw, meaning.scale),
    "exp": lambda graph, _meaning, raw: graph.node("Exp", raw),
    "square": _square,
    "log1p-exp": _softplus,
}
