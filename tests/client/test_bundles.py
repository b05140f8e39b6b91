from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tsavo.client import bundles
from tsavo.client.bundles import (
    Bundle,
    is_entry,
    is_mlflow_uri,
    pack,
    pack_entry,
    pack_folder,
)
from tsavo.vocabulary import Invalid, NotFound, TooLarge, Unreadable


def names(bundle: Bundle) -> list[str]:
    return zipfile.ZipFile(io.BytesIO(bundle.content)).namelist()


def manifest(bundle: Bundle) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(zipfile.ZipFile(io.BytesIO(bundle.content)).read("tsavo-python.json"))
    return told


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def test_the_same_files_make_the_same_bytes(tmp_path: Path) -> None:
    one = write(tmp_path / "one", {"MLmodel": "flavors: {}\n", "b/c.txt": "c", "a.txt": "a"})
    # Made in another order, at another time, with other rights.
    two = write(tmp_path / "two", {"a.txt": "a", "b/c.txt": "c", "MLmodel": "flavors: {}\n"})
    (two / "a.txt").chmod(0o755)
    assert pack_folder(one).content == pack_folder(two).content
    assert names(pack_folder(one)) == ["MLmodel", "a.txt", "b/c.txt"]
    # MLflow's own note of how it was fetched is no part of the model.
    (two / "registered_model_meta").write_text("model_name: x\n")
    assert pack_folder(one).content == pack_folder(two).content
    (two / "a.txt").write_text("b")
    assert pack_folder(one).content != pack_folder(two).content


def test_a_folder_is_called_by_its_own_name(tmp_path: Path) -> None:
    write(tmp_path / "churn", {"MLmodel": "flavors: {}\n"})
    assert pack_folder(tmp_path / "churn").name == "churn"


def test_the_entry_of_a_folder_comes_from_its_project_file(tmp_path: Path) -> None:
    text = '[tool.tsavo]\nentry = "scoring:predict"\nexclude = ["data/*"]\n'
    write(tmp_path, {"pyproject.toml": text, "scoring.py": "", "data/rows.csv": "1", "notes/data/x": ""})
    bundle = pack_folder(tmp_path)
    assert manifest(bundle) == {"entry": "scoring:predict"}
    assert names(bundle) == ["tsavo-python.json", "notes/data/x", "pyproject.toml", "scoring.py"]


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        ("def predict(table):\n    return table\n", "model:predict"),
        ("class Model:\n    def predict(self, table): ...\n", "model:Model"),
        ("model = object()\n", "model:model"),
        ("class Model: ...\n\ndef predict(table): ...\n", "model:predict"),
    ],
)
def test_without_one_it_is_what_model_py_defines(tmp_path: Path, text: str, entry: str) -> None:
    assert manifest(pack_folder(write(tmp_path, {"model.py": text})))["entry"] == entry


def test_a_folder_without_an_entry_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="does not say what to call"):
        pack_folder(write(tmp_path, {"model.py": "x = 1\n"}))
    with pytest.raises(Invalid, match="unknown keys"):
        pack_folder(write(tmp_path, {"pyproject.toml": '[tool.tsavo]\nentri = "a:b"\n'}))
    with pytest.raises(Invalid, match="not an entry"):
        pack_folder(write(tmp_path, {"pyproject.toml": '[tool.tsavo]\nentry = "a"\n'}))
    with pytest.raises(Unreadable):
        pack_folder(write(tmp_path, {"pyproject.toml": "["}))


def test_what_is_never_meant_stays_behind(tmp_path: Path) -> None:
    left = {
        ".git/config": "",
        ".env": "TOKEN=1",
        "__pycache__/model.cpython-311.pyc": "",
        "my-venv/pyvenv.cfg": "",
        "my-venv/lib/x.py": "",
        "sub/.hidden/x": "",
    }
    write(tmp_path, {**left, "model.py": "def predict(t): ...\n", "sub/kept.txt": ""})
    assert names(pack_folder(tmp_path)) == ["tsavo-python.json", "model.py", "sub/kept.txt"]


