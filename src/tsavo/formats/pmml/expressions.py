"""Expressions and derived fields. Specification: PMML 4.4, "Transformations" and "Built-in Functions"."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Final

from tsavo.formats.pmml.calculations import Truth, Value
from tsavo.formats.pmml.elements import Element, NotPMML
from tsavo.formats.pmml.predicates import compared, constant_of, joined, turned
from tsavo.formats.pmml.scopes import Scope, typed

__all__ = ["derived_field", "expression_of"]

_NAMED: Final = (
    "FieldRef",
    "Constant",
    "Apply",
    "NormContinuous",
    "NormDiscrete",
    "Discretize",
    "MapValues",
)
_ARITHMETIC: Final = {
    "+": "Add",
    "-": "Sub",
    "*": "Mul",
    "/": "Div",
    "pow": "Pow",
    "min": "Min",
    "max": "Max",
}
_OF_ONE: Final = {
    "exp": "Exp",
    "ln": "Log",
    "sqrt": "Sqrt",
    "abs": "Abs",
    "floor": "Floor",
    "ceil": "Ceil",
    "tanh": "Tanh",
    "atan": "Atan",
}
_COMPARISONS: Final = frozenset(
    {"equal", "notEqual", "lessThan", "lessOrEqual", "greaterThan", "greaterOrEqual"}
)


def derived_field(scope: Scope, field: Element) -> tuple[Value, str]:
    """The column that a DerivedField stands for, and its ``dataType``."""
    (value, said), data_type = expression_of(scope, the_expression(field)), field.get("dataType", "double")
    calculation = scope.calculation
    if data_type == "string" and value.kind == "number":
        raise NotPMML(f"the field {field.need('name')!r} makes text of numbers")
    if data_type == "float":
        value = calculation.step("Float32", value)
    elif data_type == "integer" and said in {"double", "float"}:
        raise NotPMML(f"the field {field.need('name')!r} makes whole numbers of fractions")
    return value, data_type


def the_expression(element: Element) -> Element:
    """The one expression among the children."""
    for child in element.known():
        if child.name in _NAMED:
            return child
        if child.name not in {"Value", "Interval", "ParameterField"}:
            raise NotPMML(f"the element {child.name} is not read here")
    raise NotPMML(f"a {element.name} without an expression")


def expression_of(scope: Scope, element: Element) -> tuple[Value, str]:
    """What an expression gives for each row, and of what ``dataType`` it is."""
    if element.name not in _KINDS:
        raise NotPMML(f"the expression {element.name} is not read here")
    return _KINDS[element.name](scope, element)


def _reference(scope: Scope, element: Element) -> tuple[Value, str]:
    value, data_type = scope.value(element.need("field"))
    if "mapMissingTo" in element.attributes:
        value = _filled(scope, value, element.need("mapMissingTo"), data_type)
    return value, data_type


def _filled(scope: Scope, value: Value, text: str, data_type: str) -> Value:
    gap = scope.calculation.missing(value)
    return scope.calculation.where(gap, constant_of(scope, text, data_type), value)


def _constant(scope: Scope, element: Element) -> tuple[Value, str]:
    data_type = element.get("dataType")
    if not data_type:
        try:
            float(element.text)
            data_type = "double"
        except ValueError:
            data_type = "string"
    if element.get("missing") == "true":
        return scope.calculation.nan, "double"
    return scope.calculation.constant(typed(element.text, data_type)), data_type


def _apply(scope: Scope, element: Element) -> tuple[Value, str]:
    name, calculation = element.need("function"), scope.calculation
    if "defaultValue" in element.attributes:
        raise NotPMML("the attribute defaultValue of Apply is not read here")
    parts = [expression_of(scope, child) for child in element.known()]
    values = [value for value, _ in parts]
    if not values:
        raise NotPMML(f"the function '{name}' without arguments")
    made, data_type = _called(scope, name, values, parts[-1][1])
    if "mapMissingTo" in element.attributes:
        gap = reduce(calculation.either, (calculation.missing(value) for value in values))
        made = calculation.where(
            gap, calculation.constant(typed(element.need("mapMissingTo"), data_type)), made
        )
    return made, data_type


def _called(scope: Scope, name: str, values: list[Value], data_type: str) -> tuple[Value, str]:
    calculation = scope.calculation
    if name == "if" and len(values) in {2, 3}:
        truth = _truth(scope, values[0])
        other = values[2] if len(values) == 3 else calculation.nan
        if other.kind != values[1].kind:
            raise NotPMML("an 'if' whose ways give different kinds of values")
        chosen = calculation.where(truth.true, values[1], other)
        if chosen.kind != "number":
            return chosen, data_type
        return calculation.where(truth.unknown, calculation.nan, chosen), data_type
    if name in {"isMissing", "isNotMissing"}:
        gap = calculation.missing(values[0])
        sure = gap if name == "isMissing" else calculation.negated(gap)
        return calculation.as_number(Truth(sure, calculation.constant(False))), "boolean"
    if name in _COMPARISONS and len(values) == 2:
        return calculation.as_number(compared(calculation, name, values[0], values[1])), "boolean"
    if name in {"and", "or"}:
        truths = [_truth(scope, value) for value in values]
        return calculation.as_number(joined(calculation, name, truths)), "boolean"
    if name == "not":
        return calculation.as_number(turned(calculation, _truth(scope, values[0]))), "boolean"
    return _computed(scope, name, values), "double"


def _computed(scope: Scope, name: str, values: list[Value]) -> Value:
    calculation = scope.calculation
    if any(value.kind != "number" for value in values):
        raise NotPMML(f"the function '{name}' of text")
    if name in {"min", "max", "sum", "avg", "+", "*"} or (name in _ARITHMETIC and len(values) == 2):
        operator = "Add" if name in {"sum", "avg"} else _ARITHMETIC[name]
        total = reduce(lambda left, right: calculation.step(operator, left, right), values)
        if name == "avg":
            return calculation.step("Div", total, calculation.constant(float(len(values))))
        return total
    if name in _OF_ONE and len(values) == 1:
        return calculation.step(_OF_ONE[name], values[0])
    if name == "threshold" and len(values) == 2:
        return calculation.as_number(compared(calculation, "greaterThan", values[0], values[1]))
    raise NotPMML(f"the function '{name[:60]}' with {len(values)} arguments is not read here")


def _truth(scope: Scope, value: Value) -> Truth:
    calculation = scope.calculation
    if value.kind != "number":
        raise NotPMML("text where something is true or false")
    gap = calculation.missing(value)
    zero = calculation.step("Equal", value, calculation.constant(0.0))
    return calculation.known(calculation.negated(zero), gap)


def _norm_continuous(scope: Scope, element: Element) -> tuple[Value, str]:
    calculation = scope.calculation
    value, _ = scope.value(element.need("field"))
    points = [(point.number("orig"), point.number("norm")) for point in element.all("LinearNorm")]
    outliers = element.get("outliers", "asIs")
    if len(points) < 2 or sorted(points) != points:
        raise NotPMML("a NormContinuous without two rising LinearNorm")
    made = calculation.nan
    for at in reversed(range(len(points) - 1)):
        (start, low), (end, high) = points[at], points[at + 1]
        if end == start:
            raise NotPMML("two LinearNorm at one place")
        slope = calculation.constant((high - low) / (end - start))
        shifted = calculation.step("Sub", value, calculation.constant(start))
        line = calculation.step("Add", calculation.step("Mul", shifted, slope), calculation.constant(low))
        last = at == len(points) - 2
        below = calculation.step("Less", value, calculation.constant(end))
        made = line if last else calculation.where(below, line, made)
    if outliers != "asIs":
        as_missing = outliers == "asMissingValues"
        for operator, (place, norm) in (("Less", points[0]), ("Greater", points[-1])):
            outside = calculation.step(operator, value, calculation.constant(place))
            shown = calculation.nan if as_missing else calculation.constant(norm)
            made = calculation.where(outside, shown, made)
    made = calculation.where(calculation.missing(value), _replacement(scope, element, "double"), made)
    return made, "double"


def _replacement(scope: Scope, element: Element, data_type: str) -> Value:
    if "mapMissingTo" in element.attributes:
        return scope.calculation.constant(typed(element.need("mapMissingTo"), data_type))
    return _nothing(scope, data_type)


def _nothing(scope: Scope, data_type: str) -> Value:
    if data_type == "string":
        raise NotPMML("an expression that may give missing text")
    return scope.calculation.nan


def _norm_discrete(scope: Scope, element: Element) -> tuple[Value, str]:
    value, data_type = scope.value(element.need("field"))
    truth = compared(scope.calculation, "equal", value, constant_of(scope, element.need("value"), data_type))
    made = scope.calculation.as_number(truth)
    if "mapMissingTo" in element.attributes:
        made = _filled(scope, made, element.need("mapMissingTo"), "double")
    return made, "double"


def _discretize(scope: Scope, element: Element) -> tuple[Value, str]:
    calculation, data_type = scope.calculation, element.get("dataType", "string")
    value, _ = scope.value(element.need("field"))
    default = element.attributes.get("defaultValue")
    made = _nothing(scope, data_type) if default is None else calculation.constant(typed(default, data_type))
    for part in reversed(list(element.all("DiscretizeBin"))):
        interval = part.first("Interval")
        if interval is None:
            raise NotPMML("a DiscretizeBin without an Interval")
        inside = calculation.constant(True)
        left, right = _closure(interval)
        for name, operator in (("leftMargin", left), ("rightMargin", right)):
            if name in interval.attributes:
                edge = calculation.constant(interval.number(name))
                inside = calculation.both(inside, calculation.step(operator, value, edge))
        made = calculation.where(inside, calculation.constant(typed(part.need("binValue"), data_type)), made)
    gap = calculation.missing(value)
    return calculation.where(gap, _replacement(scope, element, data_type), made), data_type


def _closure(interval: Element) -> tuple[str, str]:
    said = interval.need("closure")
    if said not in {"openOpen", "openClosed", "closedOpen", "closedClosed"}:
        raise NotPMML(f"the closure '{said[:40]}' of an Interval is not known")
    left = "Greater" if said.startswith("open") else "GreaterOrEqual"
    return left, "Less" if said.endswith("Open") else "LessOrEqual"


def _map_values(scope: Scope, element: Element) -> tuple[Value, str]:
    calculation, data_type = scope.calculation, element.get("dataType", "string")
    pairs = [(pair.need("field"), pair.need("column")) for pair in element.all("FieldColumnPair")]
    table, given = element.first("InlineTable"), element.need("outputColumn")
    if table is None or not pairs:
        raise NotPMML("a MapValues without pairs and an InlineTable")
    default = element.attributes.get("defaultValue")
    made = _nothing(scope, data_type) if default is None else calculation.constant(typed(default, data_type))
    fields = [scope.value(name) for name, _ in pairs]
    for row in table.all("row"):
        cells = {cell.name: cell.text for cell in row.children}
        found = calculation.constant(True)
        for (value, kind), (_, column) in zip(fields, pairs, strict=True):
            same = calculation.step("Equal", value, constant_of(scope, cells.get(column, ""), kind))
            found = calculation.both(found, same)
        made = calculation.where(found, calculation.constant(typed(cells.get(given, ""), data_type)), made)
    if "mapMissingTo" in element.attributes:
        gap = reduce(calculation.either, (calculation.missing(value) for value, _ in fields))
        made = calculation.where(
            gap, calculation.constant(typed(element.need("mapMissingTo"), data_type)), made
        )
    return made, data_type


_KINDS: Final[dict[str, Callable[[Scope, Element], tuple[Value, str]]]] = {
    "FieldRef": _reference,
    "Constant": _constant,
    "Apply": _apply,
    "NormContinuous": _norm_continuous,
    "NormDiscrete": _norm_discrete,
    "Discretize": _discretize,
    "MapValues": _map_values,
}
