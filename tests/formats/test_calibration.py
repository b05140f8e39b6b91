from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.isotonic import IsotonicRegression
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from tests.formats.conftest import NUMBERS

Agree = Callable[..., None]


@pytest.mark.parametrize("target", ["two", "three"])
@pytest.mark.parametrize("method", ["sigmoid", "isotonic", "temperature"])
@pytest.mark.parametrize("estimator", [GaussianNB(), LinearSVC()], ids=repr)
def test_calibrated_classifiers(agree: Agree, estimator: Any, method: str, target: str) -> None:
    agree(make_pipeline(StandardScaler(), CalibratedClassifierCV(estimator, method=method, cv=2)), target)


@pytest.mark.parametrize("increasing", [True, False])
def test_isotonic_regression(agree: Agree, increasing: bool) -> None:
    model = IsotonicRegression(increasing=increasing, out_of_bounds="clip")
    agree(model, "real", inputs=NUMBERS[:, :1])
