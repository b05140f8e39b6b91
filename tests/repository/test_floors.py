"""The house of docs/architecture.md: every room has a floor, says what it is for, and shows what it lends out."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "tsavo"
BESIDE = {"client"}
ROOMS = sorted(path.parent.name for path in SOURCE.glob("*/__init__.py"))
# A gateway, a console or a keeper that loads one of these starts slowly, or runs what it should not.
MODEL_LIBRARIES = (
    "sklearn",
    "skops",
    "skl2onnx",
    "onnx",
    "scipy",
    "joblib",
    "xgboost",
    "lightgbm",
    "torch",
)

# What a gateway does without, or loads when an installation needs it: together they are tens of MiB.
_NOT_IN_A_GATEWAY = (
    "alembic",
    "cryptography",
    "deltalake",
    "duckdb",
    "httpx",
    "jinja2",
    "litestar",
    "mako",
    "obstore",
    "pandas",
    "pyarrow",
    "pygments",
    "rich",
)


def contracts() -> list[dict[str, Any]]:
    tables = tomllib.loads((ROOT / "pyproject.toml").read_text())
    found: list[dict[str, Any]] = tables["tool"]["importlinter"]["contracts"]
    return found


def floors() -> list[set[str]]:
    """The rooms of each floor, top floor first."""
    (layers,) = [contract for contract in contracts() if contract["type"] == "layers"]
    assert layers["exhaustive"] is True
    return [set(floor.split(" | ")) for floor in layers["layers"]]


def test_every_room_has_one_floor() -> None:
    on_floors = [room for floor in floors() for room in floor]
    assert sorted([*on_floors, *BESIDE]) == ROOMS


def test_every_folder_with_code_is_a_room() -> None:
    assert sorted({path.relative_to(SOURCE).parts[0] for path in SOURCE.glob("*/*.py")}) == ROOMS


def test_contract_names_are_sentences() -> None:
    for contract in contracts():
        assert re.fullmatch(r"[A-Z][^.]+", contract["name"]), contract["name"]
        assert contract["name"].count(" ") >= 3


def test_every_room_that_serves_requests_is_kept_from_the_lake() -> None:
    (contract,) = [one for one in contracts() if one["id"] == "request-path"]
    assert {"tsavo.endpoints", "tsavo.runtimes", "tsavo.journal", "tsavo.rest"} <= set(
        contract["source_modules"]
    )
    assert {"tsavo.lake", "tsavo.monitors", "tsavo.governance"} <= set(contract["forbidden_modules"])


@pytest.mark.parametrize(
    ("module", "forbidden"),
    [
        ("tsavo.app.gateway_process", (*_NOT_IN_A_GATEWAY, *MODEL_LIBRARIES)),
        # pyarrow loads pandas by itself, where it is installed, for its datasets: those of the lake.
        ("tsavo.app.console_process", MODEL_LIBRARIES),
        ("tsavo.app.keeper_process", MODEL_LIBRARIES),
    ],
)
def test_no_process_that_stays_loads_what_is_not_its_business(
    module: str, forbidden: tuple[str, ...]
) -> None:
    program = (
        f"import sys, {module}; loaded = {{name.partition('.')[0] for name in sys.modules}}; "
        f"print(sorted(loaded & set({forbidden!r})))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_says_what_it_is_for(room: str) -> None:
    words = ast.get_docstring(ast.parse((SOURCE / room / "__init__.py").read_text()))
    assert words is not None
    first, _, rest = words.partition("\n")
    assert first.endswith("."), "the first line is a sentence"
    rest = " ".join(rest.split())
    for part in ("What comes in:", "What goes out:", "must never"):
        assert part in rest, f"tsavo.{room} does not say '{part}'"


def _for_type_checkers(tree: ast.Module) -> list[ast.stmt]:
    """What a room that loads each name when it is first used shows to type checkers alone."""
    return [
        inner
        for node in tree.body
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in node.body
    ]


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_lends_out_what_it_says(room: str) -> None:
    tree = ast.parse((SOURCE / room / "__init__.py").read_text())
    imported = {
        alias.asname or alias.name
        for node in [*tree.body, *_for_type_checkers(tree)]
        if isinstance(node, ast.ImportFrom) and node.module != "__future__"
        for alias in node.names
    }
    defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    public = {name for name in imported | defined if not name.startswith("_")}
    module = importlib.import_module(f"tsavo.{room}")
    said = set(getattr(module, "__all__", ()))
    assert said <= public
    # What is imported and not lent out is for the room's own use; then there is code that uses it.
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert {name for name in public - said if name in imported and name not in used} == set()
    for name in said:
        assert hasattr(module, name)


def test_files_stay_short() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for folder in ("src", "tests", "tools", "benchmarks")
        for path in (ROOT / folder).rglob("*.py")
        if (lines := len(path.read_text().splitlines())) > 600
    }
    assert long == {}


def test_every_source_file_has_its_test_at_the_mirrored_place() -> None:
    """Rooms, not files: a room without a folder of tests is not tested."""
    # tests.grpc would stand beside the library of that name, so that folder is called grpc_door.
    tested = {path.parent.name.removesuffix("_door") for path in (ROOT / "tests").glob("*/test_*.py")}
    assert set(ROOMS) - tested == set()
