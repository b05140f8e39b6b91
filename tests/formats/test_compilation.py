"""Every step that we compile ourselves is compared with scikit-learn's own answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, make_column_selector
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    StackingRegressor,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Lasso, LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    RobustScaler,
    StandardScaler,
)
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from tsavo.formats.compilation import compile_estimator
from tsavo.formats.graph import CannotCompile
from tsavo.vocabulary import Field

Outputs = dict[str, npt.NDArray[Any]]
Both = Callable[..., tuple[Outputs, Outputs]]

RANDOM = np.random.default_rng(7)
X = RANDOM.normal(size=(400, 5))
TWO = (X[:, 0] * X[:, 1] + X[:, 2] > 0).astype(int)
THREE = np.digitize(X[:, 0] + X[:, 1], [-0.5, 0.7])
REAL = 3 * X[:, 0] + X[:, 1] ** 2
NUMBERS = tuple(Field(f"x{at}", "float64") for at in range(5))
MATRIX = {f"x{at}": X[:, at] for at in range(5)}
EXACT = 1e-12
# Three classes in a forest, and borrowed tree operators, give float32 results.
SINGLE = 2e-6

NUMERIC_MODELS: list[tuple[str, Any, npt.NDArray[Any] | None, float]] = [
    ("logistic", LogisticRegression(), TWO, EXACT),
    ("logistic of three", LogisticRegression(), THREE, EXACT),
    ("logistic of float labels", LogisticRegression(), TWO.astype(float), EXACT),
    ("linear", LinearRegression(), REAL, EXACT),
    ("linear of two targets", LinearRegression(), np.c_[REAL, -REAL], EXACT),
    ("ridge", Ridge(), REAL, EXACT),
    ("lasso", Lasso(), REAL, EXACT),
    ("tree of text labels", DecisionTreeClassifier(random_state=0), THREE.astype(str), EXACT),
    ("tree that never splits", DecisionTreeRegressor(), np.ones(400), EXACT),
    ("forest", RandomForestClassifier(15, random_state=0), TWO, EXACT),
    ("forest of three", RandomForestClassifier(15, random_state=0), THREE, SINGLE),
    ("extra trees of bool labels", ExtraTreesClassifier(10, random_state=0), TWO.astype(bool), EXACT),
    ("forest regression", RandomForestRegressor(10, random_state=0), REAL, EXACT),
    ("forest of two targets", RandomForestRegressor(10, random_state=0), np.c_[REAL, -REAL], SINGLE),
    ("boosting", GradientBoostingClassifier(n_estimators=20), TWO, EXACT),
    ("boosting of three", GradientBoostingClassifier(n_estimators=10), THREE, EXACT),
    (
        "boosting, exponential loss",
        GradientBoostingClassifier(n_estimators=10, loss="exponential"),
        TWO,
        EXACT,
    ),
    ("boosting from zero", GradientBoostingClassifier(n_estimators=10, init="zero"), TWO, EXACT),
    ("boosting regression", GradientBoostingRegressor(n_estimators=10), REAL, EXACT),
    ("histogram boosting", HistGradientBoostingClassifier(max_iter=10), TWO, EXACT),
    ("histogram boosting of three", HistGradientBoostingClassifier(max_iter=10), THREE, EXACT),
    ("histogram boosting regression", HistGradientBoostingRegressor(max_iter=10), REAL, EXACT),
    (
        "histogram boosting of counts",
        HistGradientBoostingRegressor(max_iter=9, loss="poisson"),
        REAL**2,
        EXACT,
    ),
    ("isolation forest", IsolationForest(n_estimators=20, random_state=0), None, EXACT),
    (
        "isolation forest of few features",
        IsolationForest(n_estimators=20, max_features=0.5, random_state=0),
        None,
        EXACT,
    ),
    ("search", GridSearchCV(Ridge(), {"alpha": [0.1, 1.0]}), REAL, EXACT),
    (
        "vote",
        VotingClassifier(
            [("a", GradientBoostingClassifier(n_estimators=3)), ("b", LogisticRegression())],
            voting="soft",
            weights=[1, 3],
        ),
        THREE,
        EXACT,
    ),
    ("mean", VotingRegressor([("a", Ridge()), ("b", DecisionTreeRegressor(max_depth=3))]), REAL, EXACT),
    (
        "stack",
        StackingClassifier([("a", DecisionTreeClassifier(max_depth=3)), ("b", LogisticRegression())], cv=2),
        TWO.astype(str),
        EXACT,
    ),
    (
        "stack regression, inputs passed through",
        StackingRegressor(
            [("a", Ridge()), ("b", DecisionTreeRegressor(max_depth=3))], passthrough=True, cv=2
        ),
        REAL,
        1e-9,
    ),
    (
        "scalers",
        make_pipeline(StandardScaler(), RobustScaler(), MinMaxScaler(clip=True), MaxAbsScaler(), Ridge()),
        REAL,
        EXACT,
    ),
    ("transformer last", make_pipeline(StandardScaler(), FunctionTransformer()), None, EXACT),
    (
        "union",
        make_pipeline(FeatureUnion([("a", StandardScaler()), ("b", MinMaxScaler())]), LogisticRegression()),
        TWO,
        EXACT,
    ),
    ("borrowed transformers", make_pipeline(PCA(3), SelectKBest(k=2), LogisticRegression()), TWO, EXACT),
    ("borrowed predictor", GaussianNB(), THREE, 1e-9),
]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("estimator", "target", "tolerance"),
    [case[1:] for case in NUMERIC_MODELS],
    ids=[case[0] for case in NUMERIC_MODELS],
)
def test_numbers_only(both: Both, estimator: Any, target: Any, tolerance: float) -> None:
    estimator.fit(X, target)
    expected, found = both(estimator, NUMBERS, MATRIX)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        assert found[name].shape == values.shape
        if name == "label":
            _same_labels(found, expected)
        else:
            np.testing.assert_allclose(found[name], values, rtol=tolerance, atol=tolerance)


def _same_labels(found: dict[str, npt.NDArray[Any]], expected: dict[str, npt.NDArray[Any]]) -> None:
    differs = found["label"] != expected["label"]
    if "probabilities" in expected:
        top = np.sort(expected["probabilities"], axis=1)
        differs &= top[:, -1] - top[:, -2] > 1e-9
    assert not differs.any()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "estimator", [LinearSVC(), CalibratedClassifierCV(DecisionTreeClassifier(max_depth=3), cv=2)], ids=repr
)
def test_the_float32_road(both: Both, estimator: Any) -> None:
    """Models whose borrowed converter does not work in float64."""
    estimator.fit(X, TWO)
    expected, found = both(estimator, NUMBERS, MATRIX, float32=True)
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-5, atol=1e-5)


def test_rows_on_a_threshold_take_the_branch_that_scikit_learn_takes(both: Both) -> None:
    """The float32/float64 trap: thresholds, and their neighbours in both precisions."""
    for estimator in (
        GradientBoostingRegressor(n_estimators=5, random_state=0),
        HistGradientBoostingRegressor(max_iter=5),
    ):
        estimator.fit(X, REAL)
        if isinstance(estimator, GradientBoostingRegressor):
            cuts = np.concatenate([part.tree_.threshold for part in estimator.estimators_[:, 0]])
        else:
            cuts = np.concatenate([stage[0].nodes["num_threshold"] for stage in estimator._predictors])
        near = [cuts, cuts.astype(np.float32).astype(float)]
        for way in (-np.inf, np.inf):
            near.append(np.nextafter(cuts, way))
            near.append(np.nextafter(cuts.astype(np.float32), np.float32(way)).astype(float))
        values = np.concatenate(near)
        columns = {field.name: values for field in NUMBERS}
        expected, found = both(estimator, NUMBERS, columns)
        np.testing.assert_allclose(found["value"], expected["value"], rtol=1e-12)


def test_trees_send_missing_numbers_where_scikit_learn_does(both: Both) -> None:
    holes = X.copy()
    holes[RANDOM.random(X.shape) < 0.2] = np.nan
    columns = {f"x{at}": holes[:, at] for at in range(5)}
    for estimator in (
        HistGradientBoostingClassifier(max_iter=10),
        DecisionTreeClassifier(random_state=0),
        RandomForestClassifier(10, random_state=0),
    ):
        for training in (holes, X):
            estimator.fit(training, TWO)
            if training is X and isinstance(estimator, RandomForestClassifier):
                continue  # it refuses missing values that it did not see when it was fitted
            expected, found = both(estimator, NUMBERS, columns)
            np.testing.assert_allclose(found["probabilities"], expected["probabilities"], atol=1e-12)


MIXED = (
    Field("age", "int64"),
    Field("city", "string", nullable=True),
    Field("income", "float64", nullable=True),
    Field("member", "bool"),
    Field("job", "string", nullable=True),
)
ROWS = 500


def text(values: Sequence[str | None]) -> npt.NDArray[Any]:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def mixed() -> tuple[pd.DataFrame, npt.NDArray[np.int64], dict[str, npt.NDArray[Any]]]:
    random = np.random.default_rng(3)
    city = random.choice(np.array(["Bern", "Genève", "", None], dtype=object), ROWS, p=[0.5, 0.3, 0.05, 0.15])
    job = random.choice(
        np.array(["cook", "smith", "rare", None], dtype=object), ROWS, p=[0.5, 0.4, 0.02, 0.08]
    )
    income = np.where(random.random(ROWS) < 0.1, np.nan, random.lognormal(10, 1, ROWS))
    columns = {
        "age": random.integers(18, 80, ROWS),
        "city": text(city.tolist()),
        "income": income,
        "member": random.random(ROWS) < 0.5,
        "job": text(job.tolist()),
    }
    target = (columns["age"] / 40 + (city == "Bern") + random.normal(size=ROWS) > 1.7).astype(np.int64)
    return pd.DataFrame(columns), target, columns


NUMBER_NAMES, TEXT_NAMES = ["age", "income", "member"], ["city", "job"]
PREPROCESSORS: dict[str, Any] = {
    "impute, scale, one-hot": ColumnTransformer(
        [
            ("num", make_pipeline(SimpleImputer(), StandardScaler()), ["age", "income"]),
            (
                "cat",
                make_pipeline(
                    SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore")
                ),
                TEXT_NAMES,
            ),
        ],
        remainder="passthrough",
    ),
    "constant fill": ColumnTransformer(
        [
            ("num", SimpleImputer(strategy="constant", fill_value=-1), NUMBER_NAMES),
            (
                "cat",
                make_pipeline(
                    SimpleImputer(strategy="constant", fill_value="?"), OneHotEncoder(handle_unknown="ignore")
                ),
                TEXT_NAMES,
            ),
        ]
    ),
    "missing is a category": ColumnTransformer(
        [
            ("cat", OneHotEncoder(), TEXT_NAMES),
            ("num", SimpleImputer(add_indicator=True), NUMBER_NAMES),
        ]
    ),
    "rare ones grouped, one dropped": ColumnTransformer(
        [
            (
                "cat",
                OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=60, drop="first"),
                [*TEXT_NAMES, "member"],
            ),
        ],
        remainder=SimpleImputer(),
    ),
    "ordinal": ColumnTransformer(
        [
            (
                "cat",
                OrdinalEncoder(
                    handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-2
                ),
                [*TEXT_NAMES, "age"],
            ),
            ("num", SimpleImputer(), make_column_selector(dtype_include="float")),
            ("none", "drop", ["member"]),
        ]
    ),
}


@pytest.mark.parametrize("name", PREPROCESSORS)
@pytest.mark.parametrize(
    "last",
    [GradientBoostingClassifier(n_estimators=10), LogisticRegression(max_iter=5000)],
    ids=["boosting", "logistic"],
)
@pytest.mark.filterwarnings("ignore")
def test_mixed_tables(both: Both, name: str, last: Any) -> None:
    frame, target, columns = mixed()
    pipeline = make_pipeline(PREPROCESSORS[name], last).fit(frame, target)
    expected, found = both(pipeline, MIXED, columns)
    np.testing.assert_allclose(found["probabilities"], expected["probabilities"], atol=1e-9)
    _same_labels(found, expected)
    if name not in {"missing is a category", "constant fill"}:  # their encoders refuse what they do not know
        unseen = {**columns, "city": text(["Atlantis"] * ROWS), "job": text(["", "ghost"] * (ROWS // 2))}
        expected, found = both(pipeline, MIXED, unseen)
        np.testing.assert_allclose(found["probabilities"], expected["probabilities"], atol=1e-9)


def test_categories_of_histogram_boosting(both: Both) -> None:
    frame, target, columns = mixed()
    frame = frame.astype({"city": "category", "job": "category"})
    model = HistGradientBoostingClassifier(max_iter=20, min_samples_leaf=5).fit(frame, target)
    columns = {**columns, "job": text(["never seen", *columns["job"].tolist()[1:]])}
    expected, found = both(model, MIXED, columns)
    np.testing.assert_allclose(found["probabilities"], expected["probabilities"], atol=1e-12)


def test_an_encoder_remembers_what_its_column_may_hold() -> None:
    frame, target, _ = mixed()
    pipeline = make_pipeline(PREPROCESSORS["impute, scale, one-hot"], LogisticRegression()).fit(frame, target)
    known = compile_estimator(pipeline, MIXED).known
    assert set(known) == {1, 4}
    assert set(known[1]) == {"", "Bern", "Genève"}


class Doubling(Ridge):  # type: ignore[misc]
    """Not scikit-learn's own: it may compute anything."""


@pytest.mark.parametrize(
    "estimator",
    [
        Doubling(),
        make_pipeline(FunctionTransformer(np.abs), Doubling()),
        GradientBoostingRegressor(init=Ridge(), n_estimators=2),
    ],
    ids=["subclass", "function", "init"],
)
def test_what_has_no_way_to_onnx_says_so(estimator: Any) -> None:
    with pytest.raises(CannotCompile):
        compile_estimator(estimator.fit(X, REAL), NUMBERS)
