"""Small models on small data, fitted by the tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder


def strangers_table(rows: int, seed: int = 0) -> tuple[pd.DataFrame, Any]:
    """Strings, integers, floats and missing values, with a target that depends on all of them."""
    random = np.random.default_rng(seed)
    table = pd.DataFrame(
        {
            "age": random.integers(18, 90, rows),
            "income": np.where(random.random(rows) < 0.1, np.nan, random.lognormal(10, 1, rows)),
            "city": random.choice(np.array(["nairobi", "mombasa", "voi", None], dtype=object), rows),
            "balance": random.normal(0, 1000, rows),
            "plan": random.choice(np.array(["basic", "plus", "pro"], dtype=object), rows),
        }
    )
    odds = (
        (table["age"] - 50) / 20
        + (table["plan"] == "pro")
        - (table["city"] == "voi")
        + table["balance"] / 2000
    )
    return table, (odds + random.normal(0, 0.5, rows) > 0).astype(int).to_numpy()


def strangers_pipeline(table: pd.DataFrame, target: Any, trees: int = 100) -> Any:
    """What a data scientist brings: imputers, one-hot encoding, gradient boosting."""
    strings = make_pipeline(SimpleImputer(strategy="most_frequent"), OneHotEncoder(handle_unknown="ignore"))
    columns = ColumnTransformer(
        [("numbers", SimpleImputer(), ["age", "income", "balance"]), ("strings", strings, ["city", "plan"])]
    )
    return make_pipeline(columns, GradientBoostingClassifier(n_estimators=trees, random_state=0)).fit(
        table, target
    )


def save_small_model(folder: Path, seed: int = 0) -> tuple[Path, Path]:
    """A logistic regression on three floats: its file and its reference table."""
    random = np.random.default_rng(seed)
    table = pd.DataFrame(random.normal(size=(500, 3)), columns=["a", "b", "c"])
    table["target"] = (table["a"] + table["b"] + random.normal(size=500) > 0).astype(int)
    model = LogisticRegression().fit(table[["a", "b", "c"]], table["target"])
    joblib.dump(model, folder / "model.joblib")
    table.to_parquet(folder / "reference.parquet")
    return folder / "model.joblib", folder / "reference.parquet"
