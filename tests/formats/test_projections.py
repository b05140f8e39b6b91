from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn import decomposition, feature_selection, preprocessing, random_projection
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import ExtraTreesClassifier
from sklearn.kernel_approximation import RBFSampler
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion, make_pipeline

from tests.formats.conftest import NUMBERS
from tsavo.formats.compilation import compile_estimator
from tsavo.formats.graph import CannotCompile
from tsavo.vocabulary import Field

Agree = Callable[..., None]
POSITIVE = np.abs(NUMBERS) + 0.5


def _strange(values: Any) -> Any:
    return values


@pytest.mark.parametrize(
    "step",
    [
        decomposition.PCA(2),
        decomposition.PCA(2, whiten=True),
        decomposition.TruncatedSVD(2, random_state=0),
        decomposition.FastICA(2, random_state=0),
        LinearDiscriminantAnalysis(n_components=1),
        LinearDiscriminantAnalysis(solver="eigen"),
        random_projection.GaussianRandomProjection(3, random_state=0),
        random_projection.SparseRandomProjection(3, random_state=0),
        RBFSampler(gamma=0.01, n_components=5, random_state=0),
        preprocessing.PolynomialFeatures(3),
        preprocessing.PolynomialFeatures(2, interaction_only=True, include_bias=False),
        preprocessing.PowerTransformer(),
        preprocessing.PowerTransformer(standardize=False),
        preprocessing.Normalizer(),
        preprocessing.Normalizer("l1"),
        preprocessing.Normalizer("max"),
        preprocessing.Binarizer(threshold=1.5),
        preprocessing.MaxAbsScaler(clip=True),
        preprocessing.KBinsDiscretizer(4, encode="ordinal", quantile_method="averaged_inverted_cdf"),
        preprocessing.KBinsDiscretizer(4, strategy="uniform"),
        preprocessing.FunctionTransformer(np.tanh),
        feature_selection.SelectKBest(k=2),
        feature_selection.VarianceThreshold(2.0),
        feature_selection.RFE(LogisticRegression(max_iter=900), n_features_to_select=2),
        feature_selection.SelectFromModel(ExtraTreesClassifier(5, random_state=0)),
        FeatureUnion(
            [("a", preprocessing.StandardScaler()), ("b", preprocessing.MinMaxScaler())],
            transformer_weights={"a": 2.5},
        ),
    ],
    ids=repr,
)
@pytest.mark.filterwarnings("ignore")
def test_a_transformer_alone_and_in_front_of_a_model(agree: Agree, step: Any) -> None:
    agree(step, "two")
    agree(make_pipeline(step, LogisticRegression(max_iter=900)), "two", 1e-7)


@pytest.mark.parametrize(
    "step",
    [
        preprocessing.PowerTransformer("box-cox"),
        *(preprocessing.FunctionTransformer(function) for function in (np.log1p, np.log, np.sqrt, np.square)),
    ],
    ids=repr,
)
def test_what_takes_numbers_above_zero(agree: Agree, step: Any) -> None:
    agree(step, "none", inputs=POSITIVE)


def test_a_function_of_its_own_is_named() -> None:
    step = preprocessing.FunctionTransformer(_strange).fit(NUMBERS)
    with pytest.raises(CannotCompile, match="FunctionTransformer: a function of its own \\(_strange\\)"):
        compile_estimator(step, [Field(f"x{at}", "float64") for at in range(4)])
