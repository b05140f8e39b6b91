"""Rule tables as people write them, and whether one can stand in for a version."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec
import numpy as np

from tsavo.vocabulary import (
    NUMPY_DTYPES,
    Condition,
    DType,
    Field,
    Invalid,
    Rule,
    RulesFallback,
    Signature,
)

__all__ = ["MOST_RULES", "can_be", "check_conditions", "read_rules"]

MOST_RULES: Final = 1_000
"""A table is part of its endpoint's route, which every gateway has in memory."""

_MOST_CONDITIONS: Final = 50
_MOST_LISTED: Final = 1_000
_SHAPE: Final = '{"when": {"column": "age", "below": 18}, "outputs": ...}'
_KINDS: Final[dict[DType, str]] = {
    "float64": "numbers",
    "float32": "numbers",
    "int64": "whole numbers",
    "int32": "whole numbers",
    "bool": "true or false",
    "string": "strings",
}


def read_rules(rules: Any, otherwise: Any, outputs_of: Callable[[Any, str], dict[str, Any]]) -> RulesFallback:
    """A rule table from what a person wrote.

    Parameters
    ----------
    rules
        A list of ``{"when": conditions, "outputs": answer}``; one condition may stand without a list around it.
    otherwise
        The answer for rows that meet no rule.
    outputs_of
        Makes all outputs of an answer that may be short for them, given the field's name for errors.

    Raises
    ------
    Invalid
        Naming the rule at fault.
    """
    if not isinstance(rules, list) or not rules or len(rules) > MOST_RULES:
        raise Invalid(
            "not a list of rules",
            field="fallback.rules",
            found=f"{len(rules):,} rules" if isinstance(rules, list) else rules,
            expected=f"1 to {MOST_RULES:,} of {_SHAPE}",
        )
    read = []
    for at, rule in enumerate(rules):
        field = f"fallback.rules[{at}]"
        if not isinstance(rule, Mapping) or rule.keys() != {"when", "outputs"}:
            raise Invalid("not a rule", field=field, found=rule, expected=_SHAPE)
        when = rule["when"] if isinstance(rule["when"], list) else [rule["when"]]
        conditions = tuple(_condition(one, f"{field}.when[{place}]") for place, one in enumerate(when))
        read.append(Rule(conditions, outputs_of(rule["outputs"], f"{field}.outputs")))
    return RulesFallback(tuple(read), outputs_of(otherwise, "fallback.otherwise"))


def _condition(given: Any, field: str) -> Condition:
    try:
        return msgspec.convert(given, Condition)
    except msgspec.ValidationError as error:
        raise Invalid(
            f"not a condition: {error}",
            field=field,
            found=given,
            expected='a column with at_least, below, one_of or missing, such as {"column": "age", "below": 18}',
        ) from error


def check_conditions(signature: Signature, table: RulesFallback) -> None:
    """Raise `Invalid` unless every condition can be asked of the signature's inputs."""
    fields = {field.name: field for field in signature.inputs}
    for at, rule in enumerate(table.rules):
        if not 1 <= len(rule.when) <= _MOST_CONDITIONS:
            raise Invalid(
                "a rule has conditions",
                field=f"fallback.rules[{at}].when",
                found=f"{len(rule.when)} conditions",
                expected=f"1 to {_MOST_CONDITIONS}; what holds for all other rows is 'otherwise'",
            )
        for place, condition in enumerate(rule.when):
            where = f"fallback.rules[{at}].when[{place}]"
            known = fields.get(condition.column)
            if known is None:
                raise Invalid(
                    "the rule asks for a column that the model does not take",
                    field=f"{where}.column",
                    found=condition.column,
                    expected=f"one of {list(fields)}",
                )
            _check_condition(known, condition, where)


def _check_condition(field: Field, condition: Condition, where: str) -> None:
    if (condition.at_least, condition.below, condition.one_of, condition.missing) == (None,) * 4:
        raise Invalid(
            "the condition says nothing",
            field=where,
            found=condition.column,
            expected="at_least, below, one_of or missing",
        )
    for name in ("at_least", "below"):
        bound = getattr(condition, name)
        if bound is not None and (field.dtype in ("string", "bool") or not math.isfinite(bound)):
            raise Invalid(
                f"not a bound of column '{field.name}', which has {_KINDS[field.dtype]}",
                field=f"{where}.{name}",
                found=bound,
                expected="one_of" if field.dtype in ("string", "bool") else "a finite number",
            )
    low, high = condition.at_least, condition.below
    if low is not None and high is not None and low >= high:
        raise Invalid(
            "no number is within these bounds", field=where, found=[low, high], expected="at_least < below"
        )
    if condition.one_of is not None:
        _check_listed(field, condition.one_of, f"{where}.one_of")


def _check_listed(field: Field, values: tuple[str | int | float | bool, ...], where: str) -> None:
    if not 1 <= len(values) <= _MOST_LISTED:
        raise Invalid(
            "not a list of values",
            field=where,
            found=f"{len(values):,} values",
            expected=f"1 to {_MOST_LISTED:,}",
        )
    for value in values:
        if not can_be(field.dtype, value):
            raise Invalid(
                f"no value of column '{field.name}'", field=where, found=value, expected=_KINDS[field.dtype]
            )


def can_be(dtype: DType, value: Any) -> bool:
    """Whether a JSON value is one of this type: a whole number is also a float, a truth value is no number.

    >>> can_be("float32", 1), can_be("float32", 1e300), can_be("int32", 1.0), can_be("int64", True)
    (True, False, False, False)
    """
    if dtype == "string" or isinstance(value, str):
        return dtype == "string" and isinstance(value, str)
    if dtype == "bool" or isinstance(value, bool):
        return dtype == "bool" and isinstance(value, bool)
    if dtype in ("float64", "float32"):
        # Not so for NaN and the infinities.
        return isinstance(value, int | float) and abs(value) <= float(np.finfo(NUMPY_DTYPES[dtype]).max)
    limits = np.iinfo(NUMPY_DTYPES[dtype])
    return isinstance(value, int) and limits.min <= value <= limits.max
