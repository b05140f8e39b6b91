"""scikit-learn: fitted estimators and pipelines, asked in their own way.

================================== ============ =========================================================
the last step                      task         outputs
================================== ============ =========================================================
a classifier                       binary,      ``label`` [n]; ``probabilities`` [n, classes] when it has
                                   multiclass   any
several targets of 0 and 1         multilabel   ``label`` [n, k]; ``probabilities`` [n, k] of a one
several targets of more classes    generic      ``label_0``, ``probabilities_0``, ``label_1`` and so on
a regressor                        regression   ``value`` [n] or [n, k]
an outlier or novelty detector     anomaly      ``score`` [n], below zero for outliers; ``label``: -1 or 1
a clusterer                        clustering   ``label`` [n]
a mixture                          clustering   ``label`` [n]; ``probabilities`` [n, components]
a transformer                      generic      ``value`` [n, k]
a density                          generic      ``score`` [n], a log-density
================================== ============ =========================================================
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from tsavo.formats.originals import Original, as_frame, as_matrix, unlike_a_model
from tsavo.vocabulary import Columns, Field, Hints, Invalid, Task

if TYPE_CHECKING:
    from tsavo.formats.compilation import Compiled

__all__ = ["SklearnOriginal", "final_step", "is_missing", "label_sets", "wrap"]

_DEPTH: Final = 8
_TEXT_READERS: Final = frozenset({"CountVectorizer", "HashingVectorizer", "TfidfVectorizer"})
# Where estimators keep the fitted one inside them.
_INNER: Final = ("best_estimator_", "estimator_", "regressor_", "final_estimator_", "_preprocessor")
_METHODS: Final = ("predict", "transform", "score_samples")


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
        When it is not a fitted scikit-learn estimator, or one that only labels the rows it was fitted on.
    """

    def __init__(self, estimator: Any, hints: Hints = Hints()) -> None:
        _check(estimator)
        self.estimator = estimator
        self.framework = _framework()
        if hints.names is not None:
            self.names = list(hints.names)
        elif (names := getattr(estimator, "feature_names_in_", None)) is not None:
            self.names = [str(name) for name in names]
        self._reads_text = _reads_text(estimator)
        self.columns = 1 if self._reads_text else getattr(estimator, "n_features_in_", None)
        self._sets = label_sets(estimator)
        self.classes = hints.classes or _classes(estimator, self._sets)
        self.task = _task(estimator, self._sets, self.classes)
        self.wants_text = any(isinstance(value, str) for value in _learned(estimator)) or any(
            type(part).__name__ in _TEXT_READERS for part in _parts(estimator)
        )
        self._as_frame = getattr(estimator, "feature_names_in_", None) is not None
        self._hole = None if _knows_only_none(estimator) else np.nan

    def compile(self, fields: Sequence[Field], *, float32: bool) -> Compiled:
        """See `Original.compile`."""
        from tsavo.formats.compilation import compile_estimator

        return compile_estimator(self.estimator, fields, float32=float32)

    def edges(self) -> dict[str, list[float]]:
        """See `Original.edges`."""
        from tsavo.formats.thresholds import thresholds

        count = len(self.names) if self.names is not None else self.columns or 0
        return thresholds(self.estimator, self.names or [f"x{at}" for at in range(count)])

    def predict(self, fields: Sequence[Field], columns: Columns) -> dict[str, npt.NDArray[Any]]:
        """Its outputs by public name; see `Original.predict`."""
        table = self._table(fields, columns)
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return self._outputs(table)

    def _outputs(self, table: Any) -> dict[str, npt.NDArray[Any]]:
        estimator = self.estimator
        if self._sets is not None:
            return self._several(table)
        if self.task == "anomaly":
            return {
                "score": np.asarray(estimator.decision_function(table)),
                "label": np.asarray(estimator.predict(table)),
            }
        if self.task in {"binary", "multiclass", "clustering"}:
            outputs = {"label": np.asarray(estimator.predict(table))}
            if hasattr(estimator, "predict_proba"):
                outputs["probabilities"] = np.asarray(estimator.predict_proba(table))
            return outputs
        if hasattr(estimator, "predict"):
            return {"value": np.asarray(estimator.predict(table))}
        if hasattr(estimator, "transform"):
            return {"value": _dense(estimator.transform(table))}
        return {"score": np.asarray(estimator.score_samples(table))}

    def _several(self, table: Any) -> dict[str, npt.NDArray[Any]]:
        """Labels and probabilities of a classifier with several targets."""
        labels = _dense(self.estimator.predict(table))
        sets = self._sets or []
        shares = self.estimator.predict_proba(table) if hasattr(self.estimator, "predict_proba") else None
        if self.task == "multilabel":
            return {
                "label": labels.astype(np.int64),
                **({} if shares is None else {"probabilities": _of_a_one(shares, sets)}),
            }
        outputs: dict[str, npt.NDArray[Any]] = {}
        for at in range(len(sets)):
            label = labels[:, at]
            outputs[f"label_{at}"] = np.array(label.tolist()) if label.dtype == object else label
            if shares is not None:
                outputs[f"probabilities_{at}"] = np.asarray(shares[at])
        return outputs

    def _table(self, fields: Sequence[Field], columns: Columns) -> Any:
        """A DataFrame for estimators that were fitted on one, an array for the others, a list for text."""
        if self._reads_text:
            if len(fields) != 1:
                raise Invalid(
                    "the model reads one column of text",
                    field="reference",
                    found=[field.name for field in fields],
                    expected="rows with that column alone, beside the target",
                    next_step="leave out the other columns, and name the target with --target",
                )
            return np.asarray(columns[fields[0].name])
        if self._as_frame:
            return as_frame(fields, columns, self.names, hole=self._hole)
        return as_matrix(fields, columns, hole=self._hole)


