"""Compiles a fitted scikit-learn estimator or pipeline to ONNX.

Our own compilers (`preprocessing`, `linear`, `ensembles`) handle the steps most models are made of, in float64 and
with scikit-learn's meaning of missing values. A step they do not know is borrowed from skl2onnx and spliced in.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from onnx import ModelProto

from tsavo.formats.answers import Answer, from_scores, valued
from tsavo.formats.borrowed import borrow_predictor, borrow_transformer
from tsavo.formats.ensembles import ENSEMBLES
from tsavo.formats.graph import CannotCompile, Graph, NeedsOlderTrees, Table
from tsavo.formats.linear import LINEAR
from tsavo.formats.preprocessing import TRANSFORMERS
from tsavo.vocabulary import Field

__all__ = ["Compiled", "compile_estimator", "kind_of"]

_SEARCHES = frozenset({"GridSearchCV", "RandomizedSearchCV", "HalvingGridSearchCV", "HalvingRandomSearchCV"})


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
    try:
        return _compile(Graph(5, float32=float32), estimator, fields)
    except NeedsOlderTrees:
        try:
            return _compile(Graph(3, float32=float32), estimator, fields)
        except NeedsOlderTrees as error:
            raise CannotCompile("two kinds of tree ensembles that need different operators") from error


def _compile(graph: Graph, estimator: Any, fields: Sequence[Field]) -> Compiled:
    cells: list[Any] = [None] * len(fields)
    numbers = [at for at, field in enumerate(fields) if field.dtype != "string"]
    strings = [at for at, field in enumerate(fields) if field.dtype == "string"]
    if numbers:
        _place(cells, graph.input("numbers", "number", numbers), numbers)
    if strings:
        _place(cells, graph.input("strings", "string", strings), strings)
    answers = _predict(graph, estimator, Table(cells))
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


def _predict(graph: Graph, estimator: Any, table: Table) -> tuple[Answer, ...]:
    kind = kind_of(estimator)
    if not kind:
        cls = type(estimator)
        raise CannotCompile(f"{cls.__module__}.{cls.__qualname__} is not part of scikit-learn")
    if kind == "Pipeline":
        return _pipeline_answers(graph, estimator, table)
    if kind in _SEARCHES:
        return _predict(graph, estimator.best_estimator_, table)
    if kind in {"HistGradientBoostingClassifier", "HistGradientBoostingRegressor"}:
        table = _before_histogram(graph, estimator, table)
    own = ENSEMBLES.get(kind) or LINEAR.get(kind) or _COMBINED.get(kind)
    if own is not None:
        mark = graph.mark()
        try:
            return own(graph, estimator, table)
        except CannotCompile as reason:
            graph.rewind(mark)
            return _borrow_or_explain(graph, estimator, table, reason)
    if not hasattr(estimator, "predict"):
        result = _transform(graph, estimator, table)
        return valued(graph, graph.matrix(result), len(result))
    return borrow_predictor(graph, estimator, table)


def _borrow_or_explain(
    graph: Graph, estimator: Any, table: Table, reason: CannotCompile
) -> tuple[Answer, ...]:
    try:
        return borrow_predictor(graph, estimator, table)
    except CannotCompile as error:
        raise reason from error


def _pipeline_answers(graph: Graph, pipeline: Any, table: Table) -> tuple[Answer, ...]:
    *before, (_, last) = pipeline.steps
    for _, step in before:
        table = _transform(graph, step, table)
    if last is None or isinstance(last, str):
        return valued(graph, graph.matrix(table), len(table))
    return _predict(graph, last, table)


def _transform(graph: Graph, step: Any, table: Table) -> Table:
    if step is None or (isinstance(step, str) and step == "passthrough"):
        return table
    kind = kind_of(step)
    if kind == "Pipeline":
        for _, inner in step.steps:
            table = _transform(graph, inner, table)
        return table
    if kind == "ColumnTransformer":
        return _column_transformer(graph, step, table)
    if kind == "FeatureUnion":
        if step.transformer_weights:
            raise CannotCompile("a FeatureUnion with weights")
        parts = [_transform(graph, inner, table) for _, inner in step.transformer_list if inner != "drop"]
        return Table(cell for part in parts for cell in part)
    own = TRANSFORMERS.get(kind)
    if own is None or not kind:
        return borrow_transformer(graph, step, table)
    mark = graph.mark()
    try:
        return own(graph, step, table)
    except CannotCompile as reason:
        graph.rewind(mark)
        try:
            return borrow_transformer(graph, step, table)
        except CannotCompile as error:
            raise reason from error


def _column_transformer(graph: Graph, step: Any, table: Table) -> Table:
    if step.transformer_weights:
        raise CannotCompile("a ColumnTransformer with weights")
    cells: list[Any] = []
    for name, inner, _ in step.transformers_:
        positions = step._transformer_to_input_indices.get(name, ())
        if (isinstance(inner, str) and inner == "drop") or len(positions) == 0:
            continue
        cells.extend(_transform(graph, inner, table.select(int(at) for at in positions)))
    return Table(cells)


def _before_histogram(graph: Graph, model: Any, table: Table) -> Table:
    """Categories of histogram gradient boosting are encoded, and come before the other columns."""
    inner = getattr(model, "_preprocessor", None)
    if inner is None:
        return table
    cells: list[Any] = []
    for name, step, _ in inner.transformers_:
        part = table.select(int(at) for at in inner._transformer_to_input_indices.get(name, ()))
        # The numerical step of scikit-learn's own making checks its input and changes nothing.
        cells.extend(_transform(graph, step, part) if name == "encoder" and part else part)
    return Table(cells)


def _named(answers: Sequence[Answer], name: str) -> Answer:
    for answer in answers:
        if answer.name == name:
            return answer
    raise CannotCompile(f"a member without {name}")


def _voting_classifier(graph: Graph, model: Any, table: Table) -> tuple[Answer, ...]:
    if model.voting != "soft":
        raise CannotCompile("a vote by labels (voting='hard')")
    parts = [_named(_predict(graph, part, table), "probabilities").tensor for part in model.estimators_]
    return from_scores(graph, model, _mean(graph, model, parts), softmax=False)


def _voting_regressor(graph: Graph, model: Any, table: Table) -> tuple[Answer, ...]:
    parts = [_as_column(graph, _predict(graph, part, table)) for part in model.estimators_]
    return valued(graph, _mean(graph, model, parts), None)


def _mean(graph: Graph, model: Any, parts: Sequence[str]) -> str:
    weights = (
        np.ones(len(parts)) if model._weights_not_none is None else np.asarray(model._weights_not_none, float)
    )
    scaled = [
        graph.node("Mul", part, graph.constant(np.array([[weight / weights.sum()]])))
        for part, weight in zip(parts, weights, strict=True)
    ]
    return graph.node("Sum", *scaled)


def _stacking(graph: Graph, model: Any, table: Table) -> tuple[Answer, ...]:
    cells: list[Any] = []
    for part, method in zip(model.estimators_, model.stack_method_, strict=True):
        answers = _predict(graph, part, table)
        if method == "predict_proba":
            answer = _named(answers, "probabilities")
            columns = graph.table(answer.tensor, answer.width or 1)
            cells.extend(columns[1:] if answer.width == 2 else columns)
        elif method == "predict" and answers[0].name == "value":
            cells.extend(graph.table(_as_column(graph, answers), 1))
        else:
            raise CannotCompile(f"a stack of {method}")
    if model.passthrough:
        cells.extend(table)
    return _relabelled(graph, model, _predict(graph, model.final_estimator_, Table(cells)))


def _relabelled(graph: Graph, model: Any, answers: tuple[Answer, ...]) -> tuple[Answer, ...]:
    """The final estimator of a stack was fitted on class numbers; the stack answers with the classes."""
    if not hasattr(model, "classes_"):
        return answers
    probabilities = _named(answers, "probabilities").tensor
    return from_scores(graph, model, probabilities, softmax=False)


def _as_column(graph: Graph, answers: Sequence[Answer]) -> str:
    value = _named(answers, "value")
    if value.width is not None:
        raise CannotCompile("a member that predicts several values")
    return graph.node("Reshape", value.tensor, graph.constant(np.array([-1, 1], np.int64)))


_COMBINED = {
    "StackingClassifier": _stacking,
    "StackingRegressor": _stacking,
    "VotingClassifier": _voting_classifier,
    "VotingRegressor": _voting_regressor,
}
