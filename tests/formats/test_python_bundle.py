from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tsavo.formats.bundle_modules import BundleModules
from tsavo.formats.python_bundle import open_model, read_manifest
from tsavo.vocabulary import Field, Hints, Invalid, Unreadable

FIELDS = (Field("a", "float64"), Field("b", "float64"))
COLUMNS = {"a": np.array([1.0, 2.0]), "b": np.array([10.0, 20.0])}


@pytest.fixture(autouse=True)
def clean_modules() -> Iterator[None]:
    """Leave Python's table of modules and its path as they were."""
    path = list(sys.path)
    yield
    BundleModules(Path("/nowhere")).enter()
    sys.path[:] = path


def bundle(folder: Path, files: dict[str, str], entry: str = "model:predict") -> Path:
    for name, text in {"tsavo-python.json": f'{{"entry": "{entry}"}}', **files}.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def answers(folder: Path, hints: Hints = Hints()) -> dict[str, Any]:
    outputs = open_model(folder, "python", hints).predict(FIELDS, COLUMNS)
    return {name: values.tolist() for name, values in outputs.items()}


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        ("def predict(table):\n    return table['a'] + table['b']\n", "model:predict"),
        ("class M:\n    def predict(self, t):\n        return t['a'] + t['b']\n", "model:M"),
        ("class M:\n    def predict(self, t):\n        return t['a'] + t['b']\nm = M()\n", "model:m"),
        ("class M:\n    def predict(self, t):\n        return t['a'] + t['b']\nm = M()\n", "model:m.predict"),
        ("class M:\n    def __call__(self, t):\n        return t['a'] + t['b']\nm = M()\n", "model:m"),
    ],
)
def test_functions_classes_and_objects(tmp_path: Path, text: str, entry: str) -> None:
    assert answers(bundle(tmp_path, {"model.py": text}, entry)) == {"value": [11.0, 22.0]}


def test_code_finds_its_own_modules_and_files(tmp_path: Path) -> None:
    files = {
        "churn/__init__.py": "",
        "churn/rules.py": "import pathlib\nfactor = float((pathlib.Path(__file__).parent / 'f.txt').read_text())\n",
        "churn/f.txt": "3",
        "churn/scoring.py": "def predict(t):\n    from churn import rules\n    return t['a'] * rules.factor\n",
    }
    assert answers(bundle(tmp_path, files, "churn.scoring:predict")) == {"value": [3.0, 6.0]}


def test_bundles_in_one_process_keep_their_modules_apart(tmp_path: Path) -> None:
    """Each has a model.py and a rules.py of its own, and imports one of them only when it is asked."""
    text = "def predict(t):\n    import rules\n    return t['a'] * rules.factor\n"
    opened = [
        open_model(
            bundle(tmp_path / str(factor), {"model.py": text, "rules.py": f"factor = {factor}\n"}),
            "python",
            Hints(),
        )
        for factor in (2, 3)
    ]
    for _ in range(2):
        for factor, original in zip((2, 3), opened, strict=True):
            assert original.predict(FIELDS, COLUMNS)["value"].tolist() == [factor, 2 * factor]


def test_odd_modules_of_libraries_are_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As PyTorch has them: something that is no module, or answers whatever it is asked for."""

    class Odd(ModuleType):
        def __getattr__(self, name: str) -> Any:
            return object()

    monkeypatch.setitem(sys.modules, "odd_library", Odd("odd_library"))
    monkeypatch.setitem(sys.modules, "odder_library", None)
    assert answers(bundle(tmp_path, {"model.py": "def predict(t):\n    return t['a']\n"}))
    BundleModules(tmp_path / "other").enter()
    assert "odd_library" in sys.modules
    assert "model" not in sys.modules


def test_requirements_come_from_the_manifest_or_the_files_beside_it(tmp_path: Path) -> None:
    folder = bundle(tmp_path, {"requirements.txt": "six==1.17.0 \\\n  --hash=sha256:00\n# no\n-r more.txt\n"})
    (folder / "more.txt").write_text("numpy>=2\n")
    assert read_manifest(folder).requirements == ("six==1.17.0", "numpy>=2")
    (folder / "pyproject.toml").write_text('[project]\ndependencies = ["attrs"]\n')
    assert read_manifest(folder).requirements == ("attrs",)
    (folder / "tsavo-python.json").write_text('{"entry": "a:b", "requirements": ["x"], "python": "3.12"}')
    told = read_manifest(folder)
    assert (told.requirements, told.python) == (("x",), "3.12")


def test_requirements_outside_the_bundle_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "secret.txt").write_text("hunter2\n")
    folder = bundle(tmp_path / "m", {"requirements.txt": "-r ../secret.txt\n"})
    with pytest.raises(Invalid) as caught:
        read_manifest(folder)
    assert "hunter2" not in str(caught.value)
    (folder / "requirements.txt").write_text("-r requirements.txt\n")
    with pytest.raises(Unreadable):
        read_manifest(folder)


@pytest.mark.parametrize(
    ("manifest", "error"),
    [
        ("", Unreadable),
        ("[]", Unreadable),
        ('{"entry": "a:b", "more": 1}', Unreadable),
        ('{"entry": "a"}', Invalid),
        ('{"entry": "os.path:../x"}', Invalid),
        ('{"entry": "a:b()"}', Invalid),
    ],
)
def test_manifests_that_say_nothing(tmp_path: Path, manifest: str, error: type[Exception]) -> None:
    (tmp_path / "tsavo-python.json").write_text(manifest)
    with pytest.raises(error):
        read_manifest(tmp_path)


def test_reading_the_manifest_runs_no_code(tmp_path: Path) -> None:
    folder = bundle(tmp_path, {"model.py": f"open({str(tmp_path / 'ran')!r}, 'w')\ndef predict(t): ...\n"})
    read_manifest(folder)
    assert not (tmp_path / "ran").exists()


def test_entries_that_are_not_there_or_cannot_predict(tmp_path: Path) -> None:
    files = {"model.py": "other = 1\n"}
    with pytest.raises(Invalid, match="not there") as caught:
        open_model(bundle(tmp_path / "1", files), "python", Hints())
    assert "other" in str(caught.value)
    with pytest.raises(Invalid, match="no model"):
        open_model(bundle(tmp_path / "2", files, "model:other"), "python", Hints())
