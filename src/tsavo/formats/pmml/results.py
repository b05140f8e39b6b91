"""What a model says of each row: a value, or a score for each class."""

from __future__ import annotations

from typing import NamedTuple

from tsavo.formats.pmml.calculations import Calculation, Value
from tsavo.formats.pmml.elements import NotPMML

__all__ = ["Result", "chosen", "greatest"]


class Result(NamedTuple):
    """A value [n] of a regression, or class -> probability [n].

    Attributes
    ----------
    answer
        Position of the class among `scores` that a model itself names as its answer; else the greatest counts.
    """

    value: Value | None
    scores: dict[str, Value]
    answer: Value | None = None

    def of_nothing(self, calculation: Calculation) -> Result:
        """The same kind of answer, missing for each row."""
        nothing = calculation.nan
        value = None if self.value is None else nothing
        return Result(value, dict.fromkeys(self.scores, nothing), None if self.answer is None else nothing)


def chosen(calculation: Calculation, condition: Value, this: Result, other: Result) -> Result:
    """Where the condition holds `this`, else `other`."""
    if (this.value is None) != (other.value is None) or list(this.scores) != list(other.scores):
        raise NotPMML("segments that give different kinds of answers")

    def pick(left: Value | None, right: Value | None) -> Value | None:
        return None if left is None or right is None else calculation.where(condition, left, right)

    scores = {
        name: calculation.where(condition, this.scores[name], other.scores[name]) for name in this.scores
    }
    return Result(pick(this.value, other.value), scores, pick(this.answer, other.answer))


def greatest(calculation: Calculation, result: Result) -> Value:
    """Position [n] of the class that is the answer: as the model names it, or the first of the greatest scores."""
    if result.answer is not None:
        return result.answer
    best, index = calculation.nan, calculation.nan
    for at, score in enumerate(result.scores.values()):
        if at == 0:
            best, index = score, calculation.constant(0.0)
            continue
        above = calculation.step("Greater", score, best)
        best = calculation.where(above, score, best)
        index = calculation.where(above, calculation.constant(float(at)), index)
    return index
