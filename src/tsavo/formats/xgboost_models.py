"""XGBoost: boosters and its scikit-learn wrappers, from its own files (JSON, UBJ) or from pickles.

XGBoost computes in float32: a row is rounded to float32 before it is compared with a threshold. Its files carry no
code.

Source: "Introduction to Model IO" in XGBoost's documentation, and the JSON schema beside it.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from tsavo.formats.boosted_meaning import Link, Meaning, answers_to
from tsavo.formats.originals import Original, as_frame, as_matrix, unlike_a_model
from tsavo.vocabulary import Columns, Field, Hints, Invalid, SourceFormat, Task, Unreadable

if TYPE_CHECKING:
    from tsavo.formats.compilation import Compiled

__all__ = ["XGBoostOriginal", "open_model", "wrap"]

# Objective -> what the raw sums mean.
_OBJECTIVES: Final[dict[str, tuple[Task, Link]]] = {
    "binary:logistic": ("binary", "sigmoid"),
    "binary:hinge": ("binary", "step"),
    "binary:logitraw": ("regression", "identity"),
    "multi:softmax": ("multiclass", "softmax"),
    "multi:softprob": ("multiclass", "softmax"),
    "reg:logistic": ("regression", "sigmoid"),
    "count:poisson": ("regression", "exp"),
    "reg:gamma": ("regression", "exp"),
    "reg:tweedie": ("regression", "exp"),
    "survival:cox": ("regression", "exp"),
    "survival:aft": ("regression", "exp"),
    "rank:ndcg": ("ranking", "identity"),
    "rank:map": ("ranking", "identity"),
    "rank:pairwise": ("ranking", "identity"),
}


def open_model(path: Path, source_format: SourceFormat, hints: Hints) -> XGBoostOriginal:
    """Read a file that ``save_model`` wrote.

    Raises
    ------
    Unreadable
        When XGBoost does not take it.
    """
    import xgboost

    content = path.read_bytes()
    try:
        _check_depth(content)
        booster = xgboost.Booster()
        booster.load_model(bytearray(content))
        return XGBoostOriginal(booster, hints)
    except (xgboost.core.XGBoostError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise Unreadable(
            f"the {source_format} file cannot be read",
            field="source",
            found=str(error).strip().splitlines()[0][:300] if str(error).strip() else type(error).__name__,
            expected="a complete file as XGBoost's 'save_model' writes it",
            next_step="save the model again",
        ) from error


def wrap(model: Any, hints: Hints) -> XGBoostOriginal:
    """A booster or a fitted wrapper from a pickle.

    Raises
    ------
    Invalid
        When it is neither, or not fitted.
    """
    if hasattr(model, "get_booster"):
        import sklearn.exceptions

        try:
            booster = model.get_booster()
        except sklearn.exceptions.NotFittedError as error:
            raise unlike_a_model(model, "a model that was fitted") from error
        classes = getattr(model, "classes_", None)
        names = hints.classes
        if classes is not None and names is None and np.ndim(classes) == 1:
            names = tuple(np.asarray(classes).tolist())
        missing = float(getattr(model, "missing", np.nan))
        told = Hints(hints.task, names, hints.names, hints.units)
        return XGBoostOriginal(booster, told, missing=missing, rounds=_best_rounds(booster))
    if type(model).__name__ != "Booster":
        raise unlike_a_model(model, "an XGBoost Booster, XGBClassifier, XGBRegressor or XGBRanker")
    return XGBoostOriginal(model, hints)


# Deeper than any model, and far less than what breaks a recursive reader.
_MAX_DEPTH: Final = 100


def _check_depth(content: bytes) -> None:
    """Refuse JSON that is nested for the sake of nesting."""
    if not content.lstrip()[:2].startswith(b"{") or content[1:2] == b"L":
        return
    depth = 0
    for byte in content:
        if byte in b"[{":
            depth += 1
            if depth > _MAX_DEPTH:
                raise ValueError(f"nested more than {_MAX_DEPTH} deep")
        elif byte in b"]}":
            depth -= 1


def _best_rounds(booster: Any) -> int | None:
    """Rounds up to the best one, when early stopping found it: that is what the wrappers predict with."""
    best = booster.attr("best_iteration")
    return None if best is None else int(best) + 1


class XGBoostOriginal(Original):
    """A booster.

    Parameters
    ----------
    booster
        An ``xgboost.Booster``.
    missing
        The number that stands for a missing value beside NaN.
    rounds
        How many rounds count; all when ``None``. A file that a wrapper saved says it itself.
    """

    def __init__(
        self, booster: Any, hints: Hints, *, missing: float = np.nan, rounds: int | None = None
    ) -> None:
        import xgboost

        self.booster = booster
        self.framework = f"xgboost {xgboost.__version__}"
        self.missing = missing
        self.rounds = rounds
        if rounds is None and booster.attr("scikit_learn") is not None:
            self.rounds = _best_rounds(booster)
        named = booster.feature_names
        self.names = list(hints.names) if hints.names is not None else (list(named) if named else None)
        self.columns = int(booster.num_features())
        self.kinds: list[str] = list(booster.feature_types or [])
        self.meaning = _meaning(json.loads(booster.save_config()), hints)
        self.task = self.meaning.task
        self.classes = None if self.task == "multilabel" else self.meaning.classes
        if self.names is not None and len(self.names) != self.columns:
            raise Invalid(
                "the number of column names is not the model's",
                field="names",
                found=len(self.names),
                expected=f"{self.columns}",
            )
        self.wants_text = False

    def predict(self, fields: Sequence[Field], columns: Columns) -> dict[str, npt.NDArray[Any]]:
        """See `Original.predict`."""
        import xgboost

        categorical = "c" in self.kinds
        if categorical and any(field.dtype == "string" for field in fields):
            table = as_frame(fields, columns, self.booster.feature_names, hole=None)
            for at, kind in enumerate(self.kinds):
                if kind == "c":
                    name = table.columns[at]
                    table[name] = table[name].astype("category")
            matrix = xgboost.DMatrix(table, missing=self.missing, enable_categorical=True, nthread=1)
        else:
            matrix = xgboost.DMatrix(
                as_matrix(fields, columns).astype(np.float64),
                missing=self.missing,
                feature_names=self.booster.feature_names,
                feature_types=self.kinds or None,
                enable_categorical=categorical,
                nthread=1,
            )
        until = (0, self.rounds) if self.rounds is not None else (0, 0)
        predicted = self.booster.predict(matrix, iteration_range=until)
        if self.meaning.task == "multiclass" and predicted.ndim == 1:
            # multi:softmax tells the class alone; the raw sums tell the probabilities too.
            raw = self.booster.predict(matrix, iteration_range=until, output_margin=True)
            shifted = np.exp(raw - raw.max(axis=1, keepdims=True))
            predicted = shifted / shifted.sum(axis=1, keepdims=True)
        return answers_to(self.meaning, predicted)

    def compile(self, fields: Sequence[Field], *, float32: bool) -> Compiled:
        """See `Original.compile`."""
        from tsavo.formats.compilation import compile_graph
        from tsavo.formats.xgboost_graphs import xgboost_answers

        return compile_graph(
            lambda graph, table: xgboost_answers(graph, self, table), fields, float32=float32
        )

    def edges(self) -> dict[str, list[float]]:
        """See `Original.edges`."""
        names = self.names or [f"x{at}" for at in range(self.columns or 0)]
        found: dict[str, set[float]] = {}
        for tree in _trees(json.loads(self.booster.save_raw("json"))):
            for left, feature, threshold in zip(
                tree["left_children"], tree["split_indices"], tree["split_conditions"], strict=True
            ):
                if left >= 0 and not (self.kinds and self.kinds[feature] == "c"):
                    found.setdefault(names[feature], set()).add(float(threshold))
        return {name: sorted(values) for name, values in found.items()}


def _trees(model: dict[str, Any]) -> list[dict[str, Any]]:
    gradient_booster = model["learner"]["gradient_booster"]
    if gradient_booster["name"] == "dart":
        gradient_booster = gradient_booster["gbtree"]
    trees: list[dict[str, Any]] = gradient_booster.get("model", {}).get("trees", [])
    return trees


def _meaning(config: dict[str, Any], hints: Hints) -> Meaning:
    learner = config["learner"]
    objective = str(learner["objective"]["name"])
    told = learner["learner_model_param"]
    groups, targets = int(told.get("num_class", 0)), int(told.get("num_target", 1))
    task, link = _OBJECTIVES.get(objective, ("regression", "identity"))
    if task == "multiclass":
        classes = hints.classes or tuple(range(groups))
        return Meaning(task, link, groups, _fitting(classes, groups))
    if task == "binary" and targets > 1:
        return Meaning("multilabel", link, targets)
    if task == "binary":
        return Meaning(task, link, 1, _fitting(hints.classes or (0, 1), 2))
    outputs = max(targets, _quantiles(learner["objective"]))
    if hints.task == "ranking":
        task = "ranking"
    return Meaning(task, link, outputs)


def _quantiles(objective: dict[str, Any]) -> int:
    told = objective.get("quantile_loss_param", {}).get("quantile_alpha", "")
    return max(1, str(told).count(",") + 1) if told else 1


def _fitting(classes: tuple[Any, ...], groups: int) -> tuple[Any, ...]:
    if len(classes) != groups:
        raise Invalid(
            "the number of classes is not the model's",
            field="classes",
            found=list(classes)[:20],
            expected=f"{groups} class labels",
        )
    return classes
