"""The pages about frameworks do what they say: every block is run, in order, against one real running Tsavo."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from tests.app.conftest import Running, running_on

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
NOT_FRAMEWORKS: Final = {"verify-and-eject", "when-a-model-does-not-compile"}
# Those first, for one of them verifies every version that there is, as often as it says so.
PAGES = [
    *(path for path in sorted(DOCS.glob("*.md")) if path.stem in NOT_FRAMEWORKS),
    *sorted((DOCS / "frameworks").glob("*.md")),
]
# What the blocks of a page import, where it is not called as the page.
LIBRARIES: Final = {"scikit-learn": "sklearn", "pytorch": "torch", "pmml": "sklearn", "scorecards": "numpy"}
NO_LIBRARY: Final = {"index", "python", *NOT_FRAMEWORKS}
FENCE: Final = re.compile(r"^```(\w*).*?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# The addresses that pages name are those of a Tsavo that was started without options.
USUAL: Final = {"http://127.0.0.1:8080": "gateway", "http://127.0.0.1:8090": "console"}
SECONDS: Final = 240
HERE: Final = re.compile(r"<<'(\w+)'")

# Blocks of one page share their names, as they do for somebody who copies them into one session.
SESSION = """
import contextlib, json, sys, traceback
names = {"__name__": "__main__"}
for line in sys.stdin:
    block = json.loads(line)
    try:
        code = compile("\\n" * block["line"] + block["text"], block["page"], "exec")
        with contextlib.redirect_stdout(sys.stderr):
            exec(code, names)
        said = ""
    except BaseException:
        said = traceback.format_exc()
    print(json.dumps(said), flush=True)
"""


class Block(NamedTuple):
    """One fenced block: its language, the line of its fence (from 1), its text."""

    language: str
    line: int
    text: str


def blocks_of(text: str) -> list[Block]:
    return [
        Block(found[1], text.count("\n", 0, found.start()) + 1, found[2]) for found in FENCE.finditer(text)
    ]


def commands_of(text: str) -> str:
    """The commands of a console block at the lines where they stand: what ``$`` begins, or everything.

    >>> commands_of("$ tsavo ls\\nendpoint  champion\\n$ tsavo register \\\\\\n    model.skops\\ncredit@1\\n")
    'tsavo ls\\n\\ntsavo register \\\\\\n    model.skops\\n'
    >>> commands_of("$ cat > a <<'END'\\na\\nEND\\n$ cat a\\na\\n")
    "cat > a <<'END'\\na\\nEND\\ncat a\\n"
    """
    lines = text.splitlines()
    if not any(line.startswith("$ ") for line in lines):
        return text
    kept, going_on, until = [], False, ""
    for line in lines:
        mine = going_on or bool(until) or line.startswith("$ ")
        kept.append(line.removeprefix("$ ") if mine else "")
        if until:
            # What stands between is the text that a command reads.
            until = "" if line == until else until
            continue
        going_on = mine and line.endswith("\\")
        found = HERE.search(line) if mine else None
        until = found[1] if found else ""
    return "\n".join(kept)


class Reader:
    """Somebody who copies what a page says, block by block, into one folder."""

    def __init__(self, page: Path, folder: Path, running: Running) -> None:
        self._page = page
        self._folder = folder
        self._addresses = {usual: getattr(running, name) for usual, name in USUAL.items()}
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("TSAVO_")},
            "TSAVO_HOME": str(running.home),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "OMP_NUM_THREADS": "1",
        }
        self._session = subprocess.Popen(
            [sys.executable, "-c", SESSION],
            cwd=folder,
            env=self._environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def copy(self, block: Block) -> None:
        text = block.text
        for usual, real in self._addresses.items():
            text = text.replace(usual, real)
        if block.language == "python":
            self._run_python(text, block.line)
        elif block.language == "console":
            self._run_shell(commands_of(text), block.line)

    def close(self) -> None:
        assert self._session.stdin is not None
        assert self._session.stdout is not None
        self._session.stdin.close()
        self._session.stdout.close()
        self._session.kill()
        self._session.wait()

    def _run_python(self, text: str, line: int) -> None:
        assert self._session.stdin is not None
        assert self._session.stdout is not None
        told = {"page": self._page.name, "line": line, "text": text}
        self._session.stdin.write(json.dumps(told) + "\n")
        self._session.stdin.flush()
        answer = self._session.stdout.readline()
        said: Any = json.loads(answer) if answer else "the session ended"
        if said:
            pytest.fail(f"{self._page.name}, the block at line {line}:\n{said}", pytrace=False)

    def _run_shell(self, script: str, line: int) -> None:
        # It runs already, as the page's first lines say that it should.
        script = re.sub(r"^tsavo up\b.*$", "true", script, flags=re.MULTILINE)
        trap = (
            f"trap 'echo \"{self._page.name}:$(({line} + LINENO - 1)) failed\" >&2' ERR; set -euo pipefail\n"
        )
        done = subprocess.run(
            ["bash", "-c", trap + script],
            cwd=self._folder,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        if done.returncode != 0:
            pytest.fail(
                f"{self._page.name}, the block at line {line}:\n{done.stdout}{done.stderr}", pytrace=False
            )


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running_on(tmp_path_factory.mktemp("docs") / "home") as tsavo_now:
        yield tsavo_now


@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_of_a_page_runs(page: Path, running: Running, tmp_path: Path) -> None:
    library = LIBRARIES.get(page.stem, page.stem)
    if page.stem not in NO_LIBRARY and importlib.util.find_spec(library) is None:
        pytest.skip(f"this page needs {library}, which is not installed")
    blocks = blocks_of(page.read_text())
    reader = Reader(page, tmp_path, running)
    try:
        for block in blocks:
            reader.copy(block)
    finally:
        reader.close()


def test_every_page_has_something_to_run() -> None:
    for page in PAGES:
        languages = {block.language for block in blocks_of(page.read_text())}
        assert languages & {"python", "console"} or page.stem == "index", page.name
        assert languages <= {"python", "console", "text", "json", "csv", "toml", "sh"}, page.name


def test_a_block_that_fails_is_told_with_its_page_and_line(running: Running, tmp_path: Path) -> None:
    page = tmp_path / "wrong.md"
    page.write_text("# Wrong\n\n```console\n$ true\nfine\n$ false\n```\n\n```python\nx = 1\nx / 0\n```\n")
    shell, python = blocks_of(page.read_text())
    reader = Reader(page, tmp_path, running)
    try:
        with pytest.raises(pytest.fail.Exception, match=r"wrong\.md:6 failed"):
            reader.copy(shell)
        with pytest.raises(pytest.fail.Exception, match=r'wrong\.md", line 11'):
            reader.copy(python)
        reader.copy(Block("python", 1, "assert x == 1"))
        reader.copy(Block("text", 1, "this is not run"))
    finally:
        reader.close()
