"""XGBoost: our reading and our graph against the library itself, thresholds and missing values included."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, make_multilabel_classification

from tests.formats.boosted import agree, columns_of, fields_of, with_edges
from tsavo.formats.graph import CannotCompile
from tsavo.formats.opening import original_of
from tsavo.formats.xgboost_models import open_model, wrap
from tsavo.vocabulary import Field, Hints, Invalid, Unreadable

FEW: dict[str, Any] = {"n_estimators": 12, "max_depth": 4, "n_jobs": 1}
CANCER, BENIGN = load_breast_cancer(return_X_y=True)
HOLED = np.where(np.arange(len(CANCER))[:, None] % 7 == np.arange(30)[None] % 7, np.nan, CANCER)
FLOWERS, KINDS = load_iris(return_X_y=True)
PATIENTS, PROGRESS = load_diabetes(return_X_y=True)
MARKED, MARKS = make_multilabel_classification(150, 6, n_classes=3, random_state=0)

# Name -> (model, rows, what the library's own wrapper is asked for).
MODELS: dict[str, tuple[Any, Any, str]] = {
    "binary": (xgboost.XGBClassifier(**FEW).fit(HOLED, BENIGN), HOLED, "predict_proba"),
    "forest": (xgboost.XGBRFClassifier(**FEW).fit(CANCER, BENIGN), CANCER, "predict_proba"),
    "multiclass": (xgboost.XGBClassifier(**FEW).fit(FLOWERS, KINDS), FLOWERS, "predict_proba"),
    "softmax": (
        xgboost.XGBClassifier(objective="multi:softmax", **FEW).fit(FLOWERS, KINDS),
        FLOWERS,
        "predict",
    ),
    "hinge": (xgboost.XGBClassifier(objective="binary:hinge", **FEW).fit(CANCER, BENIGN), CANCER, "predict"),
    "multilabel": (xgboost.XGBClassifier(**FEW).fit(MARKED, MARKS), MARKED, "predict_proba"),
    "early": (
        xgboost.XGBClassifier(early_stopping_rounds=2, **FEW).fit(
            CANCER[:400], BENIGN[:400], eval_set=[(CANCER[400:], 1 - BENIGN[400:])], verbose=False
        ),
        CANCER,
        "predict_proba",
    ),
    "regression": (xgboost.XGBRegressor(**FEW).fit(PATIENTS, PROGRESS), PATIENTS, "predict"),
    "poisson": (
        xgboost.XGBRegressor(objective="count:poisson", **FEW).fit(PATIENTS, PROGRESS),
        PATIENTS,
        "predict",
    ),
    "gamma": (
        xgboost.XGBRegressor(objective="reg:gamma", **FEW).fit(PATIENTS, PROGRESS),
        PATIENTS,
        "predict",
    ),
    "tweedie": (
        xgboost.XGBRegressor(objective="reg:tweedie", **FEW).fit(PATIENTS, PROGRESS),
        PATIENTS,
        "predict",
    ),
    "logistic": (
        xgboost.XGBRegressor(objective="reg:logistic", **FEW).fit(CANCER, BENIGN),
        CANCER,
        "predict",
    ),
    "quantiles": (
        xgboost.XGBRegressor(objective="reg:quantileerror", quantile_alpha=[0.1, 0.5, 0.9], **FEW).fit(
            PATIENTS, PROGRESS
        ),
        PATIENTS,
        "predict",
    ),
    "several": (
        xgboost.XGBRegressor(**FEW).fit(PATIENTS, np.stack([PROGRESS, -PROGRESS], axis=1)),
        PATIENTS,
        "predict",
    ),
    "dart": (
        xgboost.XGBRegressor(booster="dart", rate_drop=0.3, **FEW).fit(PATIENTS, PROGRESS),
        PATIENTS,
        "predict",
    ),
    "linear": (
        xgboost.XGBRegressor(booster="gblinear", n_estimators=12).fit(PATIENTS, PROGRESS),
        PATIENTS,
        "predict",
    ),
    "ranking": (
        xgboost.XGBRanker(**FEW).fit(
            PATIENTS, (PROGRESS > 150).astype(int), qid=np.arange(len(PROGRESS)) // 20
        ),
        PATIENTS,
        "predict",
    ),
}


@pytest.mark.parametrize("suffix", ["ubj", "json"])
@pytest.mark.parametrize("name", MODELS)
def test_a_file_answers_as_the_wrapper_does(name: str, suffix: str, tmp_path: Path) -> None:
    model, rows, ask = MODELS[name]
    model.save_model(tmp_path / f"model.{suffix}")
    original = open_model(tmp_path / f"model.{suffix}", "xgboost", Hints())
    fields = fields_of(original)
    agree(original, fields, with_edges(original, columns_of(fields, rows)), tmp_path, tolerance=5e-6)
    answers = original.predict(fields, columns_of(fields, rows))
    expected = getattr(model, ask)(rows)
    shown = {
        "predict_proba": "probabilities",
        "predict": "label" if "label" in answers else next(iter(answers)),
    }
    np.testing.assert_allclose(answers[shown[ask]], expected, rtol=1e-6, atol=1e-7)


def test_a_threshold_is_compared_in_float32(tmp_path: Path) -> None:
    """0.1 as float64 is less than 0.1 as float32: a comparison in float64 would take the other branch."""
    rows = np.array([[0.05], [0.1], [0.15], [0.2]] * 10)
    model = xgboost.XGBRegressor(n_estimators=1, max_depth=3, min_child_weight=0, reg_lambda=0, n_jobs=1)
    model.fit(rows, rows[:, 0] * 100)
    original = wrap(model, Hints())
    (thresholds,) = original.edges().values()
    fields = fields_of(original)
    for threshold in thresholds:
        near = np.array([[np.nextafter(threshold, 0.0)], [threshold], [np.nextafter(threshold, 1.0)]])
        answers = agree(original, fields, columns_of(fields, near), tmp_path, tolerance=1e-6)
        # All three round to the same float32, so all three answers are one.
        assert len(set(answers["value"].tolist())) == 1


def test_a_number_stands_for_missing(tmp_path: Path) -> None:
    rows = np.nan_to_num(HOLED, nan=-999.0)
    model = xgboost.XGBClassifier(missing=-999.0, **FEW).fit(rows, BENIGN)
    original = original_of(model, Hints())
    fields = fields_of(original)
    answers = agree(original, fields, columns_of(fields, rows), tmp_path, tolerance=1e-6)
    np.testing.assert_allclose(answers["probabilities"], model.predict_proba(rows), atol=1e-7)


def test_class_labels_are_those_that_somebody_names(tmp_path: Path) -> None:
    model, rows, _ = MODELS["binary"]
    model.save_model(tmp_path / "model.ubj")
    original = open_model(tmp_path / "model.ubj", "xgboost", Hints(classes=("no", "yes")))
    fields = fields_of(original)
    answers = agree(original, fields, columns_of(fields, rows), tmp_path, tolerance=1e-6)
    np.testing.assert_array_equal(answers["label"], np.array(["no", "yes"])[model.predict(rows)])
    with pytest.raises(Invalid, match="number of classes"):
        open_model(tmp_path / "model.ubj", "xgboost", Hints(classes=("a", "b", "c")))


@pytest.mark.parametrize("one_hot", [1, 100])
def test_numbered_categories(one_hot: int, tmp_path: Path) -> None:
    codes = np.arange(len(PROGRESS)) * 7 % 6
    frame = pd.DataFrame({"bmi": PATIENTS[:, 2], "site": pd.Categorical(codes)})
    target = PROGRESS + 100.0 * (codes == 3) - 80.0 * (codes == 5)
    model = xgboost.XGBRegressor(enable_categorical=True, max_cat_to_onehot=one_hot, **FEW).fit(frame, target)
    original = wrap(model, Hints())
    fields = fields_of(original)
    columns = {"bmi": PATIENTS[:, 2], "site": codes.astype(float)}
    answers = agree(original, fields, with_edges(original, columns), tmp_path, tolerance=5e-6)
    np.testing.assert_allclose(answers["value"][: len(codes)], model.predict(frame), rtol=1e-6)


def test_text_categories_are_left_to_the_library() -> None:
    sites = np.array(list("xyzuvw"), dtype=object)[np.arange(len(PROGRESS)) * 7 % 6]
    frame = pd.DataFrame({"bmi": PATIENTS[:, 2], "site": pd.Categorical(sites)})
    model = xgboost.XGBRegressor(enable_categorical=True, **FEW).fit(frame, PROGRESS)
    original = wrap(model, Hints())
    fields = (Field("bmi", "float64"), Field("site", "string"))
    answers = original.predict(fields, {"bmi": PATIENTS[:, 2], "site": sites})
    np.testing.assert_allclose(answers["value"], model.predict(frame), rtol=1e-6)
    # One row alone must be numbered as among others.
    alone = original.predict(fields, {"bmi": PATIENTS[[5], 2], "site": sites[[5]]})
    np.testing.assert_array_equal(alone["value"], answers["value"][[5]])
    with pytest.raises(CannotCompile, match="text categories"):
        original.compile(fields, float32=False)


def test_leaves_of_several_targets_have_no_graph() -> None:
    model = xgboost.XGBRegressor(multi_strategy="multi_output_tree", **FEW)
    model.fit(PATIENTS, np.stack([PROGRESS, -PROGRESS], axis=1))
    original = wrap(model, Hints())
    with pytest.raises(CannotCompile, match="several targets"):
        original.compile(fields_of(original), float32=False)


@pytest.mark.parametrize("damage", ["cut", "nested", "empty object", "no json"])
def test_a_broken_file_is_unreadable(damage: str, tmp_path: Path) -> None:
    model, _, _ = MODELS["regression"]
    model.save_model(tmp_path / "whole.json")
    text = (tmp_path / "whole.json").read_bytes()
    path = tmp_path / "model.json"
    path.write_bytes(
        {
            "cut": text[: len(text) // 2],
            "nested": b'{"learner":' + b"[" * 100_000,
            "empty object": b"{}",
            "no json": b'{"learner": pear}',
        }[damage]
    )
    with pytest.raises(Unreadable, match="cannot be read"):
        open_model(path, "xgboost", Hints())


def test_what_was_not_fitted_is_no_model() -> None:
    with pytest.raises(Invalid, match="no model"):
        wrap(xgboost.XGBClassifier(), Hints())


def test_edges_are_the_thresholds_of_the_file(tmp_path: Path) -> None:
    model, _, _ = MODELS["regression"]
    model.save_model(tmp_path / "model.json")
    written = json.loads((tmp_path / "model.json").read_text())
    trees = written["learner"]["gradient_booster"]["model"]["trees"]
    expected = {
        float(threshold)
        for tree in trees
        for left, threshold in zip(tree["left_children"], tree["split_conditions"], strict=True)
        if left >= 0
    }
    found = wrap(model, Hints()).edges()
    assert {value for values in found.values() for value in values} == expected
