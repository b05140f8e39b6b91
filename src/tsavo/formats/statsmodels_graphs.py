"""statsmodels' linear predictors and their links as ONNX, in float64."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from tsavo.formats.answers import Answer, classified, from_scores, valued, with_complement
from tsavo.formats.boosted_meaning import class_table
from tsavo.formats.graph import CannotCompile, Graph, Table

if TYPE_CHECKING:
    from tsavo.formats.statsmodels_models import StatsmodelsOriginal

__all__ = ["statsmodels_answers"]

_IDENTITY: Final = frozenset({"OLS", "WLS", "GLS", "GLSAR", "QuantReg", "RLM"})
_COUNTS: Final = frozenset({"Poisson", "NegativeBinomial", "NegativeBinomialP", "GeneralizedPoisson"})


def statsmodels_answers(graph: Graph, original: StatsmodelsOriginal, table: Table) -> tuple[Answer, ...]:
    """The public outputs of `original`, whose columns are `table`.

    Raises
    ------
    CannotCompile
        For models and links that have no form in ONNX here.
    """
    link = _link(original)
    eta = _predictor(graph, original, table)
    meaning = original.meaning
    if meaning.task == "multiclass":
        # The first class is the one that the others are compared with.
        zero = graph.node("Mul", graph.column(eta, 0), graph.constant(np.zeros((1, 1))))
        scores = graph.node("Concat", zero, eta, axis=1)
        return from_scores(graph, SimpleNamespace(classes_=class_table(meaning)), scores, softmax=True)
    mean = _LINKS[link](graph, eta)
    if meaning.task == "binary":
        above = graph.node("Greater", mean, graph.constant(np.array([[0.5]])))
        index = graph.flatten(graph.node("Cast", above, to=7))
        labelled = SimpleNamespace(classes_=class_table(meaning))
        return classified(graph, labelled, index, with_complement(graph, mean))
    return valued(graph, mean, None)


def _predictor(graph: Graph, original: StatsmodelsOriginal, table: Table) -> str:
    """[n, k]: columns times parameters, and the constant."""
    params = np.asarray(original.results.params, np.float64)
    params = params.reshape(-1, 1) if params.ndim == 1 else params
    constant = original.constant
    # Counts have parameters of their distribution after those of the columns.
    params = params[: len(table) + (constant is not None)]
    start = np.zeros((1, params.shape[1]))
    if constant is not None:
        start = params[[constant]]
        params = np.delete(params, constant, axis=0)
    if len(params) != len(table):
        raise CannotCompile("it has other parameters than one for each column")
    product = graph.node("MatMul", graph.matrix(table), graph.constant(params))
    return graph.node("Add", product, graph.constant(start))


def _link(original: StatsmodelsOriginal) -> str:
    """The name of what turns the linear predictor into the mean."""
    kind = original.kind
    if kind in _IDENTITY:
        return "Identity"
    if kind in _COUNTS:
        return "Log"
    if kind == "MNLogit":
        return "Logit"
    if kind == "GLM":
        link = type(original.model.family.link).__name__
        if link in _LINKS:
            return link
        if link == "Power" and float(original.model.family.link.power) in _POWERS:
            return _POWERS[float(original.model.family.link.power)]
        raise CannotCompile(f"its link {link} needs a function that compiled models do not have in float64")
    if kind == "Logit":
        return kind
    if kind == "Probit":
        raise CannotCompile(
            "the normal distribution is a function that compiled models do not have in float64"
        )
    raise CannotCompile(f"models of the kind {kind} have no form in ONNX")


_POWERS: Final = {1.0: "Identity", 0.5: "Sqrt", -1.0: "InversePower", -2.0: "InverseSquared"}


def _one(graph: Graph) -> str:
    return graph.constant(np.ones((1, 1)))


def _cloglog(graph: Graph, eta: str) -> str:
    inner = graph.node("Exp", graph.node("Neg", graph.node("Exp", eta)))
    return graph.node("Sub", _one(graph), inner)


def _loglog(graph: Graph, eta: str) -> str:
    return graph.node("Exp", graph.node("Neg", graph.node("Exp", graph.node("Neg", eta))))


_LINKS: Final[dict[str, Callable[[Graph, str], Any]]] = {
    "Identity": lambda _graph, eta: eta,
    "Log": lambda graph, eta: graph.node("Exp", eta),
    "Logit": lambda graph, eta: graph.node("Sigmoid", eta),
    "CLogLog": _cloglog,
    "LogLog": _loglog,
    "Sqrt": lambda graph, eta: graph.node("Mul", eta, eta),
    "InversePower": lambda graph, eta: graph.node("Div", _one(graph), eta),
    "InverseSquared": lambda graph, eta: graph.node("Div", _one(graph), graph.node("Sqrt", eta)),
}
