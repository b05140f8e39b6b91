"""What a prediction cost, once it is known what really happened: losses between 0 (right) and 1.

- ``error_rate``: 1 when the label is wrong.
- ``brier``: half the squared distance between the probabilities and the outcome's unit vector; for two
classes
  ``(p - y)²`` of the positive (last) class (Brier 1950).
- ``absolute_error``: the absolute error over a cap, cut at 1. The cap is four times the 95% quantile of the
absolute
  error on the reference; where the reference has no predictions, twice the target's standard deviation there.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tsavo.monitors.kinds.columns import child, flat, numbers
from tsavo.monitors.kinds.context import MonitorContext

__all__ = ["LossRule", "loss_rule", "reference_losses"]

Floats = npt.NDArray[np.float64]
_CAP_QUANTILE: Final = 0.95
_CAP_FACTOR: Final = 4.0
_STRUCT: Final = "prediction"


class LossRule(msgspec.Struct, frozen=True):
    """How losses are computed for one endpoint.

    Attributes
    ----------
    metrics
        The losses that there can be, the most telling one last.
    classes
        Canonical class names in the order of the probabilities.
    cap
        The absolute error that counts as 1, for regression.
    """

    metrics: tuple[str, ...]
    classes: tuple[str, ...] = ()
    cap: float = 1.0

    def losses(
        self, rows: pa.Table, outcome: str = "outcome"
    ) -> tuple[dict[str, Floats], npt.NDArray[np.int64]]:
        """Losses by metric [m], and which rows [m] of `rows` they are for: those with a usable outcome."""
        column = flat(rows.column(outcome))
        if "absolute_error" in self.metrics:
            predicted = _prediction(rows, "value")
            if predicted is None or _is_wide(predicted):
                return {}, np.empty(0, dtype=np.int64)
            truth = numbers(column)
            known = np.flatnonzero(np.isfinite(truth))
            # A prediction that is no number is as wrong as can be.
            error = np.nan_to_num(np.abs(numbers(predicted)[known] - truth[known]), nan=np.inf)
            return {"absolute_error": np.minimum(error / self.cap, 1.0)}, known
        truth_class = self._classes_of(column)
        known = np.flatnonzero(~column.is_null().to_numpy(zero_copy_only=False))
        return self._class_losses(rows, truth_class, known), known

    def _class_losses(
        self, rows: pa.Table, truth: npt.NDArray[np.int64], known: npt.NDArray[np.int64]
    ) -> dict[str, Floats]:
        found: dict[str, Floats] = {}
        label, truth = _prediction(rows, "label"), truth[known]
        if label is not None:
            # An outcome that is none of the classes cannot have been predicted.
            wrong = (self._classes_of(label)[known] != truth) | (truth < 0)
            found["error_rate"] = wrong.astype(np.float64)
        chances = _probabilities(rows, len(self.classes))
        if chances is not None:
            happened = np.zeros((known.size, len(self.classes)))
            inside = truth >= 0
            happened[np.flatnonzero(inside), truth[inside]] = 1.0
            # The outcome outside all classes adds the square of its own certainty.
            distance = ((chances[known] - happened) ** 2).sum(axis=1) + ~inside
            found["brier"] = np.clip(np.nan_to_num(distance / 2, nan=1.0), 0.0, 1.0)
        return found

    def _classes_of(self, column: pa.Array) -> npt.NDArray[np.int64]:
        """The class number of each value [n], -1 for none of them."""
        coded = column.dictionary_encode()
        place = {name: number for number, name in enumerate(self.classes)}
        numbers_of = [place.get(_canonical(value), -1) for value in coded.dictionary.to_pylist()]
        indices = pc.fill_null(coded.indices, len(numbers_of)).to_numpy(zero_copy_only=False)
        found: npt.NDArray[np.int64] = np.array([*numbers_of, -1], dtype=np.int64)[indices]
        return found


def loss_rule(context: MonitorContext) -> LossRule | None:
    """The rule for `context`; ``None`` when there are no classes, or nothing to scale errors with."""
    signature = context.signature
    if signature.task in ("binary", "multiclass"):
        names = tuple(_canonical(value) for value in signature.classes or ())
        return LossRule(("error_rate", "brier"), classes=names) if len(set(names)) == len(names) > 1 else None
    if signature.task == "regression":
        cap = _cap(context)
        return None if cap is None else LossRule(("absolute_error",), cap=cap)
    return None


def reference_losses(context: MonitorContext, rule: LossRule) -> dict[str, Floats]:
    """The losses of the reference's own predictions, by metric; empty without a target or predictions."""
    reference, target = context.reference, context.target
    if reference is None or reference.num_rows == 0 or target is None or target not in reference.column_names:
        return {}
    return {metric: losses for metric, losses in rule.losses(reference, target)[0].items() if losses.size}


def _cap(context: MonitorContext) -> float | None:
    reference, target = context.reference, context.target
    if reference is None or target is None or target not in reference.column_names:
        return None
    truth = numbers(reference.column(target))
    predicted = _prediction(reference, "value")
    if predicted is not None and not _is_wide(predicted):
        error = np.abs(numbers(predicted) - truth)
        error = error[np.isfinite(error)]
        if error.size and (cap := _CAP_FACTOR * float(np.quantile(error, _CAP_QUANTILE))) > 0.0:
            return cap
    truth = truth[np.isfinite(truth)]
    spread = 2.0 * float(truth.std()) if truth.size else 0.0
    return spread if spread > 0.0 else None


def _prediction(rows: pa.Table, name: str) -> pa.Array | None:
    """One output, from the struct of recorded decisions or from the reference's flat columns."""
    if _STRUCT in rows.column_names:
        return child(rows, _STRUCT, name)
    column = f"{_STRUCT}.{name}"
    return flat(rows.column(column)) if column in rows.column_names else None


def _probabilities(rows: pa.Table, classes: int) -> Floats | None:
    """[n, classes], or ``None`` when there are none of that width."""
    column = _prediction(rows, "probabilities")
    if column is not None and not pa.types.is_struct(column.type):
        return _matrix(column, classes)
    if column is not None:
        parts = [column.field(number) for number in range(column.type.num_fields)]
    else:
        names = [f"{_STRUCT}.probabilities.{number}" for number in range(classes)]
        parts = [rows.column(name) for name in names if name in rows.column_names]
    return np.column_stack([numbers(part) for part in parts]) if len(parts) == classes else None


def _matrix(column: pa.Array, classes: int) -> Floats | None:
    """A column of lists as [n, classes]; rows that are null are NaN."""
    if not _is_wide(column):
        return None
    whole = np.flatnonzero(~column.is_null().to_numpy(zero_copy_only=False))
    values = numbers(column.flatten())
    if values.size != whole.size * classes:
        return None
    matrix = np.full((len(column), classes), np.nan)
    matrix[whole] = values.reshape(-1, classes)
    return matrix


def _is_wide(column: pa.Array) -> bool:
    kind = column.type
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _canonical(value: Any) -> str:
    """One spelling for one class, whether it comes as a boolean, a number or text.

    >>> [_canonical(value) for value in (True, 1, 1.0, "1", "true", "late")]
    ['1', '1', '1', '1', '1', 'late']
    """
    if isinstance(value, str):
        text = value.strip()
        if text.lower() in ("true", "false"):
            return "1" if text.lower() == "true" else "0"
        try:
            value = float(text)
        except ValueError:
            return text
        if not np.isfinite(value):
            return text
    return f"{float(value):.17g}" if value is not None else ""
