from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsOneClassifier, OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier

Agree = Callable[..., None]


@pytest.mark.parametrize("target", ["two", "three"])
@pytest.mark.parametrize("meta", [OneVsRestClassifier, OneVsOneClassifier])
@pytest.mark.parametrize(
    "estimator", [LogisticRegression(), LinearSVC(), SVC(), DecisionTreeClassifier(max_depth=3)]
)
def test_one_classifier_for_each(agree: Agree, meta: Any, estimator: Any, target: str) -> None:
    agree(make_pipeline(StandardScaler(), meta(estimator)), target)


def test_labels_that_are_not_exclusive(agree: Agree) -> None:
    agree(OneVsRestClassifier(LogisticRegression(max_iter=900)), "labels")
