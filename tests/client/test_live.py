from __future__ import annotations

from pathlib import Path
from typing import Any

import catboost
import lightgbm
import numpy as np
import pytest
import xgboost
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression

from tsavo.client.live import export
from tsavo.formats.opening import open_original
from tsavo.formats.sniffing import sniff
from tsavo.vocabulary import Field, Hints, Invalid

FLOWERS, KINDS = load_iris(return_X_y=True)
NAMED = np.array(["setosa", "versicolor", "virginica"])[KINDS]


@pytest.mark.parametrize(
    ("model", "target"),
    [
        (xgboost.XGBClassifier(n_estimators=5, n_jobs=1), KINDS),
        (lightgbm.LGBMClassifier(n_estimators=5, verbose=-1, n_jobs=1), NAMED),
        (
            catboost.CatBoostClassifier(iterations=5, verbose=0, allow_writing_files=False, thread_count=1),
            NAMED,
        ),
    ],
    ids=["xgboost", "lightgbm", "catboost"],
)
def test_a_live_model_becomes_a_file_that_answers_the_same(model: Any, target: Any, tmp_path: Path) -> None:
    model.fit(FLOWERS, target)
    written = export(model)
    assert written is not None
    path = tmp_path / f"model{written.suffix}"
    path.write_bytes(written.content)
    source_format = sniff(written.content[:8192])
    classes = written.hints.get("classes")
    hints = Hints(classes=None if classes is None else tuple(classes))
    original = open_original(path, source_format, trusted=False, hints=hints)
    names = original.names or [f"x{at}" for at in range(4)]
    answers = original.predict(
        [Field(name, "float64") for name in names], {name: FLOWERS[:, at] for at, name in enumerate(names)}
    )
    np.testing.assert_allclose(answers["probabilities"], model.predict_proba(FLOWERS), atol=1e-7)
    np.testing.assert_array_equal(answers["label"], np.asarray(model.predict(FLOWERS)).squeeze())


def test_what_has_no_format_of_its_own_is_left_to_others() -> None:
    assert export(LogisticRegression()) is None
    # The number that stands for missing is known to the wrapper alone.
    assert export(xgboost.XGBClassifier(n_estimators=2, missing=-1.0).fit(FLOWERS, KINDS)) is None


def test_a_model_that_was_not_fitted_is_told_so() -> None:
    with pytest.raises(Invalid, match="cannot be written"):
        export(xgboost.XGBClassifier())
