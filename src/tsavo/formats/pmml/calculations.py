"""The steps that a document is computed in, and numpy doing them; `pmml_graphs` does them in an ONNX graph.

A step is called as the ONNX operator that does it, so that there is one list of names.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import numpy as np

__all__ = ["Calculation", "Kind", "NumpyCalculation", "Truth", "Value"]

Kind: TypeAlias = Literal["number", "text", "truth"]


class Value(NamedTuple):
    """A column: numbers with NaN for what is missing, text, or truth (which is never missing)."""

    kind: Kind
    data: Any


class Truth(NamedTuple):
    """What a predicate says of each row: certainly true, or unknown; else false."""

    true: Value
    unknown: Value


class Calculation(ABC):
    """Steps over columns; each takes and gives one value a row."""

    @abstractmethod
    def constant(self, value: float | str | bool) -> Value:
        """The same for each row."""

    # "Float32" is no operator of ONNX: it rounds to float32.
    @abstractmethod
    def step(self, operator: str, *values: Value) -> Value:
        """Numbers or truths from others, by an operator of ONNX."""

    @abstractmethod
    def where(self, condition: Value, this: Value, other: Value) -> Value:
        """Where the condition holds `this`, else `other`."""

    @abstractmethod
    def missing(self, value: Value) -> Value:
        """Where it is missing."""

    @property
    def nan(self) -> Value:
        """A missing number."""
        return self.constant(math.nan)

    def both(self, left: Value, right: Value) -> Value:
        """Where both hold."""
        return self.step("And", left, right)

    def either(self, left: Value, right: Value) -> Value:
        """Where one of them holds."""
        return self.step("Or", left, right)

    def negated(self, value: Value) -> Value:
        """Where it does not hold."""
        return self.step("Not", value)

    def known(self, truth: Value, missing: Value) -> Truth:
        """A predicate that is unknown where `missing`."""
        return Truth(self.both(truth, self.negated(missing)), missing)

    def as_number(self, truth: Truth) -> Value:
        """One, zero, or missing where it is unknown."""
        sure = self.where(truth.true, self.constant(1.0), self.constant(0.0))
        return self.where(truth.unknown, self.nan, sure)


_erf: Final[Callable[..., Any]] = np.frompyfunc(math.erf, 1, 1)
_STEPS: Final[dict[str, Callable[..., Any]]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
    "Pow": np.power,
    "Min": np.minimum,
    "Max": np.maximum,
    "Exp": np.exp,
    "Log": np.log,
    "Sqrt": np.sqrt,
    "Abs": np.abs,
    "Floor": np.floor,
    "Ceil": np.ceil,
    "Tanh": np.tanh,
    "Atan": np.arctan,
    "Sigmoid": lambda x: 1.0 / (1.0 + np.exp(-x)),
    "Float32": lambda x: np.asarray(x, np.float64).astype(np.float32).astype(np.float64),
    "Erf": lambda x: np.asarray(_erf(x), np.float64),
    "And": np.logical_and,
    "Or": np.logical_or,
    "Not": np.logical_not,
    "Equal": lambda left, right: np.asarray(left == right, np.bool_),
    "Less": np.less,
    "LessOrEqual": np.less_equal,
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
}
_TRUTHS: Final = frozenset({"And", "Or", "Not", "Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"})


class NumpyCalculation(Calculation):
    """Arrays [n], and arrays of one value for constants."""

    def constant(self, value: float | str | bool) -> Value:
        """See `Calculation.constant`."""
        if isinstance(value, bool):
            return Value("truth", np.array([value]))
        if isinstance(value, str):
            return Value("text", np.array([value], dtype=object))
        return Value("number", np.array([float(value)]))

    def step(self, operator: str, *values: Value) -> Value:
        """See `Calculation.step`."""
        with np.errstate(all="ignore"):
            made = _STEPS[operator](*(value.data for value in values))
        return Value("truth" if operator in _TRUTHS else "number", made)

    def where(self, condition: Value, this: Value, other: Value) -> Value:
        """See `Calculation.where`."""
        return Value(this.kind, np.where(condition.data, this.data, other.data))

    def missing(self, value: Value) -> Value:
        """See `Calculation.missing`."""
        if value.kind == "text":
            return Value("truth", np.asarray([part is None for part in value.data.tolist()], np.bool_))
        return Value("truth", np.isnan(value.data) if value.kind == "number" else np.zeros(1, np.bool_))
