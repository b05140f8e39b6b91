"""Compiles a fitted scikit-learn estimator or pipeline to ONNX.

Our own compilers handle the steps that most models are made of, in float64 and with scikit-learn's meaning of missing
values. They are grouped by what they compute:

============================================== ================================================================
`preprocessing`, `projections`                 transformers: imputers, scalers, encoders; new columns
`linear`, `bayes`, `networks`, `centres`       models that are a formula
`kernel_methods`                               models that keep rows of their training data
`ensembles` (and `boosters`)                   trees
`combined`, `calibration`, `one_against`       estimators that ask others
`several_targets`                              several targets at once
============================================== ================================================================

A step they do not know is borrowed from skl2onnx and spliced in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, Final

import msgspec
import numpy as np
from onnx import ModelProto

from tsavo.formats.answers import Answer, valued
from tsavo.formats.bayes import LIKELIHOODS
from tsavo.formats.borrowed import borrow_predictor, borrow_transformer
from tsavo.formats.calibration import CALIBRATED
from tsavo.formats.centres import CENTRES
from tsavo.formats.combined import COMBINED, COMBINED_DECISIONS
from tsavo.formats.ensembles import ENSEMBLE_DECISIONS, ENSEMBLES
from tsavo.formats.graph import CannotCompile, Graph, NeedsOlderTrees, Table
from tsavo.formats.kernel_methods import KERNEL_DECISIONS, KERNEL_METHODS
from tsavo.formats.linear import LINEAR, LINEAR_DECISIONS
from tsavo.formats.networks import NETWORKS
from tsavo.formats.one_against import ONE_AGAINST, ONE_AGAINST_DECISIONS
from tsavo.formats.preprocessing import TRANSFORMERS
from tsavo.formats.projections import PROJECTIONS
from tsavo.formats.several_targets import SEVERAL_TARGETS
from tsavo.vocabulary import Field

__all__ = ["Compiled", "compile_estimator", "compile_graph", "kind_of"]

_SEARCHES: Final = frozenset(
    {"GridSearchCV", "RandomizedSearchCV", "HalvingGridSearchCV", "HalvingRandomSearchCV"}
)
_HISTOGRAMS: Final = frozenset({"HistGradientBoostingClassifier", "HistGradientBoostingRegressor"})
_ALONE: Final = {**ENSEMBLES, **LINEAR, **LIKELIHOODS, **CENTRES, **KERNEL_METHODS, **NETWORKS}
_WITH_MEMBERS: Final = {**COMBINED, **CALIBRATED, **ONE_AGAINST, **SEVERAL_TARGETS}
_STEPS: Final = {**TRANSFORMERS, **PROJECTIONS}
_DECISIONS: Final = {**LINEAR_DECISIONS, **ENSEMBLE_DECISIONS, **KERNEL_DECISIONS}
_DECISIONS_WITH_MEMBERS: Final = {**COMBINED_DECISIONS, **ONE_AGAINST_DECISIONS}
_NEIGHBOURS: Final = "it looks for the nearest rows of its training data, and equally near ones have no order"
_WORDS: Final = "it splits text into words by a pattern of Python's, which ONNX does not have"
# What has no form in ONNX that answers in the same way, and why; asking skl2onnx would only cost time.
_NO_ROAD: Final = {
    "BisectingKMeans": "it decides cluster by cluster on the way down a tree of clusters",
    "CategoricalNB": "it refuses numbers that it has not seen, and a compiled graph cannot refuse",
    "CountVectorizer": _WORDS,
    "HashingVectorizer": _WORDS,
    "IterativeImputer": "it fills gaps in several rounds, each with a model of every column",
    "KNNImputer": _NEIGHBOURS,
    "KNeighborsClassifier": _NEIGHBOURS,
    "KNeighborsRegressor": _NEIGHBOURS,
    "LocalOutlierFactor": _NEIGHBOURS,
    "NMF": "it solves an optimisation for each row",
    "NearestCentroid": "no converter for it is known",
    "RadiusNeighborsClassifier": _NEIGHBOURS,
    "RadiusNeighborsRegressor": _NEIGHBOURS,
    "SplineTransformer": "it computes splines, which ONNX does not have",
    "TfidfVectorizer": _WORDS,
}


class Compiled(msgspec.Struct, frozen=True):
    """A compiled model.

    Attributes
    ----------
    answers
        Its outputs, in the order of the graph.
    known
        Input column -> the texts that an encoder of the model was fitted on.
    precision
        ``float64``, or which borrowed steps compute in what.
    """

    model: ModelProto
    answers: tuple[Answer, ...]
    known: dict[int, list[str]]
    precision: str


def compile_estimator(estimator: Any, fields: Sequence[Field], *, float32: bool = False) -> Compiled:
    """Compile `estimator`, whose input columns are `fields`.

    Parameters
    ----------
    float32
        Let borrowed steps compute in float32, for converters that are wrong in float64.

    Raises
    ------
    CannotCompile
        When a step has no way to ONNX.
    """
    return compile_graph(
        lambda graph, table: _Roads().predict(graph, estimator, table), fields, float32=float32
    )


def compile_graph(
    build: Callable[[Graph, Table], tuple[Answer, ...]], fields: Sequence[Field], *, float32: bool = False
) -> Compiled:
    """Compile what `build` puts into a graph whose input columns are `fields`; see `compile_estimator`."""
    try:
        return _compile(Graph(5, float32=float32), build, fields)
    except NeedsOlderTrees:
        try:
            return _compile(Graph(3, float32=float32), build, fields)
        except NeedsOlderTrees as error:
            raise CannotCompile("two kinds of tree ensembles that need different operators") from error


def _compile(
    graph: Graph, build: Callable[[Graph, Table], tuple[Answer, ...]], fields: Sequence[Field]
) -> Compiled:
    cells: list[Any] = [None] * len(fields)
    numbers = [at for at, field in enumerate(fields) if field.dtype != "string"]
    strings = [at for at, field in enumerate(fields) if field.dtype == "string"]
    if numbers:
        _place(cells, graph.input("numbers", "number", numbers), numbers)
    if strings:
        _place(cells, graph.input("strings", "string", strings), strings)
    answers = build(graph, Table(cells))
    model = graph.model([(answer.name, answer.tensor, answer.dtype, answer.width) for answer in answers])
    width = "float32" if graph.float32 else "float64"
    precision = (
        "float64" if not graph.borrowed else f"float64; {', '.join(graph.borrowed)} by skl2onnx in {width}"
    )
    return Compiled(model, answers, graph.known, precision)


def _place(cells: list[Any], table: Table, columns: Sequence[int]) -> None:
    for cell, column in zip(table, columns, strict=True):
        cells[column] = cell


def kind_of(estimator: Any) -> str:
    """The class name when it is scikit-learn's own, else ``""``: a subclass may compute anything."""
    cls = type(estimator)
    return cls.__name__ if cls.__module__.partition(".")[0] == "sklearn" else ""


