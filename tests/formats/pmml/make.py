"""Makes the PMML files of this folder and, beside each, a CSV of rows with the answers of scikit-learn.

They are files that JPMML wrote, so the reader is tested on what another program makes. Run it in an environment of its
own with ``scikit-learn==1.9.0``, ``sklearn2pmml==0.133.1`` and ``pandas``; the converter needs Java.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

FOLDER = Path(__file__).parent
ROWS = 60


def rows() -> pd.DataFrame:
    """Customers that were made up: ages with gaps, incomes and cities."""
    random = np.random.default_rng(0)
    age = random.integers(18, 80, ROWS).astype(float)
    age[::9] = np.nan
    return pd.DataFrame(
        {
            "age": age,
            "income": random.normal(3000, 900, ROWS).round(1),
            "city": random.choice(["Bern", "Köln", "Wien"], ROWS).astype(object),
        }
    )


def write(name: str, pipeline: Any, table: pd.DataFrame, target: pd.Series) -> None:
    """One file, and its answers beside it."""
    pipeline.fit(table, target)
    converter: Any = import_module("sklearn2pmml")
    made = converter.make_pmml_pipeline(
        pipeline, active_fields=list(table.columns), target_fields=[str(target.name)]
    )
    converter.sklearn2pmml(made, str(FOLDER / f"{name}.pmml"))
    answers = table.copy()
    if hasattr(pipeline, "predict_proba"):
        answers["expected.label"] = pipeline.predict(table)
        probabilities = pipeline.predict_proba(table)
        for at, label in enumerate(pipeline.classes_):
            answers[f"expected.{label}"] = probabilities[:, at]
    else:
        answers["expected.value"] = pipeline.predict(table)
    answers.to_csv(FOLDER / f"{name}.csv", index=False)


def main() -> None:
    """All of them."""
    table = rows()
    random = np.random.default_rng(1)
    pull = table["income"] / 900 + (table["city"] == "Wien") * 2 + random.normal(0, 1, ROWS)
    leaves = pd.Series(np.where(pull > 4, "leave", "stay"), name="decision")
    tier = pd.Series(np.digitize(pull, [2.8, 4.2]), name="tier").map({0: "gold", 1: "silver", 2: "wood"})
    spent = pd.Series((pull * 37).round(2), name="spent")
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    mixed = ColumnTransformer([("n", numbers, ["age", "income"]), ("c", OneHotEncoder(), ["city"])])
    filled = table.fillna({"age": 40.0})
    write("logistic", make_pipeline(mixed, LogisticRegression(max_iter=500)), table, leaves)
    write("linear", make_pipeline(mixed, LinearRegression()), table, spent)
    write("tree", DecisionTreeClassifier(max_depth=4, random_state=0), filled[["age", "income"]], tier)
    boosting = GradientBoostingClassifier(n_estimators=5, max_depth=2, random_state=0)
    write("boosting", boosting, filled[["age", "income"]], leaves)


if __name__ == "__main__":
    main()
