"""Sources that are more than one file, packed into one: MLflow folders and URIs, and Python code.

A bundle is a zip in which files lie as they are, in order of their names, at a fixed time: the same files make the same
bytes, so the same model is known again. The file that says what the bundle is comes first.
"""

from __future__ import annotations

import ast
import importlib.machinery
import io
import json
import os
import re
import stat
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Final, NamedTuple

from tsavo.vocabulary import Invalid, NotFound, Refused, TooLarge, Unavailable, Unreadable

__all__ = [
    "Bundle",
    "fetch_mlflow",
    "is_entry",
    "is_mlflow_uri",
    "pack",
    "pack_entry",
    "pack_folder",
]

MLMODEL: Final = "MLmodel"
MANIFEST: Final = "tsavo-python.json"
MAX_FILES: Final = 10_000
MAX_BYTES: Final = 1 << 30
MAX_CODE_FILE: Final = 100 << 20
"""A file of a Python bundle that is larger is taken for data that was not meant to come along."""

_LEFT_OUT: Final = ("__pycache__", "node_modules", "*.egg-info", "*.pyc", "*.pyo")
_ENTRY: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_URI: Final = re.compile(r"(models|runs|mlflow-artifacts):/")
_RUN: Final = re.compile(r"^run_id: ['\"]?([0-9a-f]{8,64})", re.MULTILINE)
_BY_CUSTOM: Final = ("predict", "model", "Model")
_BESIDE: Final = ("requirements.txt", "pyproject.toml")
# What MLflow notes about how a folder was fetched; no part of the model.
_FETCHED: Final = ("registered_model_meta",)


class Bundle(NamedTuple):
    """A zip, and what to call it in the lineage."""

    name: str
    content: bytes


def is_mlflow_uri(source: str) -> bool:
    """Whether `source` is an address that MLflow understands.

    >>> is_mlflow_uri("models:/credit-risk/3"), is_mlflow_uri("runs")
    (True, False)
    """
    return _URI.match(source) is not None


def is_entry(source: str) -> bool:
    """Whether `source` is ``module:object``, and no file.

    >>> is_entry("churn.scoring:predict")
    True
    """
    return _ENTRY.fullmatch(source) is not None and not Path(source).exists()


def pack(files: Mapping[str, Path | bytes], first: str) -> bytes:
    """The files as a zip, `first` at its head.

    Raises
    ------
    TooLarge
        Beyond 10,000 files or 1 GiB.
    """
    sink = io.BytesIO()
    total = 0
    if len(files) > MAX_FILES:
        raise _too_large(f"{len(files)} files")
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files, key=lambda name: (name != first, name)):
            content = files[name]
            total += len(content) if isinstance(content, bytes) else content.stat().st_size
            if total > MAX_BYTES:
                raise _too_large(f"more than {MAX_BYTES} bytes")
            entry = zipfile.ZipInfo(name)  # its time is 1980, for every file
            entry.create_system = 3  # Unix, wherever it is made
            entry.external_attr = (stat.S_IFREG | 0o600) << 16
            archive.writestr(entry, content if isinstance(content, bytes) else content.read_bytes())
    return sink.getvalue()


def pack_folder(folder: Path) -> Bundle:
    """An MLflow model folder, or a folder of Python code that names its entry.

    The entry of Python code is ``entry`` in the table ``[tool.tsavo]`` of its ``pyproject.toml``; without one,
    ``predict``, ``model`` or ``Model`` of a ``model.py``. ``exclude`` in the same table lists patterns of files to
    leave out. Hidden files, caches and virtual environments are left out anyway.

    Raises
    ------
    Invalid
        When it is neither, or holds links.
    TooLarge
        Naming the files that look like data.
    """
    name = folder.resolve().name
    if (folder / MLMODEL).is_file():
        return Bundle(name, pack(dict(_files(folder, _FETCHED)), MLMODEL))
    settings = _settings(folder)
    entry = settings.get("entry") or _entry_by_custom(folder)
    if entry is None:
        raise Invalid(
            "the folder does not say what to call in it",
            field="source",
            found=str(folder),
            expected='an MLmodel file; a pyproject.toml with [tool.tsavo] entry = "module:object"; or a model.py with '
            "'predict', 'model' or 'Model'",
        )
    if not isinstance(entry, str) or _ENTRY.fullmatch(entry) is None:
        raise Invalid("not an entry", field="tool.tsavo.entry", found=entry, expected="module:object")
    files = dict(_files(folder, _patterns(settings)))
    return Bundle(name, _python(files, entry))


