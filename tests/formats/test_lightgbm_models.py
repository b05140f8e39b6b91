"""LightGBM: our reading and our graph against the library itself, which computes in float64 as we do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris

from tests.formats.boosted import agree, columns_of, fields_of, with_edges
from tsavo.formats.graph import CannotCompile
from tsavo.formats.lightgbm_models import open_model, wrap
from tsavo.formats.opening import original_of
from tsavo.vocabulary import Hints, Invalid, Unreadable

FEW: dict[str, Any] = {"n_estimators": 12, "verbose": -1, "n_jobs": 1, "min_child_samples": 5}
CANCER, BENIGN = load_breast_cancer(return_X_y=True)
HOLED = np.where(np.arange(len(CANCER))[:, None] % 7 == np.arange(30)[None] % 7, np.nan, CANCER)
ZEROED = np.where(np.nanmedian(HOLED, axis=0) < HOLED, 0.0, HOLED)
FLOWERS, KINDS = load_iris(return_X_y=True)
PATIENTS, PROGRESS = load_diabetes(return_X_y=True)
EXACT = 1e-12


def regressor(**options: Any) -> Any:
    return lightgbm.LGBMRegressor(**FEW, **options).fit(PATIENTS, PROGRESS)


MODELS: dict[str, tuple[Any, Any]] = {
    "binary": (lightgbm.LGBMClassifier(**FEW).fit(HOLED, BENIGN), HOLED),
    "zeros are missing": (lightgbm.LGBMClassifier(zero_as_missing=True, **FEW).fit(ZEROED, BENIGN), ZEROED),
    "nothing is missing": (lightgbm.LGBMClassifier(use_missing=False, **FEW).fit(HOLED, BENIGN), HOLED),
    "forest": (
        lightgbm.LGBMClassifier(boosting_type="rf", bagging_freq=1, bagging_fraction=0.7, **FEW).fit(
            CANCER, BENIGN
        ),
        CANCER,
    ),
    "dart": (lightgbm.LGBMClassifier(boosting_type="dart", **FEW).fit(CANCER, BENIGN), CANCER),
    "early": (
        lightgbm.LGBMClassifier(**FEW).fit(
            CANCER[:400],
            BENIGN[:400],
            eval_X=(CANCER[400:],),
            eval_y=(BENIGN[400:],),
            callbacks=[lightgbm.early_stopping(2, verbose=False)],
        ),
        CANCER,
    ),
    "multiclass": (lightgbm.LGBMClassifier(**FEW).fit(FLOWERS, KINDS), FLOWERS),
    "one against all": (
        lightgbm.LGBMClassifier(objective="multiclassova", **FEW).fit(FLOWERS, KINDS),
        FLOWERS,
    ),
    **{
        objective: (regressor(objective=objective), PATIENTS)
        for objective in ("regression", "l1", "huber", "poisson", "gamma", "tweedie", "quantile", "mape")
    },
    "square root": (regressor(reg_sqrt=True), PATIENTS),
    "cross entropy": (lightgbm.LGBMRegressor(objective="cross_entropy", **FEW).fit(CANCER, BENIGN), CANCER),
    "lambda": (lightgbm.LGBMRegressor(objective="cross_entropy_lambda", **FEW).fit(CANCER, BENIGN), CANCER),
    "ranking": (
        lightgbm.LGBMRanker(**FEW).fit(PATIENTS, (PROGRESS > 150).astype(int), group=[len(PROGRESS)]),
        PATIENTS,
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_text_and_wrapper_answer_as_the_library_does(name: str, tmp_path: Path) -> None:
    model, rows = MODELS[name]
    model.booster_.save_model(tmp_path / "model.txt")
    for original in (open_model(tmp_path / "model.txt", "lightgbm", Hints()), wrap(model, Hints())):
        fields = fields_of(original)
        agree(original, fields, with_edges(original, columns_of(fields, rows)), tmp_path, tolerance=EXACT)
        answers = original.predict(fields, columns_of(fields, rows))
        if "probabilities" in answers:
            np.testing.assert_allclose(answers["probabilities"], model.predict_proba(rows), atol=EXACT)
            np.testing.assert_array_equal(answers["label"], model.predict(rows))
        else:
            np.testing.assert_allclose(next(iter(answers.values())), model.predict(rows), rtol=EXACT)


def test_labels_are_the_wrappers_own(tmp_path: Path) -> None:
    model = lightgbm.LGBMClassifier(**FEW).fit(CANCER, np.where(BENIGN, "yes", "no"))
    original = original_of(model, Hints())
    fields = fields_of(original)
    answers = agree(original, fields, columns_of(fields, CANCER), tmp_path, tolerance=EXACT)
    np.testing.assert_array_equal(answers["label"], model.predict(CANCER))
    assert original.classes == ("no", "yes")


@pytest.mark.parametrize("one_hot", [1, 100])
def test_text_categories_as_pandas_numbered_them(one_hot: int, tmp_path: Path) -> None:
    sites = np.array(list("xyzuvw"), dtype=object)[np.arange(len(PROGRESS)) * 7 % 6]
    sites[::9] = None
    frame = pd.DataFrame({"bmi": PATIENTS[:, 2], "site": pd.Categorical(sites)})
    target = PROGRESS + 100.0 * (sites == "x") - 80.0 * (sites == "u")
    model = lightgbm.LGBMRegressor(max_cat_to_onehot=one_hot, min_data_per_group=5, cat_smooth=1, **FEW)
    model.fit(frame, target)
    model.booster_.save_model(tmp_path / "model.txt")
    original = open_model(tmp_path / "model.txt", "lightgbm", Hints())
    assert original.wants_text
    fields = fields_of(original, frozenset({"site"}))
    answers = agree(original, fields, {"bmi": PATIENTS[:, 2], "site": sites}, tmp_path, tolerance=EXACT)
    np.testing.assert_allclose(answers["value"], model.predict(frame), rtol=EXACT)
    unseen = np.full(3, "nobody saw this", dtype=object)
    agree(original, fields, {"bmi": PATIENTS[:3, 2], "site": unseen}, tmp_path, tolerance=EXACT)


def test_linear_leaves_have_no_graph() -> None:
    original = wrap(regressor(linear_tree=True), Hints())
    with pytest.raises(CannotCompile, match="linear"):
        original.compile(fields_of(original), float32=False)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("left_child=", "left_child=99 "),
        ("split_feature=", "split_feature=99 "),
        ("num_leaves=", "num_leaves=9"),
        ("leaf_value=", "leaf_value=1 "),
        ("\nend of trees", "\n"),
        ("max_feature_idx=", "max_feature_idx=pear"),
        ("left_child=1", "left_child=0"),
    ],
)
def test_forged_text_is_unreadable(before: str, after: str, tmp_path: Path) -> None:
    text = MODELS["regression"][0].booster_.model_to_string()
    assert before in text
    (tmp_path / "model.txt").write_text(text.replace(before, after, 1))
    with pytest.raises(Unreadable, match="cannot be read"):
        open_model(tmp_path / "model.txt", "lightgbm", Hints())


def test_what_was_not_fitted_is_no_model() -> None:
    with pytest.raises(Invalid, match="no model"):
        wrap(lightgbm.LGBMClassifier(), Hints())
