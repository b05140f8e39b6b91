"""Cases of ONNX files, as other tools write them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from skl2onnx import to_onnx
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import LogisticRegression

from tests.matrix.case import Answers, Case
from tests.matrix.data import Rows

__all__ = ["CASES"]


def classifier(rows: Rows) -> Any:
    model = LogisticRegression(max_iter=500).fit(rows.inputs, rows.target)
    return to_onnx(model, rows.inputs[:1].astype(np.float32), target_opset=19)


def forest(rows: Rows) -> Any:
    model = RandomForestRegressor(10, random_state=0).fit(rows.inputs, rows.target)
    return to_onnx(model, rows.inputs[:1].astype(np.float32), target_opset=19)


def run(model: Any, inputs: Any) -> list[Any]:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    made: list[Any] = session.run(None, {session.get_inputs()[0].name: inputs.astype(np.float32)})
    return made


def ask_classifier(model: Any, inputs: Any) -> Answers:
    """skl2onnx gives probabilities as one dictionary a row."""
    label, shares = run(model, inputs)
    return {"label": label, "probabilities": np.array([list(row.values()) for row in shares])}


def ask_forest(model: Any, inputs: Any) -> Answers:
    return {"value": run(model, inputs)[0][:, 0]}


def saved(model: Any, folder: Path) -> Path:
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


CASES = (
    Case(
        "ONNX", "LogisticRegression by skl2onnx (file)", "iris, array", classifier, ask_classifier, save=saved
    ),
    Case("ONNX", "RandomForestRegressor by skl2onnx", "diabetes, array", forest, ask_forest),
)
