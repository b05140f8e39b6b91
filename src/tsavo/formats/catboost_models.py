"""CatBoost: models from its own files (cbm) or from pickles.

CatBoost compares values rounded to float32 with its borders, and sums leaves in float64. Its files carry no code.

Source: "Exporting models" and "JSON model" in CatBoost's documentation.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from tsavo.formats.boosted_meaning import Link, Meaning, answers_to
from tsavo.formats.originals import Original, as_frame, as_matrix, unlike_a_model
from tsavo.vocabulary import Columns, Field, Hints, SourceFormat, Task, Unreadable

if TYPE_CHECKING:
    from tsavo.formats.compilation import Compiled

__all__ = ["CatBoostOriginal", "open_model", "wrap"]

_LOSSES: Final[dict[str, tuple[Task, Link]]] = {
    "Logloss": ("binary", "sigmoid"),
    "CrossEntropy": ("binary", "sigmoid"),
    "Focal": ("binary", "sigmoid"),
    "MultiClass": ("multiclass", "softmax"),
    "MultiClassOneVsAll": ("multiclass", "one-against-rest"),
    "MultiLogloss": ("multilabel", "sigmoid"),
    "MultiCrossEntropy": ("multilabel", "sigmoid"),
    "Poisson": ("regression", "exp"),
    "Tweedie": ("regression", "exp"),
    "YetiRank": ("ranking", "identity"),
    "YetiRankPairwise": ("ranking", "identity"),
    "PairLogit": ("ranking", "identity"),
    "PairLogitPairwise": ("ranking", "identity"),
    "QueryRMSE": ("ranking", "identity"),
    "QuerySoftMax": ("ranking", "identity"),
    "QueryCrossEntropy": ("ranking", "identity"),
    "LambdaMart": ("ranking", "identity"),
    "StochasticRank": ("ranking", "identity"),
}
_SEEN_AS: Final[dict[Link, str]] = {
    "sigmoid": "Probability",
    "softmax": "Probability",
    "one-against-rest": "Probability",
    "exp": "Exponent",
    "identity": "RawFormulaVal",
}


def open_model(path: Path, source_format: SourceFormat, hints: Hints) -> CatBoostOriginal:
    """Read a file that ``save_model`` wrote.

    Raises
    ------
    Unreadable
        When CatBoost does not take it.
    """
    import catboost

    model = catboost.CatBoost()
    try:
        model.load_model(str(path), format="cbm")
        return CatBoostOriginal(model, hints)
    except (catboost.CatBoostError, ValueError, KeyError) as error:
        raise Unreadable(
            f"the {source_format} file cannot be read",
            field="source",
            found=str(error).strip()[:300],
            expected="a complete file as CatBoost's 'save_model' writes it (format cbm)",
            next_step="save the model again",
        ) from error


def wrap(model: Any, hints: Hints) -> CatBoostOriginal:
    """A fitted model from a pickle.

    Raises
    ------
    Invalid
        When it is not fitted, or none.
    """
    if not (hasattr(model, "is_fitted") and model.is_fitted()):
        raise unlike_a_model(
            model, "a fitted CatBoost, CatBoostClassifier, CatBoostRegressor or CatBoostRanker"
        )
    # Wrappers answer each in another form; what they hold is the same.
    import catboost

    plain = catboost.CatBoost()
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "model.cbm")
        model.save_model(path, format="cbm")
        plain.load_model(path, format="cbm")
    return CatBoostOriginal(plain, hints)


class CatBoostOriginal(Original):
    """A fitted CatBoost model."""

    def __init__(self, model: Any, hints: Hints) -> None:
        import catboost

        self.model = model
        self.framework = f"catboost {catboost.__version__}"
        self.written = _written(model)
        named = [str(name) for name in model.feature_names_]
        self.columns = len(named)
        # Without names CatBoost calls its columns 0, 1, 2.
        nameless = named == [str(at) for at in range(len(named))]
        self.names = list(hints.names) if hints.names is not None else (None if nameless else named)
        self.categorical = frozenset(int(at) for at in model.get_cat_feature_indices())
        self.meaning = _meaning(self.written, model, hints)
        self.task = self.meaning.task
        self.classes = self.meaning.classes
        self.wants_text = bool(self.categorical) or bool(model.get_text_feature_indices())

    def predict(self, fields: Sequence[Field], columns: Columns) -> dict[str, npt.NDArray[Any]]:
        """See `Original.predict`."""
        kind = _SEEN_AS[self.meaning.link]
        table: Any
        if any(field.dtype == "string" for field in fields):
            # A missing category is one more category to it, but it has to be text.
            table = as_frame(fields, columns, hole=None)
        else:
            table = as_matrix(fields, columns).astype(np.float64)
        if self.categorical and not hasattr(table, "columns"):
            table = as_frame(fields, columns)
            for at in self.categorical:
                name = table.columns[at]
                table[name] = table[name].astype(np.int64)
        predicted = np.asarray(self.model.predict(table, prediction_type=kind, thread_count=1))
        if self.task == "binary":
            predicted = predicted[:, 1]
        return answers_to(self.meaning, predicted)

    def compile(self, fields: Sequence[Field], *, float32: bool) -> Compiled:
        """See `Original.compile`."""
        from tsavo.formats.catboost_graphs import catboost_answers
        from tsavo.formats.compilation import compile_graph

        return compile_graph(
            lambda graph, table: catboost_answers(graph, self, table), fields, float32=float32
        )

    def edges(self) -> dict[str, list[float]]:
        """See `Original.edges`."""
        names = self.names or [f"x{at}" for at in range(self.columns or 0)]
        return {
            names[feature["flat_feature_index"]]: [float(border) for border in feature["borders"]]
            for feature in self.written["features_info"].get("float_features", ())
            if feature["borders"]
        }


def _written(model: Any) -> dict[str, Any]:
    """The model as CatBoost's own JSON."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.json"
        model.save_model(str(path), format="json")
        written: dict[str, Any] = json.loads(path.read_text())
    return written


def _meaning(written: dict[str, Any], model: Any, hints: Hints) -> Meaning:
    params = written["model_info"].get("params", {})
    loss = str((params.get("loss_function") or {}).get("type", ""))
    bias = written["scale_and_bias"][1]
    targets = len(bias) if isinstance(bias, list) else 1
    task, link = _LOSSES.get(loss, ("regression", "identity"))
    if task in {"binary", "multiclass"}:
        groups = max(2, targets)
        known = hints.classes or tuple(np.asarray(model.classes_).tolist())
        classes = known if len(known) == groups else tuple(range(groups))
        return Meaning(task, link, targets, classes)
    if task == "regression" and hints.task == "ranking":
        task = "ranking"
    return Meaning(task, link, targets)
