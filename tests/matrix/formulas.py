"""Cases of models that are a formula: statsmodels' results, and scorecards as a table of points."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import statsmodels.api as sm
import statsmodels.formula.api as smf

from tests.matrix.case import Answers, Case
from tests.matrix.data import Rows

__all__ = ["CASES"]


def fitted(build: Callable[[Any, Any], Any]) -> Callable[[Rows], Any]:
    """Fit with the constant that people add."""

    def make(rows: Rows) -> Any:
        return build(np.asarray(rows.target, float), sm.add_constant(rows.inputs))

    return make


def values(results: Any, inputs: Any) -> Answers:
    return {"value": np.asarray(results.predict(sm.add_constant(inputs, has_constant="add")))}


def shares(results: Any, inputs: Any) -> Answers:
    ones = np.asarray(results.predict(sm.add_constant(inputs, has_constant="add")))
    return {"label": (ones > 0.5).astype(int), "probabilities": np.stack([1 - ones, ones], axis=1)}


def by_formula(rows: Rows) -> Any:
    table = rows.inputs.assign(target=np.asarray(rows.target, float))
    return smf.ols("target ~ bmi + np.exp(bp) * s5", table).fit()


def ask_formula(results: Any, inputs: Any) -> Answers:
    return {"value": np.asarray(results.predict(inputs))}


def saved(results: Any, folder: Path) -> Path:
    results.save(str(folder / "results.pickle"))
    return folder / "results.pickle"


CARD = """characteristic,low,high,values,points
base,,,,500
carrier,,,UA|AA,12
carrier,,,missing,-3
carrier,,,otherwise,4.5
dep_delay,,0,,40
dep_delay,0,15,,10.25
dep_delay,15,,,-60
dep_delay,,,missing,0
distance,,500,,-1
distance,500,1500,,1
distance,1500,,,2
"""
SCALED = f"{CARD}@score,,,,520\n@odds,,,,5\n@pdo,,,,25\n"


def points(_card: Any, inputs: Any) -> Answers:
    """The table read aloud, row by row."""
    total = []
    for row in inputs.to_dict("records"):
        carrier, delay, distance = row["carrier"], row["dep_delay"], row["distance"]
        sum_of = 500.0
        sum_of += 12 if carrier in {"UA", "AA"} else 4.5 if isinstance(carrier, str) else -3
        sum_of += 0 if delay != delay else 40 if delay < 0 else 10.25 if delay < 15 else -60
        sum_of += -1 if distance < 500 else 1 if distance < 1500 else 2
        total.append(sum_of)
    return {"value": np.array(total)}


def odds(card: Any, inputs: Any) -> Answers:
    total = points(card, inputs)["value"]
    good = 5 * 2 ** ((total - 520) / 25)
    share = good / (1 + good)
    return {
        "label": (share > 0.5).astype(int),
        "probabilities": np.stack([1 - share, share], axis=1),
        "points": total,
    }


def written(text: Any, folder: Path) -> Path:
    (folder / "card.csv").write_text(text)
    return folder / "card.csv"


FLIGHTS = "flights, text and numbers with gaps"
BYTES: dict[str, Any] = {"save": saved, "trust": True}

CASES = (
    Case(
        "statsmodels",
        "OLS",
        "diabetes",
        fitted(lambda y, x: sm.OLS(y, x).fit()),
        values,
        **BYTES,
        runtime="onnx",
    ),
    Case(
        "statsmodels",
        "QuantReg",
        "diabetes",
        fitted(lambda y, x: sm.QuantReg(y, x).fit()),
        values,
        **BYTES,
        runtime="onnx",
    ),
    Case(
        "statsmodels",
        "GLM (gamma, log)",
        "diabetes",
        fitted(lambda y, x: sm.GLM(y, x, family=sm.families.Gamma(sm.families.links.Log())).fit()),
        values,
        **BYTES,
        runtime="onnx",
    ),
    Case(
        "statsmodels",
        "Logit",
        "diabetes",
        fitted(lambda y, x: sm.Logit((y > 150).astype(float), x).fit(disp=0)),
        shares,
        **BYTES,
        runtime="onnx",
    ),
    Case(
        "statsmodels",
        "Probit",
        "diabetes",
        fitted(lambda y, x: sm.Probit((y > 150).astype(float), x).fit(disp=0)),
        shares,
        **BYTES,
        runtime="python",
    ),
    Case("statsmodels", "OLS by formula", "diabetes", by_formula, ask_formula, **BYTES, runtime="python"),
    Case("scorecard", "points", FLIGHTS, lambda _rows: CARD, points, save=written, runtime="onnx"),
    Case("scorecard", "points and odds", FLIGHTS, lambda _rows: SCALED, odds, save=written, runtime="onnx"),
)
