"""Documentation under test: what has no heading is not there, and what is said to be there is."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from pathlib import Path

import msgspec
import pytest
from litestar.handlers import HTTPRouteHandler

import tsavo.console.api
from tsavo.app.settings import Settings
from tsavo.cli.application import _ALIASES, application
from tsavo.governance import Right

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
SHELL = re.compile(r"^```sh\n(.*?)^```", re.MULTILINE | re.DOTALL)
OWN_FLAGS = {"--help", "--version"}


def headings(page: str) -> set[str]:
    text = re.sub(r"^```.*?^```", "", (DOCS / page).read_text(), flags=re.MULTILINE | re.DOTALL)
    return set(re.findall(r"^##+ (.+)$", text, re.MULTILINE))


def commands() -> set[str]:
    return {name for name in application() if name not in OWN_FLAGS and not name.startswith("-")}


def settings() -> set[str]:
    tables = msgspec.structs.fields(Settings)
    return {f"{table.name}.{key.name}" for table in tables for key in msgspec.structs.fields(table.type)}


def routes() -> dict[str, HTTPRouteHandler]:
    found: dict[str, HTTPRouteHandler] = {}
    for module in pkgutil.iter_modules(tsavo.console.api.__path__):
        names = vars(importlib.import_module(f"tsavo.console.api.{module.name}"))
        for handler in names.values():
            if isinstance(handler, HTTPRouteHandler):
                for path in handler.paths:
                    plain = re.sub(r"\{(\w+):\w+\}", r"{\1}", path)
                    found |= {
                        f"{method} {plain}": handler for method in handler.http_methods if method != "HEAD"
                    }
    return found


def test_every_command_has_its_heading() -> None:
    said = {heading.removeprefix("tsavo ") for heading in headings("command-line.md")}
    assert len(commands()) > 15
    # A second name is told at the first one's heading.
    assert said == commands() - set(_ALIASES)
    text = (DOCS / "command-line.md").read_text()
    assert all(f"`tsavo {alias}`" in text for alias in _ALIASES)


def test_every_setting_has_its_heading() -> None:
    assert len(settings()) > 5
    assert {heading for heading in headings("settings.md") if "." in heading} == settings()


def test_every_control_route_has_its_heading() -> None:
    assert len(routes()) > 20
    assert {heading for heading in headings("control-api.md") if " /" in heading} == set(routes())


def test_every_control_route_declares_its_right_and_the_page_says_it() -> None:
    text = (DOCS / "control-api.md").read_text()
    for name, handler in routes().items():
        right = handler.opt["right"]
        assert isinstance(right, Right), name
        section = text.partition(f"### {name}\n")[2].partition("\n##")[0]
        if right is not Right.READ:
            assert f"Right: `{right.value}`" in section, name


def test_every_noun_of_the_design_is_explained() -> None:
    nouns = {
        "Model",
        "Version",
        "Endpoint",
        "Family",
        "Decision",
        "Outcome",
        "Journal",
        "Lake",
        "Monitor",
        "Alert",
        "Action",
    }
    assert nouns <= headings("concepts.md")


def test_every_decision_is_listed_and_has_its_three_parts() -> None:
    index = (DOCS / "decisions" / "index.md").read_text()
    pages = sorted((DOCS / "decisions").glob("[0-9]*.md"))
    assert [int(page.name[:4]) for page in pages] == list(range(1, len(pages) + 1))
    for page in pages:
        assert f"({page.name})" in index
        parts = headings(f"decisions/{page.name}")
        assert parts == {"What we chose", "What else we tried", "What would change our mind"}, page.name


@pytest.mark.parametrize(
    "page", ["README.md", *sorted(str(path.relative_to(ROOT)) for path in DOCS.glob("*.md"))]
)
def test_commands_in_examples_exist_with_their_options(page: str) -> None:
    app = application()
    for block in SHELL.findall((ROOT / page).read_text()):
        for line in block.splitlines():
            words = line.partition("tsavo ")[2].split() if re.match(r"(.*\| )?tsavo ", line) else []
            if not words or words[0].startswith("-") or words[0] == "COMMAND":
                continue
            assert words[0] in commands(), line
            command = app[words[0]]
            if command.default_command is None:
                assert words[1] in command, line
                command = command[words[1]]
            known = {name for argument in command.assemble_argument_collection() for name in argument.names}
            used = {word for word in re.sub(r"'[^']*'|\"[^\"]*\"", "", line).split() if word.startswith("--")}
            assert used - known - OWN_FLAGS == set(), line


def test_links_of_pages_outside_the_documentation_lead_somewhere() -> None:
    for page in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "changes/README.md"):
        for target in re.findall(r"\]\(([^)#:]+)\)", (ROOT / page).read_text()):
            assert ((ROOT / page).parent / target).exists(), f"{page}: {target}"


def test_examples_in_python_can_be_read() -> None:
    for page in [ROOT / "README.md", *DOCS.rglob("*.md")]:
        for block in re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL):
            ast.parse(block)


def test_words_are_plain() -> None:
    for page in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.rglob("*.md")]:
        text = page.read_text().replace('"simply"', "").replace('"just"', "")
        found = re.search(r"\b(simply|just|obviously|of course)\b", text, re.IGNORECASE)
        assert found is None, f"{page.name}: {found}"
