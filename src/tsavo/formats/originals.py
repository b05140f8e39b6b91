"""The original model, asked in its own way: a table in, outputs by name out."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tsavo.formats.answers import class_values
from tsavo.formats.preprocessing import is_missing
from tsavo.formats.tables import pick
from tsavo.vocabulary import Columns, Field, Invalid, Task

__all__ = ["NEVER_SEEN", "Original"]

NEVER_SEEN: Final = "tsavo: a category that was never seen"
_DEPTH: Final = 8


class Original:
    """A fitted estimator.

    Parameters
    ----------
    estimator
        As the file held it.

    Raises
    ------
    Invalid
        When it is not a fitted scikit-learn estimator.
    """

    def __init__(self, estimator: Any) -> None:
        if not (hasattr(estimator, "predict") or hasattr(estimator, "transform")) or isinstance(
            estimator, type
        ):
            raise Invalid(
                "the file holds no model",
                field="source",
                found=f"{type(estimator).__module__}.{type(estimator).__qualname__}",
                expected="a fitted scikit-learn estimator or pipeline",
            )
        self.estimator = estimator
        self.names: list[str] | None = None
        if (names := getattr(estimator, "feature_names_in_", None)) is not None:
            self.names = [str(name) for name in names]
        self.columns: int | None = getattr(estimator, "n_features_in_", None)
        self._hole = None if _knows_only_none(estimator) else np.nan
        self.outputs: tuple[str, ...] = ()

    @property
    def classes(self) -> tuple[str | int | bool | float, ...] | None:
        """Class labels in the order of the probabilities, for classifiers."""
        if not hasattr(self.estimator, "classes_") or not hasattr(self.estimator, "predict"):
            return None
        return class_values(self.estimator)[0]

    @property
    def task(self) -> Task:
        """What it is for."""
        classes = self.classes
        if classes is not None:
            return "binary" if len(classes) == 2 else "multiclass"
        if _anomaly(self.estimator):
            return "anomaly"
        return "generic" if not _regression(self.estimator) else "regression"

    @property
    def wants_text(self) -> bool:
        """Whether a step of it was fitted on text."""
        return any(isinstance(value, str) for value in _learned(self.estimator))

    def predict(self, fields: Sequence[Field], columns: Columns) -> dict[str, npt.NDArray[Any]]:
        """Its outputs by public name; whatever it raises comes through."""
        table = self._table(fields, columns)
        estimator = self.estimator
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if self.classes is not None:
                outputs = {"label": np.asarray(estimator.predict(table))}
                if hasattr(estimator, "predict_proba"):
                    outputs["probabilities"] = np.asarray(estimator.predict_proba(table))
                return outputs
            if self.task == "anomaly":
                return {
                    "score": np.asarray(estimator.decision_function(table)),
                    "label": np.asarray(estimator.predict(table)),
                }
            if hasattr(estimator, "labels_"):
                return {"label": np.asarray(estimator.predict(table))}
            if hasattr(estimator, "predict"):
                return {"value": np.asarray(estimator.predict(table))}
            made = estimator.transform(table)
            return {"value": np.asarray(made.toarray() if hasattr(made, "toarray") else made)}

    def accepts(self, fields: Sequence[Field], columns: Columns) -> bool:
        """Whether it predicts these rows without an error."""
        try:
            self.predict(fields, columns)
        except MemoryError:
            raise
        except Exception:  # an estimator says no in any way it likes
            return False
        return True

    def takes(
        self, fields: Sequence[Field], columns: Columns, positions: Sequence[int], value: Any
    ) -> set[int]:
        """Which of the columns `positions` it accepts with `value` in them, one column at a time.

        All are tried in one call first, each in a row of its own, and halved until the culprits are found.
        """
        if not positions:
            return set()
        probe = pick(columns, np.zeros(len(positions), np.int64))
        for row, at in enumerate(positions):
            name = fields[at].name
            kept = probe[name].astype(object if fields[at].dtype == "string" else np.float64)
            kept[row] = value
            probe[name] = kept
        if self.accepts(fields, probe):
            return set(positions)
        if len(positions) == 1:
            return set()
        half = len(positions) // 2
        return self.takes(fields, columns, positions[:half], value) | self.takes(
            fields, columns, positions[half:], value
        )

    def _table(self, fields: Sequence[Field], columns: Columns) -> Any:
        """A DataFrame for estimators that were fitted on one, an array for the others."""
        arrays = [self._values(np.asarray(columns[field.name])) for field in fields]
        if self.names is not None:
            import pandas

            return pandas.DataFrame(dict(zip(self.names, arrays, strict=True)))
        if any(field.dtype == "string" for field in fields):
            table = np.empty((len(arrays[0]), len(arrays)), dtype=object)
            for at, array in enumerate(arrays):
                table[:, at] = array
            return table
        return np.stack(arrays, axis=1) if arrays else np.empty((0, 0))

    def _values(self, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
        if values.dtype != object:
            return values
        given = np.empty(len(values), dtype=object)
        given[:] = [self._hole if value is None else value for value in values.tolist()]
        return given


def _anomaly(estimator: Any) -> bool:
    last = estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator
    return hasattr(last, "decision_function") and hasattr(last, "offset_")


def _regression(estimator: Any) -> bool:
    from sklearn.base import is_regressor

    return bool(is_regressor(estimator))


def _parts(part: Any, depth: int = 0) -> Iterator[Any]:
    """An estimator and the fitted steps inside it."""
    if depth > _DEPTH or isinstance(part, str) or part is None:
        return
    yield part
    steps = [step for _, step in getattr(part, "steps", ())]
    steps += [step for _, step, _ in getattr(part, "transformers_", ())]
    steps += [step for _, step in getattr(part, "transformer_list", ())]
    steps += [getattr(part, "best_estimator_", None)]
    for step in steps:
        yield from _parts(step, depth + 1)


def _learned(estimator: Any) -> list[Any]:
    """The values that encoders and imputers inside an estimator were fitted on or fill in."""
    learned: list[Any] = []
    for part in _parts(estimator):
        for categories in getattr(part, "categories_", ()):
            learned.extend(categories)
        if type(part).__name__ == "SimpleImputer":
            learned.extend(part.statistics_)
    return learned


def _knows_only_none(estimator: Any) -> bool:
    """Whether the model was fitted on ``None`` for missing text, and not on NaN as pandas has it."""
    holes = [value for value in _learned(estimator) if is_missing(value)]
    markers = [part.missing_values for part in _parts(estimator) if type(part).__name__ == "SimpleImputer"]
    fitted_on_none = bool(holes) and all(value is None for value in holes)
    return fitted_on_none or any(marker is None for marker in markers)
