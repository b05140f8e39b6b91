"""Run by test_mlflow_function.py in a process of its own: ``python mlflow_functions.py FOLDER``; writes found.json.

Each model says what it was given, and MLflow's own check of the signature stands between it and us.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

warnings.simplefilter("ignore")

import mlflow  # noqa: E402
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
from mlflow.models import ModelSignature  # noqa: E402
from mlflow.types import ColSpec, Schema, TensorSpec  # noqa: E402

from tsavo.formats.python_bundle import open_model  # noqa: E402
from tsavo.vocabulary import Hints  # noqa: E402

ROOT = Path(sys.argv[1])


class Types(mlflow.pyfunc.PythonModel):  # type: ignore[misc,name-defined]
    """Answers with the types of what it was given."""

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        """One column of text."""
        if isinstance(model_input, dict):
            said = json.dumps({name: [str(one.dtype), list(one.shape)] for name, one in model_input.items()})
            rows = len(next(iter(model_input.values())))
        elif isinstance(model_input, np.ndarray):
            said, rows = json.dumps([str(model_input.dtype), list(model_input.shape)]), len(model_input)
        else:
            said = json.dumps({name: str(model_input[name].dtype) for name in model_input})
            rows = len(model_input)
        return pd.Series([said] * rows)


class Own(mlflow.pyfunc.PythonModel):  # type: ignore[misc,name-defined]
    """Uses a module that came with it."""

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        """A probability."""
        import own_rules  # type: ignore[import-not-found]

        return np.full(len(model_input), own_rules.share)


def saved(name: str, model: Any, signature: Any, **more: Any) -> Path:
    mlflow.pyfunc.save_model(
        ROOT / name, python_model=model, signature=signature, pip_requirements=["mlflow"], **more
    )
    return ROOT / name


def given(folder: Path, columns: dict[str, Any]) -> Any:
    original = open_model(folder, "python", Hints())
    assert original.declared is not None
    return json.loads(original.predict(original.declared, columns)["label"][0])


def main() -> dict[str, Any]:
    found: dict[str, Any] = {}
    kinds = ["boolean", "integer", "long", "float", "double", "string", "datetime"]
    required = ModelSignature(Schema([ColSpec(kind, kind) for kind in kinds]))
    columns = {
        "boolean": np.array([True, False]),
        "integer": np.array([1, 2]),
        "long": np.array([1, 2**40]),
        "float": np.array([0.5, 1.5]),
        "double": np.array([0.1, np.nan]),
        "string": np.array(["a", "b"], dtype=object),
        "datetime": np.array(["2026-11-21", "2026-11-21T08:30:00"], dtype=object),
    }
    found["required"] = given(saved("required", Types(), required), columns)
    optional = ModelSignature(Schema([ColSpec(kind, kind, required=False) for kind in kinds]))
    floats = {name: columns[name].astype(np.float64) for name in ("boolean", "integer")}
    long = {"long": np.array([1.0, 2.0])}
    holes = {"string": np.array(["a", None], dtype=object)}
    found["optional"] = given(saved("optional", Types(), optional), {**columns, **floats, **long, **holes})
    one = ModelSignature(Schema([TensorSpec(np.dtype(np.float32), (-1, 2))]))
    numbers = np.array([1.0, 2.0, 3.0])
    found["tensor"] = given(saved("tensor", Types(), one), {"x0": numbers, "x1": numbers})
    two = Schema(
        [TensorSpec(np.dtype(np.int64), (-1,), "age"), TensorSpec(np.dtype(np.float64), (-1, 2), "p")]
    )
    named = {"age": np.array([1, 2]), "p0": numbers[:2], "p1": numbers[:2]}
    found["tensors"] = given(saved("tensors", Types(), ModelSignature(two)), named)
    originals = []
    for share in (0.25, 0.75):
        code = ROOT / str(share)
        code.mkdir()
        (code / "own_rules.py").write_text(f"share = {share}\n")
        sys.path.insert(0, str(code))
        double = ModelSignature(Schema([ColSpec("double", "x")]))
        folder = saved(f"own-{share}", Own(), double, code_paths=[str(code / "own_rules.py")])
        sys.path.remove(str(code))
        sys.modules.pop("own_rules", None)
        originals.append(open_model(folder, "python", Hints(classes=("no", "yes"))))
    answers = []
    for original in (*originals, *originals):
        assert original.declared is not None
        outputs = original.predict(original.declared, {"x": numbers[:1]})
        answers.append([outputs["label"][0], outputs["probabilities"][0, 1]])
    found["own"] = answers
    found["framework"] = [originals[0].framework, mlflow.__version__]
    return found


if __name__ == "__main__":
    # What MLflow prints meanwhile is not the answer.
    (ROOT / "found.json").write_text(json.dumps(main()))
