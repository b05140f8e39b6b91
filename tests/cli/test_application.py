from __future__ import annotations

import importlib
import inspect
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from cyclopts import App

from tests.cli.conftest import CommandLine, Scene
from tsavo.cli import application as index
from tsavo.cli.application import application, main
from tsavo.vocabulary import Disagreement

COMMANDS = {name: place for group in index._COMMANDS.values() for name, place in group.items()}


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_of_the_index_is_there_and_explains_itself(name: str, anywhere: CommandLine) -> None:
    module, what = COMMANDS[name]
    command = getattr(importlib.import_module(f"tsavo.cli.{module}"), name.replace("-", "_"))
    assert what.endswith(".")
    if isinstance(command, App):
        own = [word for word in command if not word.startswith("-")]
        assert own
        for word in own:
            assert f" {word} " in anywhere.done(name, "--help")
            explains_itself(anywhere, command[word].default_command, name, word)
    else:
        explains_itself(anywhere, command, name)


def explains_itself(anywhere: CommandLine, function: Any, *words: str) -> None:
    documented = inspect.getdoc(function)
    assert documented is not None
    text = anywhere.done(*words, "--help")
    described = documented.partition("Parameters\n---")[0]
    assert " ".join(described.split()) in " ".join(text.split())
    if words != ("demo",):
        assert "--json" in text
        assert "--home" in text
    # No flag has an opposite by accident.
    assert "--no-" not in text.replace("--no-warm", "").replace("--no-guard", "")


def test_help_is_the_index(anywhere: CommandLine) -> None:
    text = anywhere.done("--help")
    assert all(f" {name} " in text for name in COMMANDS)
    assert anywhere.done() == text


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys; from tsavo.cli import main; main(['--help']); "
        "print(sorted({'numpy', 'pyarrow', 'httpx', 'duckdb', 'tsavo.client', 'tsavo.app'} & set(sys.modules)))"
    )
    done = run("-c", program)
    assert done.stdout.splitlines()[-1] == "[]", done


def test_the_version(anywhere: CommandLine) -> None:
    from importlib.metadata import version

    assert anywhere.done("--version").strip() == version("tsavo")


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["bogus"], "bogus"),
        (["ls", "bananas"], "bananas"),
        (["ls", "--bogus"], "--bogus"),
        (["score", "small"], "TABLE"),
        (["score", "small", "--bogus"], "--bogus"),
        (["score", "small", "x.csv", "-o", "--json"], "--json"),
        (["register", "x.onnx"], "--name"),
        (["ack", "seven"], "seven"),
        (["sql", "select 1", "--limit", "many"], "many"),
        (["show"], "NAME"),
    ],
)
def test_wrong_usage_is_2_and_names_the_word(anywhere: CommandLine, words: list[str], named: str) -> None:
    assert named in anywhere.wrong(*words)


@pytest.mark.parametrize(
    "words",
    [
        ["ls"],
        ["show", "small"],
        ["diff", "small@1", "small@2"],
        ["register", "x.onnx", "--name", "m"],
        ["deploy", "small"],
        ["score", "small", "x.csv"],
        ["outcomes", "small", "x.csv"],
        ["alerts"],
        ["ack", "1"],
        ["resolve", "1"],
        ["plug", "small"],
        ["promote", "small"],
        ["rollback", "small"],
        ["monitors", "small"],
        ["findings", "small"],
    ],
)
def test_where_nothing_runs_every_command_says_so(
    anywhere: CommandLine, tmp_path: Path, words: list[str]
) -> None:
    said = anywhere.refused(*words, "--home", str(tmp_path / "nowhere"))
    assert "tsavo up --detach" in said
    assert str(tmp_path / "nowhere") in said


def test_a_url_that_nobody_answers_at(anywhere: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "http://127.0.0.1:9" in anywhere.refused("ls", "--url", "http://127.0.0.1:9")
    monkeypatch.setenv("TSAVO_URL", "http://127.0.0.1:9")
    assert "http://127.0.0.1:9" in anywhere.refused("ls")
    # A URL was asked: the home on this machine is no answer.
    assert "http://127.0.0.1:9" in anywhere.refused("sql", "select 1")
    assert "not a URL" in anywhere.refused("ls", "--url", "nonsense")


def test_an_unexpected_failure_is_one_line_too(
    anywhere: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> int:
        raise ZeroDivisionError("one\nand \x1b[31mtwo")

    monkeypatch.setattr("tsavo.cli.options.Options.connected", fail)
    said = anywhere.refused("ls")
    assert "ZeroDivisionError: one and" in said
    assert "\x1b" not in said
    monkeypatch.setenv("TSAVO_TRACE", "1")
    with pytest.raises(ZeroDivisionError):
        main(["ls"])


def test_a_disagreement_shows_the_rows(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> int:
        rows = [{"row": 12, "inputs": {"age": 3}, "original": {"label": 1}, "compiled": {"label": 0}}]
        raise Disagreement("they do not agree", details={"rows": rows})

    monkeypatch.setattr("tsavo.cli.options.Options.connected", refuse)
    assert main(["ls"]) == 1
    assert capsys.readouterr().err == (
        "tsavo: they do not agree\n  row 12: original: label=1, compiled: label=0, inputs: age=3\n"
    )


@pytest.mark.parametrize("json", [[], ["--json"]])
def test_a_reader_that_goes_away_is_no_failure(scene: Scene, json: list[str]) -> None:
    query = "select range as n, repeat('x', 100) as text from range(5000)"
    words = [sys.executable, "-m", "tsavo", "sql", query, "--home", str(scene.running.home), *json]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.read(10)
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(30) == 0


def test_an_interrupt_is_silent(scene: Scene) -> None:
    words = [sys.executable, "-m", "tsavo", "score", "small", "-", "--home", str(scene.running.home)]
    # A shell that runs us in the background has us ignore the signal, and who ignores it passes that on.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    signal.signal(signal.SIGINT, before)
    with process:
        # Sleeping in read(): the table has not come yet.
        deadline = time.monotonic() + 30
        while not is_reading(process.pid):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out, err) == (130, b"", b"")


def is_reading(pid: int) -> bool:
    """Whether the process waits for its standard input, as the kernel tells it."""
    # Not any pipe: libraries that are being imported read from processes of their own.
    try:
        _, source, *_ = Path(f"/proc/{pid}/syscall").read_text().split()
        waits = Path(f"/proc/{pid}/wchan").read_text()
    except (OSError, ValueError):
        return False
    return source == "0x0" and waits in ("pipe_read", "anon_pipe_read", "unix_stream_read_generic")


def test_python_dash_m_is_the_command_line() -> None:
    done = run("-m", "tsavo", "bogus")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


def test_another_word_for_a_command_is_not_listed() -> None:
    assert "findings" not in [name for group in index._COMMANDS.values() for name in group]
    assert application()["findings"] is not None
