from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sklearn.gaussian_process import GaussianProcessRegressor, kernels
from sklearn.kernel_ridge import KernelRidge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR, NuSVC, NuSVR, OneClassSVM

from tests.formats.conftest import NUMBERS, REAL
from tsavo.formats.compilation import compile_estimator
from tsavo.formats.graph import CannotCompile
from tsavo.vocabulary import Field

Agree = Callable[..., None]
KERNELS = ["rbf", "linear", "poly", "sigmoid"]


def scaled(estimator: Any) -> Any:
    return make_pipeline(StandardScaler(), estimator)


@pytest.mark.parametrize("target", ["two", "three"])
@pytest.mark.parametrize("kernel", KERNELS)
def test_support_vector_classifiers(agree: Agree, kernel: str, target: str) -> None:
    agree(scaled(SVC(kernel=kernel, coef0=0.5)), target)


def test_ties_broken_by_the_decision(agree: Agree) -> None:
    agree(scaled(SVC(break_ties=True)), "three")
    agree(scaled(NuSVC(nu=0.3)), "three")


@pytest.mark.parametrize("kernel", KERNELS)
def test_support_vector_regressors_and_detectors(agree: Agree, kernel: str) -> None:
    agree(scaled(SVR(kernel=kernel)), "real", 1e-7)
    agree(scaled(OneClassSVM(kernel=kernel)), "none", 1e-7)


def test_other_kernel_models(agree: Agree) -> None:
    agree(scaled(NuSVR()), "real")
    agree(scaled(KernelRidge(kernel="rbf", alpha=0.1)), "several")
    covariance = kernels.ConstantKernel(2.0) * kernels.RBF(1.5) + kernels.WhiteKernel(0.1)
    process = GaussianProcessRegressor(covariance, optimizer=None, normalize_y=True)
    agree(scaled(process), "real", 1e-7)


def test_what_has_no_form_says_what_it_is() -> None:
    own = SVR(kernel=lambda one, other: one @ other.T).fit(NUMBERS[:30], REAL[:30])
    with pytest.raises(CannotCompile, match="SVR: its kernel is a function of its own"):
        compile_estimator(own, [Field(f"x{at}", "float64") for at in range(4)])
