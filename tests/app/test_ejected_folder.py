"""An ejected version where Tsavo is not installed answers as the gateway does."""

from __future__ import annotations

import csv
import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import skops.io

import tsavo
from tests.app.conftest import Running
from tests.app.models import strangers_pipeline, strangers_table
from tests.environments import fresh_environment, mlflow_environment

MLFLOW_PROGRAM = """
import json, sys
import mlflow.pyfunc, pandas
model = mlflow.pyfunc.load_model(sys.argv[1])
frame = pandas.read_parquet(sys.argv[2])
answers = model.predict(frame)
assert list(answers.columns) == [column.name for column in model.metadata.signature.outputs]
model.predict(model.input_example)
print(json.dumps(answers.to_dict("list")))
"""


class Scene(NamedTuple):
    """Folders of an ejected version by runtime, the rows that were scored, and what the gateway said to them."""

    folders: Mapping[str, Path]
    rows: Path
    answers: Mapping[str, Mapping[str, list[Any]]]


@pytest.fixture(scope="module")
def scene(running: Running, tmp_path_factory: pytest.TempPathFactory) -> Scene:
    folder = tmp_path_factory.mktemp("ejected")
    table, target = strangers_table(400)
    model = strangers_pipeline(table, target, trees=10)
    skops.io.dump(model, folder / "model.skops")
    table.assign(late=target).to_parquet(folder / "reference.parquet")
    rows, _ = strangers_table(50, seed=1)
    rows.to_parquet(folder / "rows.parquet")
    rows.to_csv(folder / "rows.csv", index=False)
    folders: dict[str, Path] = {}
    answers: dict[str, dict[str, list[Any]]] = {}
    with tsavo.connect(running.console) as client:
        for runtime in ("onnx", "python"):
            registered = client.register(
                folder / "model.skops",
                name=f"late-{runtime}",
                reference=folder / "reference.parquet",
                target="late",
                runtime=runtime,
            )
            assert registered.version.runtime == runtime
            scores = client.deploy(registered).score(rows)
            answers[runtime] = {
                "label": scores.outputs["label"].tolist(),
                "probabilities": scores.outputs["probabilities"].tolist(),
            }
            folders[runtime] = client.eject(registered.version.ref, folder / runtime)
            again = client.eject(registered.version.ref, folder / f"{runtime}-again")
            assert contents(again) == contents(folders[runtime])
    return Scene(folders, folder / "rows", answers)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def run(python: Path, *words: str | Path, cwd: Path) -> str:
    """What a program says that ends well, in an environment with nothing of ours."""
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(cwd), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [python, *map(str, words)], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("runtime", ["onnx", "python"])
def test_the_folder_answers_as_the_gateway_did_without_tsavo(
    scene: Scene, tmp_path: Path, runtime: str
) -> None:
    folder = scene.folders[runtime]
    python = fresh_environment(tmp_path / "fresh", "-r", str(folder / "requirements.txt"))
    run(
        python,
        "-c",
        "import importlib.util as look; assert not look.find_spec('tsavo') and not look.find_spec('mlflow')",
        cwd=tmp_path,
    )
    said = run(python, folder / "check.py", cwd=tmp_path).splitlines()
    assert said[0] == "same: answers as stored at registration"
    assert said[1].startswith(("same", "within tolerance"))
    run(python, folder / "predict.py", scene.rows.with_suffix(".csv"), "-o", "answers.csv", cwd=tmp_path)
    with (tmp_path / "answers.csv").open() as file:
        lines = list(csv.DictReader(file))
    expected = scene.answers[runtime]
    assert [int(line["label"]) for line in lines] == expected["label"]
    found = [[float(line["probabilities.0"]), float(line["probabilities.1"])] for line in lines]
    np.testing.assert_allclose(found, expected["probabilities"], rtol=0, atol=1e-12)


def test_mlflow_loads_the_folder_and_answers_as_the_gateway_did(scene: Scene, tmp_path: Path) -> None:
    folder = scene.folders["onnx"]
    python = mlflow_environment(tmp_path / "mlflow", "-r", str(folder / "requirements.txt"))
    said = json.loads(
        run(python, "-c", MLFLOW_PROGRAM, folder, scene.rows.with_suffix(".parquet"), cwd=tmp_path)
    )
    expected = scene.answers["onnx"]
    assert said["label"] == expected["label"]
    found = np.stack([said["probabilities.0"], said["probabilities.1"]], axis=1)
    np.testing.assert_allclose(found, expected["probabilities"], rtol=0, atol=1e-12)


def test_a_changed_model_is_noticed(scene: Scene, tmp_path: Path) -> None:
    folder = tmp_path / "changed"
    for name, content in contents(scene.folders["onnx"]).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    golden = json.loads((folder / "golden.json").read_text())
    golden["prediction"]["probabilities.0"][7] += 0.01
    (folder / "golden.json").write_text(json.dumps(golden))
    python = fresh_environment(tmp_path / "fresh", "-r", str(folder / "requirements.txt"))
    done = subprocess.run([python, folder / "check.py"], capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    assert done.stdout.startswith("different: answers as stored at registration (1 of ")
    assert "row 7:" in done.stdout
