"""Models and ensembles of models. Specification: PMML 4.4, Scorecard, MultipleModels, Output."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Final

from tsavo.formats.pmml.calculations import Calculation, Value
from tsavo.formats.pmml.elements import Element, NotPMML
from tsavo.formats.pmml.expressions import expression_of, the_expression
from tsavo.formats.pmml.mining import apply_schema, targeted
from tsavo.formats.pmml.predicates import predicate_of, truth_of
from tsavo.formats.pmml.regression import regression
from tsavo.formats.pmml.results import Result, chosen, greatest
from tsavo.formats.pmml.scopes import Scope
from tsavo.formats.pmml.trees import tree

__all__ = ["MODELS", "evaluate"]

_IGNORED: Final = frozenset(
    {
        "Extension",
        "ModelStats",
        "ModelExplanation",
        "ModelVerification",
        "MiningSchema",
        "LocalTransformations",
        "Targets",
        "Output",
    }
)


def evaluate(scope: Scope, model: Element) -> Result:
    """What a model says of each row; fields that its Output names are added to `scope`."""
    if model.name not in MODELS:
        raise NotPMML(f"the model {model.name} is not read here")
    inner = apply_schema(scope, model)
    inner.define(model.first("LocalTransformations"))
    result = targeted(inner, model, MODELS[model.name](inner, model))
    _give(scope, inner, model, result)
    return result


def _give(scope: Scope, inner: Scope, model: Element, result: Result) -> None:
    output = model.first("Output")
    for field in output.all("OutputField") if output is not None else ():
        name, feature = field.need("name"), field.get("feature", "predictedValue")
        if feature == "predictedValue" and result.value is not None:
            found = (result.value, "double")
        elif feature == "probability" and field.get("value") in result.scores:
            found = (result.scores[field.get("value")], "double")
        elif feature == "transformedValue":
            found = expression_of(inner, the_expression(field))
        else:
            # What nobody computes with is for people to read; who asks for it is told that it is not defined.
            continue
        inner.fields[name] = found
        scope.fields[name] = found


def _scorecard(scope: Scope, model: Element) -> Result:
    """Points added up; reason codes explain a score and do not change it."""
    calculation = scope.calculation
    total = calculation.constant(model.number("initialScore", 0.0))
    holder = model.first("Characteristics")
    for characteristic in holder.all("Characteristic") if holder is not None else ():
        points = calculation.nan
        for attribute in reversed(list(characteristic.all("Attribute"))):
            complex_score = attribute.first("ComplexPartialScore")
            if complex_score is not None:
                given, _ = expression_of(scope, the_expression(complex_score))
            else:
                given = calculation.constant(attribute.number("partialScore"))
            truth = truth_of(scope, predicate_of(attribute))
            points = calculation.where(truth.true, given, points)
        total = calculation.step("Add", total, points)
    return Result(total, {})


def _mining(scope: Scope, model: Element) -> Result:
    segmentation = model.first("Segmentation")
    if segmentation is None:
        raise NotPMML("a MiningModel without a Segmentation")
    for child in model.known():
        if child.name not in _IGNORED and child.name != "Segmentation":
            raise NotPMML(f"the element {child.name} in a MiningModel is not read here")
    method = segmentation.need("multipleModelMethod")
    segments = list(segmentation.all("Segment"))
    if not segments:
        raise NotPMML("a Segmentation without segments")
    if method == "modelChain":
        return _chain(scope, segments)
    if method not in _METHODS:
        raise NotPMML(f"the method '{method[:40]}' of a Segmentation is not read here")
    parts = []
    for segment in segments:
        truth = truth_of(scope, predicate_of(segment)).true
        parts.append((truth, segment.number("weight", 1.0), evaluate(scope.inside(), _model_in(segment))))
    return _METHODS[method](scope.calculation, parts)


def _model_in(segment: Element) -> Element:
    for child in segment.known():
        if child.name in MODELS:
            return child
    names = ", ".join(child.name for child in segment.known())
    raise NotPMML(f"a Segment without a model that is read here: {names[:100]}")


def _chain(scope: Scope, segments: list[Element]) -> Result:
    result: Result | None = None
    for segment in segments:
        if predicate_of(segment).name != "True":
            raise NotPMML("a chain of models with conditions")
        result = evaluate(scope, _model_in(segment))
    if result is None:
        raise NotPMML("a chain of no models")
    return result


_Part = tuple[Value, float, Result]


def _weighted(
    calculation: Calculation, parts: list[_Part], pick: Callable[[Result], Value | None], *, mean: bool
) -> Value:
    total, weights = calculation.constant(0.0), calculation.constant(0.0)
    nothing = calculation.constant(0.0)
    for truth, weight, result in parts:
        value = pick(result)
        if value is None:
            raise NotPMML("segments that give different kinds of answers")
        share = calculation.constant(weight)
        scaled = value if weight == 1.0 else calculation.step("Mul", value, share)
        total = calculation.step("Add", total, calculation.where(truth, scaled, nothing))
        weights = calculation.step("Add", weights, calculation.where(truth, share, nothing))
    return calculation.step("Div", total, weights) if mean else total


def _combined(calculation: Calculation, parts: list[_Part], *, mean: bool, weighted: bool) -> Result:
    if not weighted:
        parts = [(truth, 1.0, result) for truth, _, result in parts]
    classes = list(dict.fromkeys(name for _, _, result in parts for name in result.scores))
    if not classes:
        return Result(_weighted(calculation, parts, lambda result: result.value, mean=mean), {})
    if not mean:
        raise NotPMML("a sum of classifications")
    zero = calculation.constant(0.0)

    def share_of(name: str) -> Callable[[Result], Value]:
        return lambda result: result.scores.get(name, zero)

    scores = {name: _weighted(calculation, parts, share_of(name), mean=True) for name in classes}
    return Result(None, scores)


def _vote(calculation: Calculation, parts: list[_Part], *, weighted: bool) -> Result:
    voted: list[_Part] = []
    for truth, weight, result in parts:
        if not result.scores:
            raise NotPMML("a vote among regressions")
        names, index = list(result.scores), greatest(calculation, result)
        one, nothing = calculation.constant(1.0), calculation.constant(0.0)
        votes = {
            name: calculation.where(
                calculation.step("Equal", index, calculation.constant(float(at))), one, nothing
            )
            for at, name in enumerate(names)
        }
        voted.append((truth, weight if weighted else 1.0, Result(None, votes)))
    return _combined(calculation, voted, mean=True, weighted=True)


def _first(calculation: Calculation, parts: list[_Part]) -> Result:
    return reduce(
        lambda rest, part: chosen(calculation, part[0], part[2], rest),
        reversed(parts),
        parts[0][2].of_nothing(calculation),
    )


_METHODS: Final[dict[str, Callable[[Calculation, list[_Part]], Result]]] = {
    "sum": lambda calculation, parts: _combined(calculation, parts, mean=False, weighted=False),
    "weightedSum": lambda calculation, parts: _combined(calculation, parts, mean=False, weighted=True),
    "average": lambda calculation, parts: _combined(calculation, parts, mean=True, weighted=False),
    "weightedAverage": lambda calculation, parts: _combined(calculation, parts, mean=True, weighted=True),
    "majorityVote": lambda calculation, parts: _vote(calculation, parts, weighted=False),
    "weightedMajorityVote": lambda calculation, parts: _vote(calculation, parts, weighted=True),
    "selectFirst": _first,
}
MODELS: Final[dict[str, Callable[[Scope, Element], Result]]] = {
    "RegressionModel": regression,
    "TreeModel": tree,
    "Scorecard": _scorecard,
    "MiningModel": _mining,
}
"""The models that are read; others are refused by name."""
