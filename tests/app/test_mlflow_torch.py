"""A PyTorch module that the real mlflow package saved answers here as MLflow does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import tsavo
from tests.app.conftest import Running
from tsavo.vocabulary import Untrusted

PROGRAM = Path(__file__).with_name("mlflow_torch.py")
pytest.importorskip("torch", reason="PyTorch is no requirement of Tsavo: install it to test its models")
pytest.importorskip("mlflow", reason="needs the extra 'mlflow'")


@pytest.mark.timeout(300)
def test_a_module_answers_as_mlflow_does(running: Running, tmp_path: Path) -> None:
    kept = {"MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db"}
    subprocess.run(
        [sys.executable, PROGRAM, tmp_path], check=True, timeout=240, cwd=tmp_path, env={**os.environ, **kept}
    )
    told = json.loads((tmp_path / "answers.json").read_text())
    with tsavo.connect(running.console) as client:
        with pytest.raises(Untrusted):
            client.register(tmp_path / "torch", name="mlflow-torch")
        registered = client.register(tmp_path / "torch", name="mlflow-torch", trust=True)
        version = registered.version
        assert (version.lineage.source_format, version.runtime) == ("mlflow", "onnx")
        assert version.environment is None
        names = [field.name for field in version.signature.inputs]
        rows = pd.DataFrame(told["rows"], columns=names)
        scores = client.deploy(registered).score(rows)
    (answers,) = scores.outputs.values()
    np.testing.assert_allclose(answers, told["answers"], rtol=1e-5, atol=1e-6)