def _check(estimator: Any) -> None:
    expected = "a fitted scikit-learn estimator or pipeline"
    if isinstance(estimator, type):
        raise unlike_a_model(estimator, expected)
    if not any(hasattr(estimator, method) for method in _METHODS):
        if hasattr(estimator, "fit_predict"):
            expected += " that answers new rows; this one only labels the rows it was fitted on"
        raise unlike_a_model(estimator, expected)


def final_step(estimator: Any) -> Any:
    """The estimator that answers: the last step of pipelines, the best one of searches."""
    for _ in range(_DEPTH):
        if getattr(estimator, "steps", None):
            estimator = estimator.steps[-1][1]
        elif hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        else:
            break
    return estimator


def label_sets(estimator: Any) -> list[npt.NDArray[Any]] | None:
    """The classes of each target, for classifiers with several targets; ``None`` for all others."""
    final = final_step(estimator)
    classes = getattr(final, "classes_", None)
    if classes is None or not hasattr(final, "predict"):
        return None
    if isinstance(classes, list):
        return [np.asarray(part) for part in classes]
    binarizer = getattr(final, "_label_binarizer", None)
    kind = str(getattr(binarizer, "y_type_", ""))
    if getattr(final, "multilabel_", False) is True or kind.startswith("multilabel"):
        return [np.array([0, 1])] * len(classes)
    return None


def _of_a_one(shares: Any, sets: Sequence[npt.NDArray[Any]]) -> npt.NDArray[np.float64]:
    """[n, targets]: the probability that a target is one."""
    if not isinstance(shares, list):
        return np.asarray(shares, np.float64)
    columns = []
    for part, classes in zip(shares, sets, strict=True):
        at = np.flatnonzero(classes == 1)
        columns.append(part[:, at[0]] if len(at) else np.zeros(len(part)))
    return np.stack(columns, axis=1)


def _dense(made: Any) -> npt.NDArray[Any]:
    return np.asarray(made.toarray() if hasattr(made, "toarray") else made)


