"""A running Tsavo with one endpoint, and the command line as a function."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.app.conftest import Running, running_on
from tests.app.models import save_small_model
from tsavo.cli import main


class Said(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str


class CommandLine:
    """Runs commands in this process; every refusal must be one plain line."""

    def __init__(self, captured: pytest.CaptureFixture[str], options: Sequence[str] = ()) -> None:
        self._captured = captured
        self._options = options

    def __call__(self, *words: str) -> Said:
        self._captured.readouterr()
        code = main([*words, *self._options])
        out, err = self._captured.readouterr()
        assert "Traceback" not in out + err
        return Said(code, out, err)

    def done(self, *words: str) -> str:
        """What a command prints that succeeds and complains about nothing."""
        said = self(*words)
        assert (said.code, said.err) == (0, ""), said
        return said.out

    def json(self, *words: str) -> Any:
        """The one document that ``--json`` prints."""
        out = self.done(*words, "--json")
        assert out.count("\n") == 1
        return json.loads(out)

    def refused(self, *words: str) -> str:
        """The one line that a refused command says, on standard error only."""
        said = self(*words)
        assert (said.code, said.out) == (1, ""), said
        return self._one_line(said)

    def wrong(self, *words: str) -> str:
        """The one line that a command says that was called wrongly."""
        said = self(*words)
        assert (said.code, said.out) == (2, ""), said
        return self._one_line(said)

    def _one_line(self, said: Said) -> str:
        assert said.err.startswith("tsavo: ")
        assert said.err.count("\n") == 1, said.err
        return said.err


@pytest.fixture(autouse=True)
def no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TSAVO_HOME", "TSAVO_URL", "TSAVO_USER", "TSAVO_TRACE"):
        monkeypatch.delenv(name, raising=False)


class Scene(NamedTuple):
    """A running Tsavo, and a model file with its reference: columns a, b, c and target."""

    running: Running
    model: Path
    reference: Path


@pytest.fixture(scope="session")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("cli")
    model, reference = save_small_model(folder)
    with running_on(folder / "home") as running:
        words = ["--name", "small", "--reference", str(reference), "--target", "target", "--trust"]
        running.tsavo("deploy", str(model), *words, "--constant", '{"label": 0, "probabilities": [1, 0]}')
        yield Scene(running, model, reference)


@pytest.fixture
def anywhere(capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """The command line, with no home named."""
    return CommandLine(capsys)


@pytest.fixture
def tsavo(scene: Scene, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """The command line on the running home."""
    return CommandLine(capsys, ["--home", str(scene.running.home)])


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Three rows for the endpoint, as CSV."""
    path = tmp_path / "rows.csv"
    path.write_text("a,b,c\n1.5,0,-1\n-2,0.25,3\n0,0,0\n")
    return path