def _foreign(estimator: Any) -> Callable[[Graph, Any, Table], tuple[Answer, ...]]:
    """What compiles an estimator of another library, such as XGBoost's, inside a pipeline."""
    cls = type(estimator)
    # Loaded when it is first needed: it knows libraries that may not be there.
    boosters = import_module("tsavo.formats.boosters").BOOSTERS
    found = boosters.get(cls.__module__.partition(".")[0])
    if found is None:
        raise CannotCompile(f"{cls.__module__}.{cls.__qualname__} is not part of scikit-learn")
    compiler: Callable[[Graph, Any, Table], tuple[Answer, ...]] = found
    return compiler


class _Roads:
    """See `roads.Roads`."""

    def predict(self, graph: Graph, estimator: Any, table: Table) -> tuple[Answer, ...]:
        kind = kind_of(estimator)
        if not kind:
            return _foreign(estimator)(graph, estimator, table)
        if kind == "Pipeline":
            return self._pipeline(graph, estimator, table)
        if kind in _SEARCHES:
            return self.predict(graph, estimator.best_estimator_, table)
        if kind in _HISTOGRAMS:
            table = self._before_histogram(graph, estimator, table)
        own = self._own(kind)
        if own is not None:
            mark = graph.mark()
            try:
                return own(graph, estimator, table)
            except CannotCompile as reason:
                graph.rewind(mark)
                answers: tuple[Answer, ...] = _borrow_or_explain(
                    borrow_predictor, graph, estimator, table, reason
                )
                return answers
        if not hasattr(estimator, "predict"):
            result = self.transform(graph, estimator, table)
            return valued(graph, graph.matrix(result), len(result))
        _check_road(kind)
        return borrow_predictor(graph, estimator, table)

    def _own(self, kind: str) -> Callable[[Graph, Any, Table], tuple[Answer, ...]] | None:
        composed = _WITH_MEMBERS.get(kind)
        if composed is None:
            return _ALONE.get(kind)
        return lambda graph, estimator, table: composed(self, graph, estimator, table)

    def decide(self, graph: Graph, estimator: Any, table: Table) -> str:
        kind = kind_of(estimator)
        if kind == "Pipeline":
            *before, (_, last) = estimator.steps
            for _, step in before:
                table = self.transform(graph, step, table)
            return self.decide(graph, last, table)
        if kind in _SEARCHES:
            return self.decide(graph, estimator.best_estimator_, table)
        if kind in _HISTOGRAMS:
            table = self._before_histogram(graph, estimator, table)
        if kind in _DECISIONS:
            return _DECISIONS[kind](graph, estimator, table)
        if kind in _DECISIONS_WITH_MEMBERS:
            return _DECISIONS_WITH_MEMBERS[kind](self, graph, estimator, table)
        raise CannotCompile(f"the decision function of {type(estimator).__name__}")

    def transform(self, graph: Graph, step: Any, table: Table) -> Table:
        if step is None or (isinstance(step, str) and step == "passthrough"):
            return table
        kind = kind_of(step)
        if not kind:
            cls = type(step)
            raise CannotCompile(f"{cls.__module__}.{cls.__qualname__} is not part of scikit-learn")
        if kind == "Pipeline":
            for _, inner in step.steps:
                table = self.transform(graph, inner, table)
            return table
        if kind == "ColumnTransformer":
            return self._column_transformer(graph, step, table)
        if kind == "FeatureUnion":
            return self._union(graph, step, table)
        if hasattr(step, "get_support"):
            return table.select(np.flatnonzero(step.get_support()).tolist())
        own = _STEPS.get(kind)
        if own is None:
            _check_road(kind)
            return borrow_transformer(graph, step, table)
        mark = graph.mark()
        try:
            return own(graph, step, table)
        except CannotCompile as reason:
            graph.rewind(mark)
            made: Table = _borrow_or_explain(borrow_transformer, graph, step, table, reason)
            return made

    def _pipeline(self, graph: Graph, pipeline: Any, table: Table) -> tuple[Answer, ...]:
        *before, (_, last) = pipeline.steps
        for _, step in before:
            table = self.transform(graph, step, table)
        if last is None or isinstance(last, str):
            return valued(graph, graph.matrix(table), len(table))
        if before and type(last).__module__.partition(".")[0] == "xgboost" and _makes_sparse(before[-1][1]):
            table = _zeros_missing(graph, table)
        return self.predict(graph, last, table)

    def _union(self, graph: Graph, step: Any, table: Table) -> Table:
        cells: list[Any] = []
        for name, inner in step.transformer_list:
            if not (isinstance(inner, str) and inner == "drop"):
                part = self.transform(graph, inner, table)
                cells.extend(_weighed(graph, part, step.transformer_weights, name))
        return Table(cells)

    def _column_transformer(self, graph: Graph, step: Any, table: Table) -> Table:
        cells: list[Any] = []
        for name, inner, _ in step.transformers_:
            positions = step._transformer_to_input_indices.get(name, ())
            if (isinstance(inner, str) and inner == "drop") or len(positions) == 0:
                continue
            part = self.transform(graph, inner, table.select(int(at) for at in positions))
            cells.extend(_weighed(graph, part, step.transformer_weights, name))
        return Table(cells)

    def _before_histogram(self, graph: Graph, model: Any, table: Table) -> Table:
        """Categories of histogram gradient boosting are encoded, and come before the other columns."""
        inner = getattr(model, "_preprocessor", None)
        if inner is None:
            return table
        cells: list[Any] = []
        for name, step, _ in inner.transformers_:
            part = table.select(int(at) for at in inner._transformer_to_input_indices.get(name, ()))
            # The numerical step of scikit-learn's own making checks its input and changes nothing.
            cells.extend(self.transform(graph, step, part) if name == "encoder" and part else part)
        return Table(cells)


