"""Cases of XGBoost, LightGBM and CatBoost: live wrappers, their own files, and as the last step of a pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import catboost
import lightgbm
import numpy as np
import xgboost

from tests.matrix.case import Answers, Case, as_joblib, classes, value
from tests.matrix.data import Rows
from tests.matrix.making import FEW, MIXED, fitted, mixed

__all__ = ["CASES"]

XGB: dict[str, Any] = {"n_estimators": 15, "max_depth": 4, "n_jobs": 1}
LGB: dict[str, Any] = {**FEW, "n_jobs": 1, "verbose": -1, "min_child_samples": 5}
CAT: dict[str, Any] = {"iterations": 15, "verbose": 0, "thread_count": 1, "allow_writing_files": False}
TEXT = "flights, text and numbers"
FLAGS = "flights, whole numbers and booleans"
GAPS = "breast cancer, gaps"
PIPELINE: dict[str, Any] = {"save": as_joblib, "trust": True, "runtime": "onnx"}


def of_xgboost(model: str, data: str, make: Any, ask: Any = classes, **more: Any) -> Case:
    return Case("XGBoost", model, data, fitted(make), ask, **more)


def of_lightgbm(model: str, data: str, make: Any, ask: Any = classes, **more: Any) -> Case:
    return Case("LightGBM", model, data, fitted(make), ask, **more)


def of_catboost(model: str, data: str, make: Any, ask: Any = classes, **more: Any) -> Case:
    return Case("CatBoost", model, data, fitted(make), ask, **more)


def xgboost_file(suffix: str) -> Any:
    def save(booster: Any, folder: Path) -> Path:
        path = folder / f"model.{suffix}"
        booster.save_model(path)
        return path

    return save


def lightgbm_file(booster: Any, folder: Path) -> Path:
    path = folder / "model.txt"
    booster.save_model(path)
    return path


def catboost_file(model: Any, folder: Path) -> Path:
    path = folder / "model.cbm"
    model.save_model(str(path))
    return path


def train_xgboost(objective: str) -> Any:
    def make(rows: Rows) -> Any:
        matrix = xgboost.DMatrix(rows.inputs, rows.target, nthread=1)
        return xgboost.train({"objective": objective, "max_depth": 3, "nthread": 1}, matrix, 12)

    return make


def train_lightgbm(objective: str) -> Any:
    def make(rows: Rows) -> Any:
        told = {"objective": objective, "verbose": -1, "num_threads": 1, "min_data_in_leaf": 5}
        return lightgbm.train(told, lightgbm.Dataset(rows.inputs, rows.target), 12)

    return make


def of_one(shares: Any) -> Answers:
    """A booster's probability of the second of two classes, with names for both."""
    return {"label": (shares > 0.5).astype(int), "probabilities": np.stack([1 - shares, shares], axis=1)}


def ask_xgboost(booster: Any, inputs: Any) -> Any:
    return booster.predict(xgboost.DMatrix(inputs, nthread=1))


CASES = (
    of_xgboost("XGBClassifier", "breast cancer", lambda: xgboost.XGBClassifier(**XGB)),
    of_xgboost("XGBClassifier", "breast cancer, array", lambda: xgboost.XGBClassifier(**XGB)),
    of_xgboost("XGBClassifier", GAPS, lambda: xgboost.XGBClassifier(**XGB)),
    of_xgboost("XGBClassifier", "iris", lambda: xgboost.XGBClassifier(**XGB)),
    of_xgboost("XGBClassifier", FLAGS, lambda: xgboost.XGBClassifier(**XGB)),
    of_xgboost("XGBRFClassifier", "wine", lambda: xgboost.XGBRFClassifier(**XGB)),
    of_xgboost("XGBRegressor", "diabetes", lambda: xgboost.XGBRegressor(**XGB), value),
    of_xgboost(
        "XGBRegressor (count:poisson)",
        "flights, air time",
        lambda: xgboost.XGBRegressor(objective="count:poisson", **XGB),
        value,
    ),
    of_xgboost("XGBClassifier in a pipeline", MIXED, lambda: mixed(xgboost.XGBClassifier(**XGB)), **PIPELINE),
    Case(
        "XGBoost",
        "Booster (JSON file)",
        "diabetes",
        train_xgboost("reg:squarederror"),
        lambda booster, inputs: {"value": ask_xgboost(booster, inputs)},
        save=xgboost_file("json"),
    ),
    Case(
        "XGBoost",
        "Booster, binary (UBJ file)",
        "breast cancer",
        train_xgboost("binary:logistic"),
        lambda booster, inputs: of_one(ask_xgboost(booster, inputs)),
        save=xgboost_file("ubj"),
    ),
    of_lightgbm("LGBMClassifier", "breast cancer", lambda: lightgbm.LGBMClassifier(**LGB)),
    of_lightgbm("LGBMClassifier", GAPS, lambda: lightgbm.LGBMClassifier(**LGB)),
    of_lightgbm("LGBMClassifier", "iris, classes as text", lambda: lightgbm.LGBMClassifier(**LGB)),
    of_lightgbm("LGBMClassifier", FLAGS, lambda: lightgbm.LGBMClassifier(**LGB)),
    of_lightgbm("LGBMRegressor", "diabetes", lambda: lightgbm.LGBMRegressor(**LGB), value, runtime="onnx"),
    of_lightgbm(
        "LGBMRegressor (tweedie)",
        "flights, air time",
        lambda: lightgbm.LGBMRegressor(objective="tweedie", **LGB),
        value,
    ),
    of_lightgbm(
        "LGBMClassifier in a pipeline", MIXED, lambda: mixed(lightgbm.LGBMClassifier(**LGB)), **PIPELINE
    ),
    Case(
        "LightGBM",
        "Booster (text file)",
        "diabetes, array",
        train_lightgbm("regression"),
        lambda booster, inputs: {"value": booster.predict(inputs)},
        save=lightgbm_file,
    ),
    Case(
        "LightGBM",
        "Booster, binary (text file)",
        "breast cancer",
        train_lightgbm("binary"),
        lambda booster, inputs: of_one(booster.predict(inputs)),
        save=lightgbm_file,
    ),
    of_catboost("CatBoostClassifier", "breast cancer", lambda: catboost.CatBoostClassifier(**CAT)),
    of_catboost("CatBoostClassifier", GAPS, lambda: catboost.CatBoostClassifier(**CAT)),
    of_catboost("CatBoostClassifier", "iris, classes as text", lambda: catboost.CatBoostClassifier(**CAT)),
    of_catboost(
        "CatBoostClassifier, categories",
        TEXT,
        lambda: catboost.CatBoostClassifier(cat_features=["carrier", "origin"], **CAT),
    ),
    of_catboost("CatBoostRegressor", "diabetes", lambda: catboost.CatBoostRegressor(**CAT), value),
    of_catboost(
        "CatBoostRegressor (cbm file)",
        "flights, air time",
        lambda: catboost.CatBoostRegressor(**CAT),
        value,
        save=catboost_file,
    ),
)
