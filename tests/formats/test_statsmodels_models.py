"""statsmodels: our reading and our graph against the library's own predictions."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
import statsmodels.formula.api as smf
from sklearn.datasets import load_diabetes

from tests.formats.boosted import agree, columns_of, fields_of
from tsavo.formats.graph import CannotCompile
from tsavo.formats.opening import original_of
from tsavo.formats.statsmodels_models import wrap
from tsavo.vocabulary import Field, Hints, Invalid, Refused

ROWS, PROGRESS = load_diabetes(return_X_y=True, as_frame=True)
ROWS = ROWS[["age", "bmi", "bp", "s5"]] * 10
HIGH = (PROGRESS > 150).astype(int)
STEPS = np.digitize(PROGRESS, [100, 200])
families = sm.families

MODELS: dict[str, Callable[[Any], Any]] = {
    "OLS": lambda rows: sm.OLS(PROGRESS, rows).fit(),
    "WLS": lambda rows: sm.WLS(PROGRESS, rows, weights=1 + HIGH).fit(),
    "GLS": lambda rows: sm.GLS(PROGRESS, rows).fit(),
    "RLM": lambda rows: sm.RLM(PROGRESS, rows).fit(),
    "QuantReg": lambda rows: sm.QuantReg(PROGRESS, rows).fit(q=0.7),
    "Logit": lambda rows: sm.Logit(HIGH, rows).fit(disp=0),
    "MNLogit": lambda rows: sm.MNLogit(STEPS, rows).fit(disp=0),
    "Poisson": lambda rows: sm.Poisson(PROGRESS, rows).fit(disp=0),
    "NegativeBinomial": lambda rows: sm.NegativeBinomial(PROGRESS, rows).fit(disp=0, maxiter=200),
    "GLM Gaussian": lambda rows: sm.GLM(PROGRESS, rows).fit(),
    "GLM Poisson": lambda rows: sm.GLM(PROGRESS, rows, family=families.Poisson()).fit(),
    "GLM Gamma": lambda rows: sm.GLM(PROGRESS, rows, family=families.Gamma(families.links.Log())).fit(),
    "GLM inverse": lambda rows: sm.GLM(PROGRESS, rows, family=families.Gamma()).fit(),
    "GLM Binomial": lambda rows: sm.GLM(HIGH, rows, family=families.Binomial()).fit(),
    "GLM cloglog": lambda rows: sm.GLM(HIGH, rows, family=families.Binomial(families.links.CLogLog())).fit(),
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("constant", ["first", "last", "none"])
@pytest.mark.parametrize("name", MODELS)
def test_it_answers_as_statsmodels_does(name: str, constant: str, tmp_path: Path) -> None:
    if constant == "none" and name in {"GLM inverse", "GLM Gamma", "NegativeBinomial"}:
        pytest.skip("it does not converge without a constant")
    design = ROWS if constant == "none" else sm.add_constant(ROWS, prepend=constant == "first")
    results = pickle.loads(pickle.dumps(MODELS[name](design)))
    original = original_of(results, Hints())
    assert original.names == list(ROWS.columns)
    fields = fields_of(original)
    answers = agree(original, fields, columns_of(fields, ROWS.to_numpy()), tmp_path, tolerance=1e-9)
    expected = np.asarray(results.predict(design))
    if "probabilities" in answers:
        ones = answers["probabilities"]
        np.testing.assert_allclose(ones if expected.ndim == 2 else ones[:, 1], expected, rtol=1e-12)
        winners = expected.argmax(axis=1) if expected.ndim == 2 else (expected > 0.5).astype(int)
        np.testing.assert_array_equal(answers["label"], winners)
    else:
        np.testing.assert_allclose(answers["value"], expected, rtol=1e-12)


def test_a_formula_takes_the_columns_that_it_names() -> None:
    frame = ROWS.assign(
        progress=PROGRESS, clinic=np.array(["north", "south", "east"])[np.arange(len(ROWS)) % 3]
    )
    results = smf.ols("progress ~ np.exp(bmi) + C(clinic) * bp", frame).fit()
    original = wrap(results, Hints())
    assert original.names == ["bmi", "clinic", "bp"]
    assert original.wants_text
    fields = (Field("bmi", "float64"), Field("clinic", "string"), Field("bp", "float64"))
    columns = {name: frame[name].to_numpy(object if name == "clinic" else float) for name in original.names}
    answers = original.predict(fields, columns)
    np.testing.assert_allclose(answers["value"], results.predict(frame))
    with pytest.raises(CannotCompile, match="formula"):
        original.compile(fields, float32=False)


@pytest.mark.filterwarnings("ignore")
def test_the_normal_distribution_stays_with_statsmodels() -> None:
    design = sm.add_constant(ROWS)
    family = families.Binomial(families.links.Probit())
    for results in (sm.Probit(HIGH, design).fit(disp=0), sm.GLM(HIGH, design, family=family).fit()):
        original = wrap(results, Hints())
        fields = fields_of(original)
        answers = original.predict(fields, columns_of(fields, ROWS.to_numpy()))
        np.testing.assert_allclose(answers["probabilities"][:, 1], results.predict(design))
        with pytest.raises(CannotCompile, match="float64"):
            original.compile(fields, float32=False)


def test_a_column_that_happens_to_be_constant_stays_an_input(tmp_path: Path) -> None:
    design = ROWS.assign(month=1.0)
    results = sm.OLS(PROGRESS, design).fit()
    original = wrap(results, Hints())
    assert original.names == [*ROWS.columns, "month"]
    fields = fields_of(original)
    later = design.assign(month=2.0)
    answers = agree(original, fields, columns_of(fields, later.to_numpy()), tmp_path, tolerance=1e-12)
    np.testing.assert_allclose(answers["value"], results.predict(later))


def test_class_labels_that_somebody_names() -> None:
    original = wrap(MODELS["Logit"](sm.add_constant(ROWS)), Hints(classes=("low", "high")))
    fields = fields_of(original)
    labels = original.predict(fields, columns_of(fields, ROWS.to_numpy()))["label"]
    assert set(labels.tolist()) == {"low", "high"}


@pytest.mark.filterwarnings("ignore")
def test_what_cannot_score_a_row_alone() -> None:
    with pytest.raises(Refused, match="time series"):
        wrap(sm.tsa.ARIMA(PROGRESS.to_numpy()[:60], order=(1, 0, 0)).fit(), Hints())
    with pytest.raises(Refused, match="exposure"):
        wrap(sm.GLM(PROGRESS, ROWS, family=families.Poisson(), exposure=1 + HIGH).fit(), Hints())
    with pytest.raises(Invalid, match="no model"):
        wrap(sm.OLS(PROGRESS, ROWS), Hints())


def test_a_frame_of_pandas_is_not_needed(tmp_path: Path) -> None:
    results = sm.OLS(PROGRESS.to_numpy(), sm.add_constant(ROWS.to_numpy())).fit()
    original = wrap(results, Hints())
    assert original.names == ["x1", "x2", "x3", "x4"]
    fields = fields_of(original)
    answers = agree(original, fields, columns_of(fields, ROWS.to_numpy()), tmp_path, tolerance=1e-12)
    np.testing.assert_allclose(answers["value"], pd.Series(results.fittedvalues))