def _makes_sparse(step: Any) -> bool:
    """Whether a step hands a sparse table to the next one."""
    if getattr(step, "steps", None):
        return _makes_sparse(step.steps[-1][1])
    return bool(getattr(step, "sparse_output_", getattr(step, "sparse_output", False)))


def _zeros_missing(graph: Graph, table: Table) -> Table:
    """XGBoost takes for missing what a sparse table leaves out: its zeros."""
    matrix = graph.matrix(table)
    nothing = graph.node("Equal", matrix, graph.constant(np.zeros((1, 1))))
    gap = graph.constant(np.full((1, 1), np.nan))
    return graph.table(graph.node("Where", nothing, gap, matrix), len(table))


def _weighed(graph: Graph, part: Table, weights: Any, name: str) -> Table:
    """The columns, times the weight that a union or column transformer gives to them."""
    weight = (weights or {}).get(name)
    if weight is None:
        return part
    made = graph.node("Mul", graph.matrix(part), graph.constant(np.array([[float(weight)]])))
    return graph.table(made, len(part))


def _check_road(kind: str) -> None:
    if kind in _NO_ROAD:
        raise CannotCompile(f"{kind}: {_NO_ROAD[kind]}")


def _borrow_or_explain(
    borrow: Callable[[Graph, Any, Table], Any],
    graph: Graph,
    estimator: Any,
    table: Table,
    reason: CannotCompile,
) -> Any:
    """Ask skl2onnx where our own compiler gave up; when it gives up too, our reason is the better one."""
    mark = graph.mark()
    try:
        return borrow(graph, estimator, table)
    except CannotCompile:
        graph.rewind(mark)
        raise CannotCompile(_named(estimator, reason)) from reason


def _named(estimator: Any, reason: CannotCompile) -> str:
    """The reason, with the name of the estimator that it is about."""
    text, name = str(reason), type(estimator).__name__
    return text if name in text else f"{name}: {text}"
