"""A threshold that is told of an input column is one at which the answer changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import BaggingRegressor, GradientBoostingRegressor, HistGradientBoostingRegressor
from sklearn.feature_selection import SelectKBest, f_regression
from sklearn.impute import SimpleImputer
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    RobustScaler,
    StandardScaler,
)
from sklearn.tree import DecisionTreeRegressor

from tests.formats.conftest import NUMBERS
from tsavo.formats.thresholds import thresholds

NAMES = ["a", "b", "c", "d"]
STUMP = DecisionTreeRegressor(max_depth=1)
TARGET = (NUMBERS[:, 1] > 1.5).astype(float)
ONE_COLUMN: list[Any] = [
    STUMP,
    make_pipeline(StandardScaler(), MinMaxScaler(), STUMP),
    make_pipeline(RobustScaler(), MaxAbsScaler(), STUMP),
    make_pipeline(SimpleImputer(), SelectKBest(f_regression, k=1), STUMP),
    make_pipeline(FeatureUnion([("a", StandardScaler()), ("b", "passthrough")]), STUMP),
    make_pipeline(ColumnTransformer([("late", StandardScaler(), [3, 1]), ("rest", "drop", [0, 2])]), STUMP),
    HistGradientBoostingRegressor(max_iter=1, max_leaf_nodes=2),
    GradientBoostingRegressor(n_estimators=1, max_depth=1),
    BaggingRegressor(STUMP, 1, max_features=[1.0][0], random_state=0),
]


@pytest.mark.parametrize("model", ONE_COLUMN, ids=range(len(ONE_COLUMN)))
@pytest.mark.filterwarnings("ignore")
def test_the_answer_changes_there(model: Any) -> None:
    model.fit(NUMBERS, TARGET)
    found = thresholds(model, NAMES)
    assert list(found) == ["b"]
    (cut,) = found["b"]
    around = np.repeat(NUMBERS[:1], 2, axis=0)
    around[:, 1] = [cut - 1e-6, cut + 1e-6]
    below, above = model.predict(around)
    assert abs(above - below) > 0.01


def test_bins_switch_at_their_edges() -> None:
    model = KBinsDiscretizer(3, encode="ordinal", strategy="uniform").fit(NUMBERS)
    for at, name in enumerate(NAMES):
        cuts = thresholds(model, NAMES)[name]
        for cut in cuts[1:-1]:
            rows = np.repeat(NUMBERS[:1], 2, axis=0)
            rows[:, at] = [cut - 1e-6, cut + 1e-6]
            assert np.ptp(model.transform(rows)[:, at]) == 1


def test_encoded_text_has_no_threshold() -> None:
    frame = pd.DataFrame({"text": ["x", "y", "z"] * 20, "number": NUMBERS[:60, 1]})
    columns = ColumnTransformer([("text", OneHotEncoder(), ["text"])], remainder="passthrough")
    model = make_pipeline(columns, STUMP).fit(frame, TARGET[:60])
    assert set(thresholds(model, ["text", "number"])) <= {"number"}


def test_histogram_boosting_puts_its_categories_first() -> None:
    frame = pd.DataFrame({"number": NUMBERS[:, 1], "text": np.arange(len(NUMBERS)) % 3})
    frame["text"] = frame["text"].astype("category")
    model = HistGradientBoostingRegressor(max_iter=2, max_leaf_nodes=2).fit(frame, TARGET)
    assert list(thresholds(model, ["number", "text"])) == ["number"]
    encoded = make_pipeline(
        ColumnTransformer([("t", OrdinalEncoder(), ["text"])], remainder="passthrough"), STUMP
    )
    assert list(thresholds(encoded.fit(frame, TARGET), ["number", "text"])) == ["number"]
