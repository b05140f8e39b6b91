"""Tsavo's own code as it goes out with an ejected version: the few modules that answer, under another name.

They are copied, not required: the folder must run where Tsavo is not installed, and beside a later Tsavo that has
changed. The package's name holds a digest of its code, so that two ejected versions in one process never take each
other's.
"""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from tsavo.vocabulary import RuntimeName

__all__ = ["Vendored", "program", "vendored"]

_SOURCE: Final = Path(__file__).resolve().parents[2]
_LOADING: Final = "tsavo.formats.ejected"
_ROOTS: Final[dict[RuntimeName, tuple[str, ...]]] = {
    "onnx": ("loading", "onnx_model"),
    "python": ("loading", "python_model"),
}
# Modules of ours, as imports and the tables of readers write them; nothing else that begins with 'tsavo.'.
_MODULE: Final = re.compile(r"\btsavo\.(formats|vocabulary)\b")


class Vendored(msgspec.Struct, frozen=True):
    """The code of one package: its name, and path below ``code/`` -> content."""

    name: str
    files: dict[str, bytes]


def program(name: str) -> bytes:
    """A program of the ejected folder: ``predict.py`` or ``check.py``."""
    return (_SOURCE / "formats" / "ejected" / name).read_bytes()


def vendored(runtime: RuntimeName) -> Vendored:
    """The package that loads a version which `runtime` serves."""
    code = _closure([f"{_LOADING}.{name}" for name in _ROOTS[runtime]])
    digest = hashlib.sha256()
    for module, text in sorted(code.items()):
        digest.update(f"{module}\0{text}\0".encode())
    name = f"ejected_{digest.hexdigest()[:8]}"
    files = {f"{name}/__init__.py": b'"""Loads the version in the folder above; made by Tsavo."""\n'}
    for module, text in code.items():
        path = _path(module).relative_to(_SOURCE).as_posix().removeprefix("formats/ejected/")
        files[f"{name}/{path}"] = _renamed(text, name).encode()
        folder = path.rpartition("/")[0]
        if folder:
            files.setdefault(f"{name}/{folder}/__init__.py", b"")
    return Vendored(name, files)


def _closure(roots: list[str]) -> dict[str, str]:
    """Module -> source text, for the modules and all of ours that they need to answer."""
    found: dict[str, str] = {}
    waiting = list(roots)
    while waiting:
        module = waiting.pop()
        if module not in found:
            found[module] = _path(module).read_text("utf-8")
            waiting += [name for name in _needed(ast.parse(found[module])) if _path(name).is_file()]
    return found


def _needed(tree: ast.AST) -> Iterator[str]:
    """Names of our modules that the code imports, or keeps in a table to import them later."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ImportFrom) and node.module and _MODULE.match(node.module):
            yield node.module
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and _MODULE.match(node.value):
            # Imports of loading's own runtimes are roots, and only one of them is.
            if not node.value.startswith(_LOADING):
                yield node.value
        elif not _never_runs(node):
            yield from _needed(node)


def _never_runs(node: ast.AST) -> bool:
    """What only types need, and compiling: an ejected version that runs its source is not compiled."""
    if isinstance(node, ast.FunctionDef):
        return node.name == "compile"
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _path(module: str) -> Path:
    inside = _SOURCE.joinpath(*module.split(".")[1:])
    return inside / "__init__.py" if inside.is_dir() else inside.with_suffix(".py")


def _renamed(text: str, name: str) -> str:
    return _MODULE.sub(rf"{name}.\1", text.replace(_LOADING, name))
