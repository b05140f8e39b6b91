"""Python bundles: somebody's own code with the entry that predicts, and what it needs.

A bundle is a folder with ``tsavo-python.json`` at its root: ``{"entry": "module:object", "requirements": [...],
"python": "3.12"}``. Where the file names no requirements, those of the ``requirements.txt`` or the ``pyproject.toml``
beside it hold. Loading one runs the code.
"""

from __future__ import annotations

import importlib
import tomllib
from pathlib import Path
from typing import Any, Final

import msgspec

from tsavo.formats.bundle_modules import BundleModules
from tsavo.formats.bundles import inside
from tsavo.formats.callables import CallableOriginal
from tsavo.formats.originals import Original
from tsavo.formats.requirement_files import read_requirements
from tsavo.vocabulary import Hints, Invalid, SourceFormat, Unreadable

__all__ = ["MANIFEST", "Manifest", "open_model", "read_manifest"]

MANIFEST: Final = "tsavo-python.json"
_PROJECT: Final = "pyproject.toml"
_REQUIREMENTS: Final = "requirements.txt"
_MAX_TEXT: Final = 1 << 20


class Manifest(msgspec.Struct, frozen=True):
    """What a bundle says about itself.

    Attributes
    ----------
    entry
        ``module:object``: a function that takes a table, an object with ``predict``, or a class of such objects.
    requirements
        As in a requirements file, without options, paths and addresses.
    python
        ``major.minor`` that it wants.
    """

    entry: str
    requirements: tuple[str, ...] = ()
    python: str | None = None


class _Written(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    entry: str
    requirements: tuple[str, ...] | None = None
    python: str | None = None


class _Project(msgspec.Struct, frozen=True):
    dependencies: tuple[str, ...] = ()


class _ProjectFile(msgspec.Struct, frozen=True):
    project: _Project = _Project()


def read_manifest(folder: Path) -> Manifest:
    """What the bundle in `folder` says about itself; none of its code is run.

    Raises
    ------
    Unreadable, Invalid
        When a file is not what it should be, or the entry is not ``module:object``.
    """
    try:
        written = msgspec.json.decode(_text(folder, MANIFEST), type=_Written)
    except msgspec.MsgspecError as error:
        raise Unreadable(
            f"the bundle's {MANIFEST} cannot be read",
            field="source",
            found=str(error),
            expected='{"entry": "module:object"}, with "requirements" and "python" where needed',
        ) from error
    _entry(written.entry)
    requirements = written.requirements
    if requirements is None:
        requirements = _beside(folder)
    return Manifest(written.entry, requirements, written.python)


def open_model(path: Path, source_format: SourceFormat, hints: Hints) -> Original:
    """Run the bundle's code as far as its entry; somebody must have vouched for it.

    Raises
    ------
    Invalid
        When there is no such entry, or it cannot predict.
    """
    if not (path / MANIFEST).exists() and (path / "MLmodel").exists():
        from tsavo.formats.mlflow_function import open_function

        return open_function(path, hints)
    module, names = _entry(read_manifest(path).entry)
    modules = BundleModules(path)
    modules.enter()
    found: Any = importlib.import_module(module)
    for name in names:
        if not hasattr(found, name):
            raise Invalid(
                "the bundle's entry is not there",
                field="entry",
                found=f"{module}:{'.'.join(names)}",
                expected=f"one of {sorted(name for name in vars(found) if not name.startswith('_'))[:20]}",
            )
        found = getattr(found, name)
    return CallableOriginal(found, hints, modules)


def _entry(entry: str) -> tuple[str, list[str]]:
    module, colon, names = entry.partition(":")
    parts = [*module.split("."), *names.split(".")]
    if not colon or not all(part.isidentifier() for part in parts):
        raise Invalid(
            "not an entry", field="entry", found=entry, expected="module:object, as in churn.scoring:predict"
        )
    return module, names.split(".")


def _beside(folder: Path) -> tuple[str, ...]:
    """The requirements in the files beside the code; those of pyproject.toml first."""
    if (folder / _PROJECT).exists():
        try:
            told = msgspec.convert(tomllib.loads(_text(folder, _PROJECT)), _ProjectFile)
        except (tomllib.TOMLDecodeError, msgspec.MsgspecError) as error:
            raise Unreadable(
                "the bundle's pyproject.toml cannot be read", field="source", found=str(error)
            ) from error
        if told.project.dependencies:
            return told.project.dependencies
    if (folder / _REQUIREMENTS).exists():
        return read_requirements(folder, _REQUIREMENTS)
    return ()


def _text(folder: Path, name: str) -> str:
    path = inside(folder, name, "source")
    if path.stat().st_size > _MAX_TEXT:
        raise Unreadable(f"the bundle's {name} is too large", field="source", expected=f"{_MAX_TEXT} bytes")
    try:
        return path.read_text()
    except UnicodeDecodeError as error:
        raise Unreadable(f"the bundle's {name} is not text", field="source", found=str(error)) from error
