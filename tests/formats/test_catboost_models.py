"""CatBoost: our reading and our graph against the library itself, borders and missing values included."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import catboost
import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, make_multilabel_classification

from tests.formats.boosted import agree, columns_of, fields_of, with_edges
from tsavo.formats.catboost_models import open_model, wrap
from tsavo.formats.graph import CannotCompile
from tsavo.formats.opening import original_of
from tsavo.vocabulary import Field, Hints, Invalid, Unreadable

FEW: dict[str, Any] = {
    "iterations": 12,
    "depth": 4,
    "verbose": 0,
    "allow_writing_files": False,
    "thread_count": 1,
}
CANCER, BENIGN = load_breast_cancer(return_X_y=True)
HOLED = np.where(np.arange(len(CANCER))[:, None] % 7 == np.arange(30)[None] % 7, np.nan, CANCER)
FLOWERS, KINDS = load_iris(return_X_y=True)
NAMED = np.array(["setosa", "versicolor", "virginica"])[KINDS]
PATIENTS, PROGRESS = load_diabetes(return_X_y=True)
MARKED, MARKS = make_multilabel_classification(150, 6, n_classes=3, random_state=0)


def classifier(rows: Any, target: Any, **options: Any) -> Any:
    return catboost.CatBoostClassifier(**FEW, **options).fit(rows, target)


def regressor(loss: str, target: Any = PROGRESS, **options: Any) -> Any:
    return catboost.CatBoostRegressor(loss_function=loss, **FEW, **options).fit(PATIENTS, target)


MODELS: dict[str, tuple[Any, Any]] = {
    "binary": (classifier(HOLED, BENIGN), HOLED),
    "missing is great": (classifier(HOLED, np.where(BENIGN, "yes", "no"), nan_mode="Max"), HOLED),
    "multiclass": (classifier(FLOWERS, NAMED), FLOWERS),
    "one against all": (classifier(FLOWERS, KINDS, loss_function="MultiClassOneVsAll"), FLOWERS),
    "depthwise": (classifier(FLOWERS, KINDS, grow_policy="Depthwise"), FLOWERS),
    "multilabel": (classifier(MARKED, MARKS, loss_function="MultiLogloss"), MARKED),
    **{loss: (regressor(loss), PATIENTS) for loss in ("RMSE", "MAE", "Poisson", "Quantile:alpha=0.9")},
    "lossguide": (regressor("RMSE", grow_policy="Lossguide"), PATIENTS),
    "several": (regressor("MultiRMSE", np.stack([PROGRESS, -PROGRESS], axis=1)), PATIENTS),
    "ranking": (
        catboost.CatBoostRanker(loss_function="YetiRank", **FEW).fit(
            PATIENTS, (PROGRESS > 150).astype(int), group_id=np.arange(len(PROGRESS)) // 20
        ),
        PATIENTS,
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_file_and_wrapper_answer_as_the_library_does(name: str, tmp_path: Path) -> None:
    model, rows = MODELS[name]
    model.save_model(str(tmp_path / "model.cbm"))
    for original in (open_model(tmp_path / "model.cbm", "catboost", Hints()), original_of(model, Hints())):
        fields = fields_of(original)
        missing = name in {"binary", "missing is great"}
        columns = with_edges(original, columns_of(fields, rows), missing=missing)
        # Leaves of several values are summed by the older operator, which answers in float32.
        agree(original, fields, columns, tmp_path, tolerance=1e-6)
        answers = original.predict(fields, columns_of(fields, rows))
        if "probabilities" in answers:
            np.testing.assert_allclose(answers["probabilities"], model.predict_proba(rows), atol=1e-12)
            np.testing.assert_array_equal(answers["label"], model.predict(rows).squeeze())
        else:
            np.testing.assert_allclose(next(iter(answers.values())), model.predict(rows), rtol=1e-12)


def test_categories_are_left_to_the_library() -> None:
    sites = np.array(list("xyzuvw"), dtype=object)[np.arange(len(PROGRESS)) * 7 % 6]
    frame = pd.DataFrame({"bmi": PATIENTS[:, 2], "site": sites})
    model = catboost.CatBoostRegressor(cat_features=["site"], **FEW).fit(frame, PROGRESS)
    original = wrap(model, Hints())
    assert original.wants_text
    assert original.names == ["bmi", "site"]
    fields = (Field("bmi", "float64"), Field("site", "string"))
    answers = original.predict(fields, {"bmi": PATIENTS[:, 2], "site": sites})
    np.testing.assert_array_equal(answers["value"], model.predict(frame))
    with pytest.raises(CannotCompile, match="categories"):
        original.compile(fields, float32=False)


@pytest.mark.parametrize("damage", ["cut", "text"])
def test_a_broken_file_is_unreadable(damage: str, tmp_path: Path) -> None:
    MODELS["RMSE"][0].save_model(str(tmp_path / "whole.cbm"))
    whole = (tmp_path / "whole.cbm").read_bytes()
    path = tmp_path / "model.cbm"
    path.write_bytes({"cut": whole[:200], "changed": whole[:4] + b"\xff" * 400, "text": b"CBM1 pear"}[damage])
    with pytest.raises(Unreadable, match="cannot be read"):
        open_model(path, "catboost", Hints())


def test_what_was_not_fitted_is_no_model() -> None:
    with pytest.raises(Invalid, match="no model"):
        wrap(catboost.CatBoostClassifier(), Hints())
