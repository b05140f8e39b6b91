from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

Agree = Callable[..., None]
SMALL: dict[str, Any] = {"hidden_layer_sizes": (6, 3), "max_iter": 15, "random_state": 0}


@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize("target", ["two", "three", "labels"])
def test_classifiers(agree: Agree, activation: str, target: str) -> None:
    agree(make_pipeline(StandardScaler(), MLPClassifier(activation=activation, **SMALL)), target)


@pytest.mark.parametrize("target", ["real", "several"])
def test_regressors(agree: Agree, target: str) -> None:
    agree(make_pipeline(StandardScaler(), MLPRegressor(**SMALL)), target)