def _framework() -> str:
    import sklearn

    return f"scikit-learn {sklearn.__version__}"


def _classes(
    estimator: Any, sets: Sequence[npt.NDArray[Any]] | None
) -> tuple[str | int | bool | float, ...] | None:
    """Class labels in the order of the probabilities, for classifiers; the labels' numbers for several targets."""
    from tsavo.formats.classes import class_values

    if sets is not None:
        return tuple(range(len(sets))) if _indicators(sets) else None
    if not hasattr(estimator, "classes_") or not hasattr(estimator, "predict"):
        return None
    return class_values(estimator)[0]


def _indicators(sets: Sequence[npt.NDArray[Any]]) -> bool:
    return all(part.dtype.kind in "biuf" and set(part.tolist()) <= {0, 1} for part in sets)


def _task(estimator: Any, sets: Sequence[npt.NDArray[Any]] | None, classes: tuple[Any, ...] | None) -> Task:
    if sets is not None:
        return "multilabel" if _indicators(sets) else "generic"
    if classes is not None:
        return "binary" if len(classes) == 2 else "multiclass"
    final = final_step(estimator)
    if hasattr(final, "decision_function") and hasattr(final, "offset_"):
        return "anomaly"
    if hasattr(final, "predict") and (hasattr(final, "labels_") or hasattr(final, "means_")):
        return "clustering"
    return "regression" if _regression(estimator) else "generic"


def _reads_text(estimator: Any) -> bool:
    """Whether its input is a list of texts rather than a table."""
    for _ in range(_DEPTH):
        if getattr(estimator, "steps", None):
            estimator = estimator.steps[0][1]
        elif getattr(estimator, "transformer_list", None):
            estimator = estimator.transformer_list[0][1]
        elif hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        else:
            break
    return type(estimator).__name__ in _TEXT_READERS


def is_missing(value: Any) -> bool:
    """Whether scikit-learn's encoders would take `value` for a missing one."""
    return value is None or (isinstance(value, float) and np.isnan(value)) or type(value).__name__ == "NAType"


def _regression(estimator: Any) -> bool:
    from sklearn.base import is_regressor

    try:
        return bool(is_regressor(estimator))
    except (AttributeError, TypeError):  # it behaves like an estimator without being one
        return False


def _parts(part: Any, depth: int = 0) -> Iterator[Any]:
    """An estimator and the fitted steps inside it."""
    if depth > _DEPTH or isinstance(part, str) or part is None:
        return
    yield part
    steps = [step for _, step in getattr(part, "steps", ())]
    steps += [step for _, step, _ in getattr(part, "transformers_", ())]
    steps += [step for _, step in getattr(part, "transformer_list", ())]
    steps += [getattr(part, name, None) for name in _INNER]
    members = getattr(part, "estimators_", None)
    # The trees of a forest and the like are all of one make and hold no encoder.
    if isinstance(members, list) and any(hasattr(member, "steps") for member in members):
        steps += members
    steps += [member.estimator for member in getattr(part, "calibrated_classifiers_", ())[:1]]
    for step in steps:
        yield from _parts(step, depth + 1)


def _learned(estimator: Any) -> list[Any]:
    """The values that encoders and imputers inside an estimator were fitted on or fill in."""
    learned: list[Any] = []
    for part in _parts(estimator):
        for categories in getattr(part, "categories_", ()):
            learned.extend(categories)
        if type(part).__name__ == "SimpleImputer":
            learned.extend(getattr(part, "statistics_", ()))
    return learned


def _knows_only_none(estimator: Any) -> bool:
    """Whether the model was fitted on ``None`` for missing text, and not on NaN as pandas has it."""
    holes = [value for value in _learned(estimator) if is_missing(value)]
    markers = [part.missing_values for part in _parts(estimator) if type(part).__name__ == "SimpleImputer"]
    fitted_on_none = bool(holes) and all(value is None for value in holes)
    return fitted_on_none or any(marker is None for marker in markers)