def pack_entry(entry: str, start: Path | None = None) -> Bundle:
    """``module:object``: the module, the modules beside it that it imports, and the requirements beside them.

    Nothing is imported to find that out. The module is looked for in the folder `start` (default: the working folder),
    in its ``src``, then where Python looks.

    Raises
    ------
    NotFound
        When there is no such module.
    Unreadable
        When a module is no Python.
    """
    module = entry.partition(":")[0]
    top = module.partition(".")[0]
    here = (Path.cwd() if start is None else start).resolve()
    root = _root_of(top, here)
    files: dict[str, Path | bytes] = {}
    for name in sorted(_closure(root, top)):
        if (root / name).is_dir():
            files |= {f"{name}/{inner}": path for inner, path in _files(root / name, ())}
        else:
            files[f"{name}.py"] = root / f"{name}.py"
    for name in _BESIDE:
        near = [folder / name for folder in (root, here) if (folder / name).is_file()]
        if near:
            files[name] = near[0]
    if not _module_is_there(module, files):
        raise NotFound("there is no such module", field="source", found=module, expected=f"in {root}")
    return Bundle(entry, _python(files, entry))


def fetch_mlflow(uri: str, tracking_uri: str | None = None) -> Bundle:
    """A model behind ``models:/…``, ``runs:/…`` or ``mlflow-artifacts:/…``, fetched by the mlflow package.

    Parameters
    ----------
    tracking_uri
        Where MLflow answers; by default ``MLFLOW_TRACKING_URI``, as for MLflow itself.

    Raises
    ------
    Refused
        Without the mlflow package.
    Unavailable
        When MLflow cannot fetch it.
    Invalid
        When what is there is no MLflow model.
    """
    try:
        import mlflow.artifacts
        from mlflow.exceptions import MlflowException
    except ImportError as error:
        raise Refused(
            "MLflow's own package is needed to fetch a model from MLflow, and is not installed",
            field="source",
            found=uri,
            next_step="pip install 'tsavo[mlflow]', or register a folder that holds the model",
        ) from error
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    with tempfile.TemporaryDirectory(prefix="tsavo-mlflow-") as scratch, _tracking(mlflow, tracking_uri):
        try:
            found = Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=scratch))
        except (MlflowException, OSError) as error:
            raise Unavailable(
                "MLflow does not give this model",
                field="source",
                found=f"{uri}: {str(error).splitlines()[0] if str(error) else type(error).__name__}"[:300],
                next_step="check the address, and MLFLOW_TRACKING_URI or --tracking-uri",
            ) from error
        if not (found / MLMODEL).is_file():
            raise Invalid(
                "what MLflow gives is no model",
                field="source",
                found=uri,
                expected="a folder with an MLmodel file",
            )
        run = _RUN.search((found / MLMODEL).read_text())
        name = uri if run is None else f"{uri} (run {run[1]})"
        return Bundle(name, pack(dict(_files(found, _FETCHED)), MLMODEL))


@contextmanager
def _tracking(mlflow: Any, uri: str | None) -> Iterator[None]:
    """Let MLflow ask the server `uri`; the registry of models has no other way to be told."""
    if uri is None:
        yield
        return
    before = mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else None
    mlflow.set_tracking_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)


def _python(files: Mapping[str, Path | bytes], entry: str) -> bytes:
    large = {
        name: path.stat().st_size
        for name, path in files.items()
        if isinstance(path, Path) and path.stat().st_size > MAX_CODE_FILE
    }
    if large:
        raise TooLarge(
            "files beside the code look like data",
            field="source",
            found=", ".join(f"{name} ({size >> 20} MiB)" for name, size in sorted(large.items())[:20]),
            expected=f"files of at most {MAX_CODE_FILE >> 20} MiB",
            next_step='leave them out with [tool.tsavo] exclude = ["data/*"] in pyproject.toml, or move them away',
        )
    manifest = json.dumps({"entry": entry}, sort_keys=True).encode()
    return pack({**files, MANIFEST: manifest}, MANIFEST)


