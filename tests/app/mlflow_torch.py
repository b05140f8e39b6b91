"""Run by tests/app/test_mlflow_torch.py: ``python mlflow_torch.py FOLDER``.

Saves a PyTorch module with MLflow's default settings, and beside it what MLflow itself answers.
"""

from __future__ import annotations

import json
import sys
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

warnings.simplefilter("ignore")


def save(folder: Path) -> None:
    torch: Any = import_module("torch")
    mlflow: Any = import_module("mlflow")
    flavor: Any = import_module("mlflow.pytorch")
    torch.manual_seed(0)
    layers = [torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3), torch.nn.Softmax(1)]
    module = torch.nn.Sequential(*layers).eval()
    rows = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
    told = module(torch.from_numpy(rows)).detach().numpy()
    flavor.save_model(
        module,
        folder / "torch",
        signature=mlflow.models.infer_signature(rows, told),
        input_example=rows[:5],
        # What MLflow would find out by itself, in half a minute.
        pip_requirements=["mlflow", "torch"],
    )
    answers = mlflow.pyfunc.load_model(str(folder / "torch")).predict(rows)
    (folder / "answers.json").write_text(json.dumps({"rows": rows.tolist(), "answers": answers.tolist()}))


if __name__ == "__main__":
    save(Path(sys.argv[1]))
