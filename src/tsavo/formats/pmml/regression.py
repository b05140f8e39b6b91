"""RegressionModel. Specification: PMML 4.4, "Regression"."""

from __future__ import annotations

import math
from functools import reduce

from tsavo.formats.pmml.calculations import Calculation, Value
from tsavo.formats.pmml.elements import Element, NotPMML
from tsavo.formats.pmml.predicates import compared, constant_of
from tsavo.formats.pmml.results import Result
from tsavo.formats.pmml.scopes import Scope

__all__ = ["regression"]


def regression(scope: Scope, model: Element) -> Result:
    """What a RegressionModel says."""
    calculation = scope.calculation
    tables = list(model.all("RegressionTable"))
    link = model.get("normalizationMethod", "none")
    if not tables:
        raise NotPMML("a RegressionModel without a RegressionTable")
    sums = [_sum(scope, table) for table in tables]
    if model.need("functionName") == "regression":
        if link == "softmax" and len(sums) == 1:
            link = "logit"
        return Result(_linked(calculation, link, sums[0]), {})
    names = [table.need("targetCategory") for table in tables]
    if len(names) < 2:
        raise NotPMML("a classification with one RegressionTable")
    return Result(None, dict(zip(names, _shares(calculation, link, sums), strict=True)))


def _shares(calculation: Calculation, link: str, sums: list[Value]) -> list[Value]:
    if link in {"softmax", "simplemax"}:
        shown = sums
        if link == "softmax":
            # The greatest is taken away first, so that no power overflows.
            top = reduce(lambda left, right: calculation.step("Max", left, right), sums)
            shown = [calculation.step("Exp", calculation.step("Sub", one, top)) for one in sums]
        total = reduce(lambda left, right: calculation.step("Add", left, right), shown)
        return [calculation.step("Div", one, total) for one in shown]
    if len(sums) > 2 and link != "none":
        raise NotPMML(f"the normalization '{link}' of more than two classes is not read here")
    first = [_linked(calculation, link, one) for one in sums[:-1]]
    total = reduce(lambda left, right: calculation.step("Add", left, right), first)
    return [*first, calculation.step("Sub", calculation.constant(1.0), total)]


def _linked(calculation: Calculation, link: str, value: Value) -> Value:
    one = calculation.constant(1.0)
    minus = calculation.constant(-1.0)
    if link == "none":
        return value
    if link == "logit":
        return calculation.step("Sigmoid", value)
    if link == "exp":
        return calculation.step("Exp", value)
    if link == "probit":
        scaled = calculation.step("Mul", value, calculation.constant(math.sqrt(0.5)))
        half = calculation.constant(0.5)
        return calculation.step("Mul", half, calculation.step("Add", calculation.step("Erf", scaled), one))
    if link == "cloglog":
        inner = calculation.step("Mul", calculation.step("Exp", value), minus)
        return calculation.step("Sub", one, calculation.step("Exp", inner))
    if link == "loglog":
        inner = calculation.step("Exp", calculation.step("Mul", value, minus))
        return calculation.step("Exp", calculation.step("Mul", inner, minus))
    if link == "cauchit":
        turned = calculation.step("Mul", calculation.step("Atan", value), calculation.constant(1 / math.pi))
        return calculation.step("Add", turned, calculation.constant(0.5))
    raise NotPMML(f"the normalization '{link[:40]}' is not read here")


def _sum(scope: Scope, table: Element) -> Value:
    calculation = scope.calculation
    total = calculation.constant(table.number("intercept", 0.0))
    for part in table.known():
        if part.name == "NumericPredictor":
            value, _ = scope.value(part.need("name"))
            exponent = part.number("exponent", 1.0)
            if exponent != 1.0:
                value = calculation.step("Pow", value, calculation.constant(exponent))
            added = calculation.step("Mul", value, calculation.constant(part.number("coefficient")))
        elif part.name == "CategoricalPredictor":
            value, kind = scope.value(part.need("name"))
            same = compared(calculation, "equal", value, constant_of(scope, part.need("value"), kind))
            weight = calculation.constant(part.number("coefficient"))
            # A missing category is none of them.
            added = calculation.where(same.true, weight, calculation.constant(0.0))
        elif part.name == "PredictorTerm":
            fields = [scope.value(reference.need("field"))[0] for reference in part.all("FieldRef")]
            weight = calculation.constant(part.number("coefficient"))
            added = reduce(lambda left, right: calculation.step("Mul", left, right), fields, weight)
        else:
            raise NotPMML(f"the element {part.name} in a RegressionTable is not read here")
        total = calculation.step("Add", total, added)
    return total