def _files(folder: Path, excluded: Sequence[str]) -> Iterator[tuple[str, Path]]:
    """The files in a folder by their names in it, without what is never meant."""
    links = []
    for place, folders, names in os.walk(folder):
        here = Path(place)
        folders[:] = sorted(name for name in folders if not _is_left_out(here / name, folder, excluded))
        for name in [*folders, *sorted(names)]:
            path = here / name
            if _is_left_out(path, folder, excluded):
                continue
            if path.is_symlink():
                links.append(path.relative_to(folder).as_posix())
            elif path.is_file():
                yield path.relative_to(folder).as_posix(), path
    if links:
        raise Invalid(
            "the folder holds links, which a bundle cannot",
            field="source",
            found=links[:20],
            expected="files and folders",
            next_step="put the files themselves there",
        )


def _is_left_out(path: Path, folder: Path, excluded: Sequence[str]) -> bool:
    inner = path.relative_to(folder).as_posix()
    return (
        path.name.startswith(".")
        or any(fnmatch(path.name, pattern) for pattern in _LEFT_OUT)
        or any(fnmatch(inner, pattern) for pattern in excluded)
        or (path / "pyvenv.cfg").is_file()
    )


def _settings(folder: Path) -> dict[str, Any]:
    """The table ``[tool.tsavo]`` of the folder's pyproject.toml."""
    path = folder / "pyproject.toml"
    if not path.is_file():
        return {}
    try:
        told = tomllib.loads(path.read_text())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Unreadable(f"{path} cannot be read", field="source", found=str(error)) from error
    settings = told.get("tool", {}).get("tsavo", {})
    unknown = sorted(set(settings) - {"entry", "exclude"})
    if unknown:
        raise Invalid(
            "unknown keys in [tool.tsavo]", field="tool.tsavo", found=unknown, expected="entry, exclude"
        )
    return dict(settings)


def _patterns(settings: Mapping[str, Any]) -> list[str]:
    patterns = settings.get("exclude", [])
    if not isinstance(patterns, list) or not all(isinstance(pattern, str) for pattern in patterns):
        raise Invalid(
            "not a list of patterns", field="tool.tsavo.exclude", found=patterns, expected='["data/*"]'
        )
    return patterns


def _entry_by_custom(folder: Path) -> str | None:
    path = folder / "model.py"
    if not path.is_file():
        return None
    defined: set[str] = set()
    for node in _parsed(path).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            defined.add(node.name)
        elif isinstance(node, ast.Assign):
            defined |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    name = next((name for name in _BY_CUSTOM if name in defined), None)
    return None if name is None else f"model:{name}"


def _root_of(top: str, here: Path) -> Path:
    for root in (here, here / "src"):
        if _is_module(root, top):
            return root
    found = importlib.machinery.PathFinder.find_spec(top)
    if found is not None and found.origin is not None and found.origin.endswith(".py"):
        origin = Path(found.origin).resolve()
        return origin.parent.parent if origin.name == "__init__.py" else origin.parent
    raise NotFound(
        "there is no such module",
        field="source",
        found=top,
        expected=f"{top}.py or a folder {top} in {here}",
        next_step="run the command in the folder that holds it",
    )


def _is_module(root: Path, name: str) -> bool:
    folder = root / name
    return (root / f"{name}.py").is_file() or (folder.is_dir() and any(folder.rglob("*.py")))


def _closure(root: Path, top: str) -> set[str]:
    """The module and those beside it that it imports, directly or not."""
    found: set[str] = set()
    waiting = [top]
    while waiting:
        name = waiting.pop()
        if name in found or not _is_module(root, name):
            continue
        found.add(name)
        folder = root / name
        files = [path for _, path in _files(folder, ())] if folder.is_dir() else [root / f"{name}.py"]
        for path in files:
            if path.suffix == ".py":
                waiting.extend(_imported(_parsed(path)))
    return found


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield node.module.partition(".")[0]


def _parsed(path: Path) -> ast.Module:
    try:
        return ast.parse(path.read_bytes(), str(path))
    except (SyntaxError, ValueError) as error:
        raise Unreadable(f"{path} is no Python", field="source", found=str(error)) from error


def _module_is_there(module: str, files: Mapping[str, Any]) -> bool:
    path = module.replace(".", "/")
    return f"{path}.py" in files or any(name.startswith(f"{path}/") for name in files)


def _too_large(found: str) -> TooLarge:
    return TooLarge(
        "the folder is larger than a model may be",
        field="source",
        found=found,
        expected=f"at most {MAX_FILES} files and {MAX_BYTES >> 20} MiB",
        next_step="leave out what the model does not need",
    )
