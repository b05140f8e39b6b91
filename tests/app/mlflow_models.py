"""Run by tests/app/test_mlflow.py in an environment that has MLflow: ``python mlflow_models.py FOLDER [TRACKING_URI]``.

Saves one model of each kind with MLflow's default settings, and beside it what MLflow itself answers. With a tracking
URI it logs and registers one model instead.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

warnings.simplefilter("ignore")

import lightgbm  # noqa: E402
import mlflow  # noqa: E402
import pandas as pd  # noqa: E402
import xgboost  # noqa: E402
from mlflow.models import infer_signature  # noqa: E402
from sklearn.datasets import load_breast_cancer, load_diabetes  # noqa: E402
from sklearn.linear_model import LogisticRegression, Ridge  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import StandardScaler  # noqa: E402

COLUMNS = ["mean radius", "mean texture", "mean area", "worst radius"]


class Ratio(mlflow.pyfunc.PythonModel):  # type: ignore[misc,name-defined]
    """Code of somebody's own: reads an artifact, uses a package of its own, answers with a table."""

    def load_context(self, context: Any) -> None:
        """Read the artifact."""
        self.factor = float(Path(context.artifacts["factor"]).read_text())

    def predict(self, context: Any, model_input: pd.DataFrame, params: Any = None) -> pd.DataFrame:
        """Two columns."""
        import six  # type: ignore[import-untyped]

        ratio = model_input["mean area"] / model_input["mean radius"] * self.factor
        names = [six.ensure_str(b"large" if large else b"small") for large in ratio > 100]
        return pd.DataFrame({"ratio": ratio, "size": names})


def classification() -> tuple[pd.DataFrame, Any]:
    table, target = load_breast_cancer(return_X_y=True, as_frame=True)
    return table[COLUMNS], target


def fitted() -> Any:
    table, target = classification()
    return make_pipeline(StandardScaler(), LogisticRegression()).fit(table, target)


def save_all(folder: Path) -> None:
    table, target = classification()
    numbers, values = load_diabetes(return_X_y=True, as_frame=True)
    (folder / "factor.txt").write_text("1.5")

    def signed(model: Any, rows: pd.DataFrame) -> dict[str, Any]:
        return {"signature": infer_signature(rows, model.predict(rows)), "input_example": rows.head(3)}

    logistic, ridge = fitted(), Ridge().fit(numbers, values)
    xgb = xgboost.XGBClassifier(n_estimators=10, max_depth=3).fit(table, target)
    booster = xgboost.train({"max_depth": 3}, xgboost.DMatrix(numbers, values), 10)
    lgbm = lightgbm.LGBMClassifier(n_estimators=10, verbose=-1).fit(table, target)
    lgbm_booster = lightgbm.LGBMRegressor(n_estimators=10, verbose=-1).fit(numbers, values).booster_
    mlflow.sklearn.save_model(logistic, folder / "sklearn", **signed(logistic, table))
    # No signature, no example; and requirements, for MLflow takes seconds to find them out.
    named = {"pip_requirements": ["mlflow", "numpy"]}
    mlflow.sklearn.save_model(ridge, folder / "sklearn-bare", **named)
    mlflow.xgboost.save_model(xgb, folder / "xgboost", **signed(xgb, table))
    mlflow.xgboost.save_model(booster, folder / "xgboost-booster", **named)
    mlflow.lightgbm.save_model(lgbm, folder / "lightgbm", **signed(lgbm, table))
    mlflow.lightgbm.save_model(lgbm_booster, folder / "lightgbm-booster", **named)
    mlflow.pyfunc.save_model(
        folder / "function",
        python_model=Ratio(),
        artifacts={"factor": str(folder / "factor.txt")},
        extra_pip_requirements=["six==1.17.0"],
        input_example=table.head(3),
    )
    rows = {"table": table[::7], "numbers": numbers[::7]}
    for name, frame in rows.items():
        frame.to_parquet(folder / f"{name}.parquet")
    answers = {}
    for model in sorted(path.parent.name for path in folder.glob("*/MLmodel")):
        bare = model in {"sklearn-bare", "xgboost-booster", "lightgbm-booster"}
        given = rows["numbers" if bare else "table"]
        told = mlflow.pyfunc.load_model(str(folder / model)).predict(given)
        named = told.to_dict("list") if isinstance(told, pd.DataFrame) else {"": pd.Series(told).tolist()}
        answers[model] = {"rows": "numbers" if bare else "table", "answers": named}
    (folder / "answers.json").write_text(json.dumps(answers))


def log_one(folder: Path, tracking_uri: str) -> None:
    table, _ = classification()
    mlflow.set_tracking_uri(tracking_uri)
    with mlflow.start_run() as run:
        logged = mlflow.sklearn.log_model(
            fitted(),
            name="tumour",
            registered_model_name="tumour",
            signature=infer_signature(table, fitted().predict(table)),
            pip_requirements=["mlflow", "scikit-learn"],
        )
    model = mlflow.pyfunc.load_model("models:/tumour/1")
    told = {
        "run": run.info.run_id,
        "uri": logged.model_uri,
        "answers": model.predict(table[::7]).tolist(),
    }
    table[::7].to_parquet(folder / "logged.parquet")
    (folder / "logged.json").write_text(json.dumps(told))


if __name__ == "__main__":
    if len(sys.argv) == 2:
        save_all(Path(sys.argv[1]))
    else:
        log_one(Path(sys.argv[1]), sys.argv[2])
