"""Predicates: true, false or unknown for each row. Specification: PMML 4.4, TreeModel, "Predicates"."""

from __future__ import annotations

import shlex
from functools import reduce
from typing import Final

from tsavo.formats.pmml.calculations import Calculation, Truth, Value
from tsavo.formats.pmml.elements import Element, NotPMML
from tsavo.formats.pmml.scopes import Scope, typed

__all__ = ["COMPARISONS", "PREDICATES", "compared", "joined", "predicate_of", "truth_of", "turned"]

PREDICATES: Final = ("True", "False", "SimplePredicate", "CompoundPredicate", "SimpleSetPredicate")
COMPARISONS: Final = {
    "equal": "Equal",
    "lessThan": "Less",
    "lessOrEqual": "LessOrEqual",
    "greaterThan": "Greater",
    "greaterOrEqual": "GreaterOrEqual",
}


def predicate_of(element: Element) -> Element:
    """The predicate among the children."""
    found = element.first(*PREDICATES)
    if found is None:
        raise NotPMML(f"a {element.name} without a predicate that is read here")
    return found


def truth_of(scope: Scope, element: Element) -> Truth:
    """What a predicate says of each row."""
    calculation = scope.calculation
    never = calculation.constant(False)
    if element.name in {"True", "False"}:
        return Truth(calculation.constant(element.name == "True"), never)
    if element.name == "SimplePredicate":
        return _simple(scope, element)
    if element.name == "SimpleSetPredicate":
        return _among(scope, element)
    parts = [truth_of(scope, child) for child in element.known()]
    if not parts:
        raise NotPMML("a CompoundPredicate without parts")
    return joined(calculation, element.need("booleanOperator"), parts)


def _simple(scope: Scope, element: Element) -> Truth:
    calculation, operator = scope.calculation, element.need("operator")
    value, data_type = scope.value(element.need("field"))
    gap = calculation.missing(value)
    if operator == "isMissing":
        return Truth(gap, calculation.constant(False))
    if operator == "isNotMissing":
        return Truth(calculation.negated(gap), calculation.constant(False))
    return compared(calculation, operator, value, constant_of(scope, element.need("value"), data_type))


def constant_of(scope: Scope, text: str, data_type: str) -> Value:
    """A written value in the precision of the field that it is compared with."""
    made = scope.calculation.constant(typed(text, data_type))
    return scope.calculation.step("Float32", made) if data_type == "float" else made


def compared(calculation: Calculation, operator: str, left: Value, right: Value) -> Truth:
    """Two columns compared; unknown where one is missing."""
    gap = calculation.either(calculation.missing(left), calculation.missing(right))
    if left.kind != right.kind:
        raise NotPMML(f"a comparison of {left.kind} with {right.kind}")
    if operator == "notEqual":
        return calculation.known(calculation.negated(calculation.step("Equal", left, right)), gap)
    if operator not in COMPARISONS:
        raise NotPMML(f"the operator '{operator}' of a predicate is not known")
    if left.kind == "text" and operator != "equal":
        raise NotPMML(f"text compared by '{operator}'")
    return calculation.known(calculation.step(COMPARISONS[operator], left, right), gap)


def _among(scope: Scope, element: Element) -> Truth:
    calculation = scope.calculation
    value, data_type = scope.value(element.need("field"))
    array = element.first("Array")
    if array is None:
        raise NotPMML("a SimpleSetPredicate without an Array")
    found = calculation.constant(False)
    for text in words_of(array):
        same = calculation.step("Equal", value, constant_of(scope, text, data_type))
        found = calculation.either(found, same)
    how = element.need("booleanOperator")
    if how not in {"isIn", "isNotIn"}:
        raise NotPMML(f"the operator '{how}' of a SimpleSetPredicate is not known")
    chosen = found if how == "isIn" else calculation.negated(found)
    return calculation.known(chosen, calculation.missing(value))


def words_of(array: Element) -> list[str]:
    """The entries of an Array; text with blanks is in quotes."""
    if array.get("type") != "string":
        return array.text.split()
    reader = shlex.shlex(array.text, posix=True)
    reader.whitespace_split, reader.commenters, reader.quotes = True, "", '"'
    try:
        return list(reader)
    except ValueError:
        raise NotPMML("an Array whose quotes do not end") from None


def joined(calculation: Calculation, operator: str, parts: list[Truth]) -> Truth:
    """Predicates put together, by the three-valued tables of the specification."""
    if operator == "surrogate":
        # The first that is known decides.
        made = parts[-1]
        for part in reversed(parts[:-1]):
            later = calculation.both(part.unknown, made.true)
            made = Truth(calculation.either(part.true, later), calculation.both(part.unknown, made.unknown))
        return made
    if operator == "and":
        return turned(calculation, joined(calculation, "or", [turned(calculation, part) for part in parts]))
    unknown = reduce(calculation.either, (part.unknown for part in parts))
    if operator == "or":
        true = reduce(calculation.either, (part.true for part in parts))
        return Truth(true, calculation.both(unknown, calculation.negated(true)))
    if operator == "xor":
        odd = reduce(
            lambda left, right: calculation.both(
                calculation.either(left, right), calculation.negated(calculation.both(left, right))
            ),
            (part.true for part in parts),
        )
        return calculation.known(odd, unknown)
    raise NotPMML(f"the operator '{operator}' of a CompoundPredicate is not known")


def turned(calculation: Calculation, truth: Truth) -> Truth:
    """True where it is false; unknown stays."""
    return calculation.known(calculation.negated(truth.true), truth.unknown)
