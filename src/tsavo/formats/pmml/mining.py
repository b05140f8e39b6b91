"""What a model makes of its inputs before it computes, and of its answer after: MiningSchema and Targets."""

from __future__ import annotations

import math

from tsavo.formats.pmml.elements import Element, NotPMML
from tsavo.formats.pmml.predicates import constant_of
from tsavo.formats.pmml.results import Result
from tsavo.formats.pmml.scopes import Scope

__all__ = ["TARGETS", "apply_schema", "targeted"]

TARGETS = frozenset({"target", "predicted"})


def apply_schema(scope: Scope, model: Element) -> Scope:
    """The fields as the model's MiningSchema wants them."""
    schema, inner = model.first("MiningSchema"), scope.inside()
    if schema is None:
        raise NotPMML(f"a {model.name} without a MiningSchema")
    calculation = scope.calculation
    for field in schema.known():
        if field.name != "MiningField":
            raise NotPMML(f"the element {field.name} in a MiningSchema is not read here")
        if field.get("usageType", "active") != "active":
            continue
        if field.get("outliers", "asIs") != "asIs":
            raise NotPMML("the treatment of outliers in a MiningSchema is not read here")
        if field.get("missingValueTreatment") == "returnInvalid":
            continue
        if "missingValueReplacement" in field.attributes:
            value, data_type = inner.value(field.need("name"))
            filling = constant_of(scope, field.need("missingValueReplacement"), data_type)
            filled = calculation.where(calculation.missing(value), filling, value)
            inner.fields[field.need("name")] = (filled, data_type)
    return inner


def targeted(scope: Scope, model: Element, result: Result) -> Result:
    """The answer as the model's Targets want it."""
    holder = model.first("Targets")
    value = result.value
    if holder is None or value is None:
        return result
    calculation = scope.calculation
    for target in holder.all("Target"):
        if target.first("TargetValue") is not None or "castInteger" in target.attributes:
            raise NotPMML("default values and castInteger of a Target are not read here")
        for name, operator in (("min", "Max"), ("max", "Min")):
            if name in target.attributes:
                value = calculation.step(operator, value, calculation.constant(target.number(name)))
        factor, shift = target.number("rescaleFactor", 1.0), target.number("rescaleConstant", 0.0)
        if not (math.isfinite(factor) and math.isfinite(shift)):
            raise NotPMML("a Target that is rescaled by no number")
        if factor != 1.0:
            value = calculation.step("Mul", value, calculation.constant(factor))
        if shift != 0.0:
            value = calculation.step("Add", value, calculation.constant(shift))
    return Result(value, {})
