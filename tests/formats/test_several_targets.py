from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.multioutput import ClassifierChain, MultiOutputClassifier, MultiOutputRegressor, RegressorChain
from sklearn.naive_bayes import GaussianNB
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from tests.formats.conftest import NUMBERS, THREE, TWO
from tsavo.formats.sklearn_models import SklearnOriginal
from tsavo.vocabulary import Field

Agree = Callable[..., None]


@pytest.mark.parametrize(
    "estimator",
    [
        MultiOutputClassifier(GaussianNB()),
        MultiOutputClassifier(LinearSVC()),
        ClassifierChain(GaussianNB(), order=[1, 0]),
        ClassifierChain(LogisticRegression(max_iter=900), chain_method="predict_proba"),
        ClassifierChain(LogisticRegression(max_iter=900), chain_method="decision_function"),
        DecisionTreeClassifier(max_depth=3),
        RandomForestClassifier(7, max_depth=3, random_state=0),
    ],
    ids=repr,
)
def test_labels(agree: Agree, estimator: Any) -> None:
    agree(estimator, "labels", 1e-6)


@pytest.mark.parametrize(
    "estimator",
    [
        MultiOutputRegressor(Ridge()),
        RegressorChain(Ridge(), order=[1, 0]),
        RandomForestRegressor(7, max_depth=3, random_state=0),
    ],
    ids=repr,
)
def test_numbers(agree: Agree, estimator: Any) -> None:
    agree(estimator, "several", 1e-6)


def test_targets_of_several_classes_have_outputs_of_their_own(both: Callable[..., Any]) -> None:
    targets = np.stack([THREE.astype(object), TWO.astype(str).astype(object)], axis=1)
    model = MultiOutputClassifier(GaussianNB()).fit(NUMBERS, targets)
    original = SklearnOriginal(model)
    assert (original.task, original.classes) == ("generic", None)
    fields = [Field(f"x{at}", "float64") for at in range(4)]
    expected, found = both(model, fields, {f"x{at}": NUMBERS[:, at] for at in range(4)})
    assert list(found) == ["label_0", "probabilities_0", "label_1", "probabilities_1"]
    for at in range(2):
        np.testing.assert_array_equal(found[f"label_{at}"], expected[f"label_{at}"])
        np.testing.assert_allclose(found[f"probabilities_{at}"], expected[f"probabilities_{at}"], atol=1e-12)
