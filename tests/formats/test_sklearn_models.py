"""What scikit-learn's estimators are for, and what their answers are called."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import cluster, covariance, ensemble, linear_model, mixture, multioutput, neighbors, svm
from sklearn.compose import ColumnTransformer
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KernelDensity
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from tests.formats.conftest import NUMBERS, REAL, TARGETS, THREE, TWO
from tsavo.formats.sklearn_models import SklearnOriginal, final_step
from tsavo.vocabulary import Field, Hints, Invalid

FIELDS = [Field(f"x{at}", "float64") for at in range(4)]
COLUMNS = {field.name: NUMBERS[:9, at] for at, field in enumerate(FIELDS)}
SOFT = ["label", "probabilities"]

KINDS: list[tuple[Any, str, str, list[str]]] = [
    (linear_model.LogisticRegression(max_iter=900), "two", "binary", SOFT),
    (make_pipeline(StandardScaler(), svm.LinearSVC()), "three", "multiclass", ["label"]),
    (GridSearchCV(linear_model.Ridge(), {"alpha": [1.0]}), "real", "regression", ["value"]),
    (linear_model.LinearRegression(), "several", "regression", ["value"]),
    (neighbors.KNeighborsClassifier(), "labels", "multilabel", SOFT),
    (linear_model.RidgeClassifier(), "labels", "multilabel", ["label"]),
    (multioutput.MultiOutputClassifier(ensemble.RandomForestClassifier(3)), "labels", "multilabel", SOFT),
    (
        make_pipeline(StandardScaler(), ensemble.IsolationForest(n_estimators=5)),
        "none",
        "anomaly",
        ["score", "label"],
    ),
    (neighbors.LocalOutlierFactor(novelty=True), "none", "anomaly", ["score", "label"]),
    (covariance.EllipticEnvelope(), "none", "anomaly", ["score", "label"]),
    (make_pipeline(StandardScaler(), cluster.KMeans(2, n_init=1)), "none", "clustering", ["label"]),
    (make_pipeline(StandardScaler(), mixture.GaussianMixture(2)), "none", "clustering", SOFT),
    (make_pipeline(StandardScaler()), "none", "generic", ["value"]),
    (KernelDensity(), "none", "generic", ["score"]),
]


@pytest.mark.parametrize(
    ("estimator", "target", "task", "outputs"), KINDS, ids=[repr(kind[0]) for kind in KINDS]
)
@pytest.mark.filterwarnings("ignore")
def test_task_and_outputs(estimator: Any, target: str, task: str, outputs: list[str]) -> None:
    original = SklearnOriginal(estimator.fit(NUMBERS, TARGETS[target]))
    assert original.task == task
    answers = original.predict(FIELDS, COLUMNS)
    assert list(answers) == outputs
    assert all(len(values) == 9 for values in answers.values())
    if task == "multilabel":
        assert original.classes == (0, 1)
        assert all(values.shape == (9, 2) for values in answers.values())


def test_the_probability_of_a_label_is_that_of_a_one() -> None:
    model = ensemble.RandomForestClassifier(5, random_state=0).fit(NUMBERS, TARGETS["labels"])
    shares = SklearnOriginal(model).predict(FIELDS, COLUMNS)["probabilities"]
    expected = np.stack([part[:, 1] for part in model.predict_proba(NUMBERS[:9])], axis=1)
    np.testing.assert_array_equal(shares, expected)
    never = np.stack([TWO, np.zeros_like(TWO)], axis=1)
    original = SklearnOriginal(ensemble.RandomForestClassifier(3).fit(NUMBERS, never))
    assert original.task == "multilabel"
    assert not original.predict(FIELDS, COLUMNS)["probabilities"][:, 1].any()


def test_text_is_one_column() -> None:
    texts = pd.Series(["fast car", "slow boat", "fast boat", "slow car"] * 5)
    for first in (CountVectorizer(), FeatureUnion([("a", TfidfVectorizer()), ("b", CountVectorizer())])):
        model = make_pipeline(first, linear_model.LogisticRegression()).fit(texts, texts.str.contains("car"))
        original = SklearnOriginal(model)
        assert (original.columns, original.names, original.wants_text) == (1, None, True)
        column = np.array(["car", "boat"], dtype=object)
        answers = original.predict([Field("words", "string")], {"words": column})
        assert answers["label"].tolist() == [True, False]
        with pytest.raises(Invalid, match="one column of text"):
            original.predict([Field("a", "string"), Field("b", "string")], {"a": column, "b": column})


def test_one_that_only_labels_its_own_rows_is_no_model() -> None:
    with pytest.raises(Invalid, match="only labels the rows it was fitted on"):
        SklearnOriginal(cluster.DBSCAN().fit(NUMBERS))
    with pytest.raises(Invalid, match="holds no model"):
        SklearnOriginal({"a": 1})


def test_what_a_person_says_goes_first() -> None:
    model = linear_model.LogisticRegression(max_iter=900).fit(NUMBERS, TWO)
    original = SklearnOriginal(model, Hints(names=("p", "q", "r", "s"), classes=("no", "yes")))
    assert original.names == ["p", "q", "r", "s"]
    assert original.classes == ("no", "yes")


def test_edges_go_by_the_models_names() -> None:
    model = ensemble.RandomForestRegressor(2, max_depth=2, random_state=0)
    assert set(SklearnOriginal(model.fit(NUMBERS, REAL)).edges()) <= {"x0", "x1", "x2", "x3"}
    frame = pd.DataFrame(NUMBERS, columns=["p", "q", "r", "s"])
    assert set(SklearnOriginal(model.fit(frame, REAL)).edges()) <= {"p", "q", "r", "s"}


def test_missing_text_is_what_it_was_when_the_model_was_fitted() -> None:
    city = pd.Series(["Bern", None, "Voi"] * 10, dtype=object)
    frame = pd.DataFrame({"city": city, "x": np.arange(30.0)})
    model = make_pipeline(
        ColumnTransformer(
            [
                (
                    "t",
                    make_pipeline(
                        SimpleImputer(missing_values=None, strategy="most_frequent"), OneHotEncoder()
                    ),
                    ["city"],
                )
            ],
            remainder="passthrough",
        ),
        ensemble.RandomForestClassifier(2),
    ).fit(frame, np.arange(30) % 2)
    columns = {"city": np.array([None, "Voi"], dtype=object), "x": np.zeros(2)}
    fields = [Field("city", "string", nullable=True), Field("x", "float64")]
    assert len(SklearnOriginal(model).predict(fields, columns)["label"]) == 2
    assert type(final_step(model)).__name__ == "RandomForestClassifier"
    assert THREE.dtype.kind == "U"
