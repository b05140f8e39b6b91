from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn import ensemble
from sklearn.compose import TransformedTargetRegressor
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.multiclass import OutputCodeClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

Agree = Callable[..., None]
STUMP = DecisionTreeClassifier(max_depth=2, random_state=0)
SHORT = DecisionTreeRegressor(max_depth=3, random_state=0)


@pytest.mark.parametrize("target", ["two", "three"])
@pytest.mark.parametrize(
    "estimator",
    [
        ensemble.AdaBoostClassifier(STUMP, n_estimators=7, random_state=0),
        ensemble.AdaBoostClassifier(GaussianNB(), n_estimators=3, random_state=0),
        ensemble.BaggingClassifier(STUMP, 5, max_features=0.5, random_state=0),
        ensemble.BaggingClassifier(LinearSVC(), 4, random_state=0),
        ensemble.VotingClassifier(
            [("a", STUMP), ("b", GaussianNB()), ("c", LinearSVC())], weights=[1, 2, 1.5]
        ),
        ensemble.VotingClassifier([("a", STUMP), ("b", GaussianNB())], voting="soft"),
        ensemble.StackingClassifier([("a", STUMP), ("b", LinearSVC())], cv=2, passthrough=True),
        ensemble.StackingClassifier([("a", STUMP), ("b", GaussianNB())], LinearSVC(), cv=2),
        OutputCodeClassifier(LogisticRegression(), code_size=3, random_state=0),
        DummyClassifier(),
        DummyClassifier(strategy="most_frequent"),
    ],
    ids=lambda estimator: f"{type(estimator).__name__} {sorted(estimator.get_params(deep=False))[0]}",
)
def test_classifiers(agree: Agree, estimator: Any, target: str) -> None:
    agree(make_pipeline(StandardScaler(), estimator), target, 2e-6)


@pytest.mark.parametrize(
    "estimator",
    [
        FixedThresholdClassifier(LogisticRegression(), threshold=0.8),
        FixedThresholdClassifier(LogisticRegression(), threshold=0.3, pos_label=0),
        FixedThresholdClassifier(LinearSVC(), threshold=0.4, response_method="decision_function"),
        TunedThresholdClassifierCV(LogisticRegression(), cv=2, thresholds=9),
    ],
    ids=repr,
)
def test_thresholds(agree: Agree, estimator: Any) -> None:
    agree(make_pipeline(StandardScaler(), estimator), "two")


@pytest.mark.parametrize(
    "estimator",
    [
        ensemble.AdaBoostRegressor(SHORT, n_estimators=6, random_state=0),
        ensemble.AdaBoostRegressor(Ridge(), n_estimators=1, random_state=0),
        ensemble.BaggingRegressor(SHORT, 5, max_features=0.5, random_state=0),
        DummyRegressor(),
        TransformedTargetRegressor(Ridge(), func=np.log1p, inverse_func=np.expm1),
        TransformedTargetRegressor(Ridge(), func=np.sqrt, inverse_func=np.square),
        TransformedTargetRegressor(SHORT, transformer=StandardScaler()),
        TransformedTargetRegressor(LinearRegression(), func=np.log, inverse_func=np.exp),
    ],
    ids=repr,
)
def test_regressors(agree: Agree, estimator: Any) -> None:
    agree(make_pipeline(StandardScaler(), estimator), "positive")
