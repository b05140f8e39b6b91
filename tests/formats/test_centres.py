from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn import cluster
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from tests.formats.conftest import NUMBERS
from tsavo.vocabulary import Field

Agree = Callable[..., None]
CLUSTERERS = [
    cluster.KMeans(3, n_init=1, random_state=0),
    cluster.MiniBatchKMeans(3, n_init=1, random_state=0),
    cluster.Birch(n_clusters=3),
    cluster.MeanShift(bandwidth=30.0),
    cluster.AffinityPropagation(random_state=0),
]


@pytest.mark.parametrize("estimator", CLUSTERERS, ids=lambda estimator: type(estimator).__name__)
def test_clusterers(agree: Agree, estimator: Any) -> None:
    agree(estimator, "none")


@pytest.mark.parametrize("estimator", CLUSTERERS, ids=lambda estimator: type(estimator).__name__)
def test_rows_so_far_out_that_all_centres_are_equally_near(both: Callable[..., Any], estimator: Any) -> None:
    estimator.fit(NUMBERS)
    columns = {f"x{at}": NUMBERS[:4, at].copy() for at in range(4)}
    columns["x2"] = np.array([1e20, -1e38, 1e300, -1e300])
    fields = [Field(name, "float64") for name in columns]
    expected, found = both(estimator, fields, columns)
    np.testing.assert_array_equal(found["label"], expected["label"])


def test_distances_as_new_columns(agree: Agree) -> None:
    agree(
        make_pipeline(cluster.KMeans(4, n_init=1, random_state=0), LogisticRegression(max_iter=900)),
        "two",
        1e-7,
    )
