from __future__ import annotations

import pickle
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import onnx
import pytest
from sklearn.linear_model import LogisticRegression

from tsavo.client.sources import code_commit, read_source
from tsavo.vocabulary import Invalid, NotFound, Untrusted

FITTED = LogisticRegression().fit([[0.0], [1.0]], [0, 1])


def iter_nothing() -> Iterator[int]:
    """A generator: no library can write one to a file."""
    yield from ()


def content_of(source: Any, *, trust: bool = False) -> bytes:
    content = read_source(source, trust=trust).content
    assert isinstance(content, bytes)
    return content


def test_a_path_is_that_file(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"x")
    for given in (tmp_path / "model.onnx", str(tmp_path / "model.onnx")):
        found = read_source(given, trust=False)
        assert (found.name, found.content) == ("model.onnx", tmp_path / "model.onnx")


def test_paths_that_lead_nowhere(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        read_source(tmp_path / "nowhere", trust=False)
    with pytest.raises(Invalid, match="folder"):
        read_source(tmp_path, trust=False)


def test_a_live_estimator_is_written_without_code() -> None:
    with zipfile.ZipFile(BytesIO(content_of(FITTED))) as archive:
        assert "schema.json" in archive.namelist()


def test_a_live_estimator_is_pickled_only_when_somebody_vouches_for_it() -> None:
    again = pickle.loads(content_of(FITTED, trust=True))
    assert again.predict([[0.0], [1.0]]).tolist() == [0, 1]


def test_an_onnx_model_is_its_own_file() -> None:
    graph = onnx.helper.make_graph([], "g", [], [])
    model = onnx.helper.make_model(graph)
    assert read_source(model, trust=False).name.endswith(".onnx")
    assert onnx.load_model_from_string(content_of(model)) == model


def test_what_skops_cannot_write_needs_trust() -> None:
    model = LogisticRegression()
    model.lookup = iter_nothing()
    with pytest.raises(Untrusted) as caught:
        read_source(model, trust=False)
    assert "trust=True" in str(caught.value)


def test_what_nothing_can_write_is_invalid() -> None:
    model = LogisticRegression()
    model.lookup = iter_nothing()
    with pytest.raises(Invalid):
        read_source(model, trust=True)


def test_without_skops_trust_is_asked_for(tmp_path: Path) -> None:
    """In a process of its own, where skops cannot be found."""
    program = (
        "import sys; sys.modules['skops'] = None\n"
        "from tsavo.client.sources import read_source\n"
        "from tsavo.vocabulary import Untrusted\n"
        "try:\n    read_source(object(), trust=False)\n"
        "except Untrusted as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "tsavo[sklearn]" in done.stdout
    assert "trust=True" in done.stdout


def git(folder: Path, *words: str) -> str:
    who = ["-c", "user.name=ada", "-c", "user.email=ada@example.org"]
    done = subprocess.run(["git", *who, *words], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_commit_of_the_working_folder(tmp_path: Path) -> None:
    assert code_commit(tmp_path) is None
    git(tmp_path, "init", "--quiet")
    assert code_commit(tmp_path) is None
    (tmp_path / "train.py").write_text("1")
    git(tmp_path, "add", "train.py")
    git(tmp_path, "commit", "--quiet", "--message", "one")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert code_commit(tmp_path) == commit
    (tmp_path / "model.joblib").write_text("made by the code")
    assert code_commit(tmp_path) == commit
    (tmp_path / "train.py").write_text("2")
    assert code_commit(tmp_path) == f"{commit}-dirty"


def test_without_git_there_is_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert code_commit() is None
