"""How cases of scikit-learn are made and asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn import (
    compose,
    ensemble,
    impute,
    linear_model,
    pipeline,
    preprocessing,
    tree,
)
from sklearn.experimental import enable_iterative_imputer  # noqa: F401 -- importing it is what enables it

from tests.matrix.case import Answers, Case, as_skops, classes
from tests.matrix.data import Rows

__all__ = [
    "FEW",
    "FLAGS",
    "LABELS",
    "MIXED",
    "Forest",
    "Logistic",
    "OneHot",
    "Scaler",
    "Trees",
    "anomaly",
    "case",
    "clusters",
    "columns",
    "fitted",
    "labels",
    "mixed",
    "on_text",
    "pipe",
    "texts",
]


pipe = pipeline.make_pipeline
Scaler = preprocessing.StandardScaler
OneHot = preprocessing.OneHotEncoder
Logistic = linear_model.LogisticRegression
Forest = ensemble.RandomForestClassifier
Trees = tree.DecisionTreeClassifier

NUMBERS = ["dep_delay", "distance", "hour", "temp", "wind_speed", "visib"]
TEXTS = ["carrier", "origin", "dest"]


def anomaly(model: Any, inputs: Any) -> Answers:
    return {"score": model.decision_function(inputs), "label": model.predict(inputs)}


def clusters(model: Any, inputs: Any) -> Answers:
    return {"label": model.predict(inputs)}


def columns(model: Any, inputs: Any) -> Answers:
    made = model.transform(inputs)
    return {"value": np.asarray(made.toarray() if hasattr(made, "toarray") else made)}


def labels(model: Any, inputs: Any) -> Answers:
    """Several questions with yes or no, each with the probability of yes."""
    answers = {"label": np.asarray(model.predict(inputs))}
    if hasattr(model, "predict_proba"):
        shares = model.predict_proba(inputs)
        if isinstance(shares, list):
            shares = np.stack([part[:, 1] for part in shares], axis=1)
        answers["probabilities"] = np.asarray(shares)
    return answers


def texts(model: Any, inputs: Any) -> Answers:
    return classes(model, inputs["route"])


def mixed(*steps: Any, text: Any = None, numbers: Any = None) -> Any:
    """Text and numbers, each prepared in its own way, and then `steps`."""
    text = text or pipe(impute.SimpleImputer(strategy="most_frequent"), OneHot(handle_unknown="ignore"))
    numbers = numbers or pipe(impute.SimpleImputer(strategy="median"), Scaler())
    return pipe(compose.ColumnTransformer([("text", text, TEXTS), ("numbers", numbers, NUMBERS)]), *steps)


def fitted(make: Callable[[], Any]) -> Callable[[Rows], Any]:
    return lambda rows: make().fit(rows.inputs, rows.target)


def on_text(make: Callable[[], Any]) -> Callable[[Rows], Any]:
    return lambda rows: make().fit(rows.inputs["route"], rows.target)


def case(
    model: str, data: str, make: Callable[[], Any], ask: Callable[[Any, Any], Answers] = classes, **more: Any
) -> Case:
    return Case("scikit-learn", model, data, fitted(make), ask, **{"save": as_skops, **more})


FEW: dict[str, Any] = {"n_estimators": 15, "random_state": 0}
MIXED = "flights, text and numbers with gaps"
FLAGS = "flights, whole numbers and booleans"
LABELS = "breast cancer, three labels"
