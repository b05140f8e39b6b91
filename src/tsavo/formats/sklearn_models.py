"""scikit-learn: fitted estimators and pipelines, asked in their own way."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from tsavo.formats.originals import Original, as_frame, as_matrix, unlike_a_model
from tsavo.vocabulary import Columns, Field, Hints, Task

if TYPE_CHECKING:
    from tsavo.formats.compilation import Compiled

__all__ = ["SklearnOriginal", "is_missing", "wrap"]

_DEPTH: Final = 8


def wrap(model: Any, hints: Hints) -> SklearnOriginal:
    """A fitted estimator, or anything that behaves like one.

    Raises
    ------
    Invalid
        When it is no fitted estimator.
    """
    return SklearnOriginal(model, hints)


class SklearnOriginal(Original):
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

    def __init__(self, estimator: Any, hints: Hints = Hints()) -> None:  # noqa: B008 -- frozen
        if not (hasattr(estimator, "predict") or hasattr(estimator, "transform")) or isinstance(
            estimator, type
        ):
            raise unlike_a_model(estimator, "a fitted scikit-learn estimator or pipeline")
        self.estimator = estimator
        self.framework = _framework()
        if hints.names is not None:
            self.names = list(hints.names)
        elif (names := getattr(estimator, "feature_names_in_", None)) is not None:
            self.names = [str(name) for name in names]
        self.columns = getattr(estimator, "n_features_in_", None)
        self.classes = _classes(estimator)
        self.task = _task(estimator, self.classes)
        self.wants_text = any(isinstance(value, str) for value in _learned(estimator))
        self._as_frame = getattr(estimator, "feature_names_in_", None) is not None
        self._hole = None if _knows_only_none(estimator) else np.nan

    def compile(self, fields: Sequence[Field], *, float32: bool) -> Compiled:
        """See `Original.compile`."""
        from tsavo.formats.compilation import compile_estimator

        return compile_estimator(self.estimator, fields, float32=float32)

    def predict(self, fields: Sequence[Field], columns: Columns) -> dict[str, npt.NDArray[Any]]:
        """Its outputs by public name; see `Original.predict`."""
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

    def _table(self, fields: Sequence[Field], columns: Columns) -> Any:
        """A DataFrame for estimators that were fitted on one, an array for the others."""
        if self._as_frame:
            return as_frame(fields, columns, self.names, hole=self._hole)
        return as_matrix(fields, columns, hole=self._hole)


def _framework() -> str:
    import sklearn

    return f"scikit-learn {sklearn.__version__}"


def _classes(estimator: Any) -> tuple[str | int | bool | float, ...] | None:
    """Class labels in the order of the probabilities, for classifiers."""
    from tsavo.formats.classes import class_values

    if not hasattr(estimator, "classes_") or not hasattr(estimator, "predict"):
        return None
    return class_values(estimator)[0]


def _task(estimator: Any, classes: tuple[Any, ...] | None) -> Task:
    if classes is not None:
        return "binary" if len(classes) == 2 else "multiclass"
    if _anomaly(estimator):
        return "anomaly"
    if hasattr(estimator, "labels_") and hasattr(estimator, "predict"):
        return "clustering"
    return "regression" if _regression(estimator) else "generic"


def is_missing(value: Any) -> bool:
    """Whether scikit-learn's encoders would take `value` for a missing one."""
    return value is None or (isinstance(value, float) and np.isnan(value)) or type(value).__name__ == "NAType"


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
