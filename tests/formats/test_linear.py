from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sklearn import cross_decomposition, discriminant_analysis, linear_model, svm
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

Agree = Callable[..., None]


@pytest.mark.parametrize("target", ["two", "three"])
@pytest.mark.parametrize(
    "estimator",
    [
        linear_model.LogisticRegression(max_iter=500),
        linear_model.SGDClassifier(loss="log_loss", random_state=0),
        linear_model.SGDClassifier(loss="modified_huber", random_state=0),
        linear_model.SGDClassifier(random_state=0),
        linear_model.Perceptron(random_state=0),
        linear_model.RidgeClassifier(),
        svm.LinearSVC(random_state=0),
        discriminant_analysis.LinearDiscriminantAnalysis(),
    ],
    ids=repr,
)
def test_classifiers(agree: Agree, estimator: Any, target: str) -> None:
    agree(make_pipeline(StandardScaler(), estimator), target)


def test_one_model_for_each_class_against_the_rest(agree: Agree) -> None:
    agree(linear_model.LogisticRegression(solver="liblinear"), "two")


def test_labels_that_are_not_exclusive(agree: Agree) -> None:
    agree(linear_model.RidgeClassifier(), "labels")


@pytest.mark.parametrize(
    ("estimator", "target"),
    [
        (linear_model.PoissonRegressor(max_iter=500), "positive"),
        (linear_model.GammaRegressor(max_iter=500), "positive"),
        (linear_model.TweedieRegressor(power=0, link="identity"), "real"),
        (cross_decomposition.PLSRegression(2), "real"),
        (cross_decomposition.PLSRegression(2), "several"),
        (linear_model.MultiTaskLasso(), "several"),
        (linear_model.OrthogonalMatchingPursuit(), "real"),
    ],
    ids=repr,
)
def test_regressors(agree: Agree, estimator: Any, target: str) -> None:
    agree(make_pipeline(StandardScaler(), estimator), target)