def test_links_are_refused_by_name(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s")
    folder = write(tmp_path / "m", {"model.py": "def predict(t): ...\n"})
    (folder / "weights").symlink_to(secret)
    (folder / "all").symlink_to(tmp_path)
    with pytest.raises(Invalid) as caught:
        pack_folder(folder)
    assert caught.value.found == ["all", "weights"]


def test_large_files_beside_code_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundles, "MAX_CODE_FILE", 10)
    write(tmp_path, {"model.py": "predict=1", "rows.csv": "x" * 11})
    with pytest.raises(TooLarge, match=r"rows\.csv") as caught:
        pack_folder(tmp_path)
    assert "exclude" in str(caught.value)
    # Weights are what an MLflow folder is made of.
    assert pack_folder(write(tmp_path, {"MLmodel": ""}))


def test_a_bundle_has_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundles, "MAX_BYTES", 10)
    with pytest.raises(TooLarge):
        pack({"a": b"123456", "b": b"123456"}, "a")
    monkeypatch.setattr(bundles, "MAX_FILES", 1)
    with pytest.raises(TooLarge, match="2 files"):
        pack({"a": b"", "b": b""}, "a")


def test_an_entry_brings_what_it_imports_and_no_more(tmp_path: Path) -> None:
    # The module would say so if anybody imported it.
    loud = f"import pathlib; pathlib.Path({str(tmp_path / 'ran')!r}).touch()\n"
    write(
        tmp_path,
        {
            "scoring.py": loud + "import numpy\nfrom shared.rules import limit\n",
            "shared/__init__.py": "",
            "shared/rules.py": "def f():\n    import late\n",
            "shared/table.csv": "1",
            "late.py": "",
            "other.py": "",
            "requirements.txt": "numpy\n",
        },
    )
    bundle = pack_entry("scoring:predict", tmp_path)
    assert names(bundle) == [
        "tsavo-python.json",
        "late.py",
        "requirements.txt",
        "scoring.py",
        "shared/__init__.py",
        "shared/rules.py",
        "shared/table.csv",
    ]
    assert bundle.name == "scoring:predict"
    assert not (tmp_path / "ran").exists()


def test_an_entry_in_a_package_under_src(tmp_path: Path) -> None:
    files = {"src/churn/__init__.py": "", "src/churn/scoring.py": "", "pyproject.toml": "[project]\n"}
    bundle = pack_entry("churn.scoring:Model.predict", write(tmp_path, files))
    assert names(bundle) == [
        "tsavo-python.json",
        "churn/__init__.py",
        "churn/scoring.py",
        "pyproject.toml",
    ]


def test_entries_that_lead_nowhere(tmp_path: Path) -> None:
    write(tmp_path, {"broken.py": "def", "pkg/a.py": ""})
    for entry in ("no_such_module_of_anybody:f", "pkg.b:f"):
        with pytest.raises(NotFound):
            pack_entry(entry, tmp_path)
    with pytest.raises(Unreadable, match=r"broken\.py"):
        pack_entry("broken:f", tmp_path)


def test_what_is_an_entry_and_what_is_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert is_entry("a.b:c")
    for other in ("a", "a:", "models:/a/1", "c:\\models", "https://x:80", "a b:c", "model.onnx"):
        assert not is_entry(other)
    (tmp_path / "a:b").touch()
    assert not is_entry("a:b")
    assert [is_mlflow_uri(uri) for uri in ("runs:/1/m", "mlflow-artifacts:/x", "models/x")] == [
        True,
        True,
        False,
    ]


def test_without_mlflow_the_mend_is_named() -> None:
    """In a process of its own, where mlflow cannot be found."""
    program = (
        "import sys; sys.modules['mlflow'] = None\n"
        "from tsavo.client.bundles import fetch_mlflow\n"
        "from tsavo.vocabulary import Refused\n"
        "try:\n    fetch_mlflow('models:/a/1')\n"
        "except Refused as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "tsavo[mlflow]" in done.stdout
