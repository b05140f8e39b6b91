"""Cases of PMML files that another program wrote, with the answers that scikit-learn gave when it did."""

from __future__ import annotations

from pathlib import Path
from shutil import copyfile
from typing import Any

import numpy as np
import pandas as pd

from tests.matrix.case import Answers, Case
from tests.matrix.data import PMML, Rows

__all__ = ["CASES"]


def _case(model: str, name: str, *, value: bool = False) -> Case:
    def answers(_: Any, inputs: Any) -> Answers:
        told = pd.read_csv(PMML / f"{name}.csv").loc[inputs.index]
        if value:
            return {"value": told["expected.value"].to_numpy()}
        shares = told.filter(like="expected.").drop(columns="expected.label")
        return {"label": told["expected.label"].to_numpy(), "probabilities": shares.to_numpy(float)}

    def make(_: Rows) -> Any:
        return np.nan

    def save(_: Any, folder: Path) -> Path:
        return Path(copyfile(PMML / f"{name}.pmml", folder / "model.pmml"))

    return Case("PMML", f"{model} by JPMML (file)", f"pmml, {name}", make, answers, save=save, runtime="onnx")


CASES = (
    _case("RegressionModel, normalization logit", "logistic"),
    _case("RegressionModel with replaced gaps and categories", "linear", value=True),
    _case("TreeModel of three classes", "tree"),
    _case("MiningModel, chain of boosted trees", "boosting"),
)
