from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.covariance import EllipticEnvelope
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.mixture import BayesianGaussianMixture, GaussianMixture
from sklearn.naive_bayes import BernoulliNB, ComplementNB, GaussianNB, MultinomialNB

from tests.formats.conftest import NUMBERS

Agree = Callable[..., None]


@pytest.mark.parametrize("target", ["two", "three"])
@pytest.mark.parametrize(
    "estimator", [GaussianNB(), QuadraticDiscriminantAnalysis(), BernoulliNB()], ids=repr
)
def test_classifiers(agree: Agree, estimator: Any, target: str) -> None:
    agree(estimator, target)


@pytest.mark.parametrize("target", ["two", "three"])
@pytest.mark.parametrize("estimator", [MultinomialNB(), ComplementNB()], ids=repr)
def test_counts(agree: Agree, estimator: Any, target: str) -> None:
    agree(estimator, target, inputs=np.abs(NUMBERS).round())


@pytest.mark.parametrize("kind", ["full", "tied", "diag", "spherical"])
@pytest.mark.parametrize("mixture", [GaussianMixture, BayesianGaussianMixture])
def test_mixtures(agree: Agree, mixture: Any, kind: str) -> None:
    agree(mixture(n_components=3, covariance_type=kind, random_state=0), "none")


def test_one_gaussian(agree: Agree) -> None:
    agree(EllipticEnvelope(random_state=0), "none")
