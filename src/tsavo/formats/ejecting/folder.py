"""The small files of the folder.

Only what can be said from the registry's description and the golden rows is made here; model files are copied by
whoever has them. Nothing depends on the clock or the machine: the same version gives the same bytes.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any, Final

import msgspec
import pyarrow as pa

from tsavo.formats.ejecting.golden_rows import golden_json, input_example
from tsavo.formats.ejecting.mlflow_files import environment_files, mlmodel
from tsavo.formats.ejecting.vendored import program, vendored
from tsavo.formats.ejecting.words import readme
from tsavo.vocabulary import SourceFormat, Version

__all__ = ["folder_files", "source_path"]

_BUNDLES: Final[frozenset[SourceFormat]] = frozenset({"mlflow", "python"})


def source_path(version: Version) -> str:
    """Where the source lies in the folder: as it was handed in, under a name that is safe everywhere."""
    suffix = PurePosixPath(version.lineage.source_name).suffix.lower()
    if version.lineage.source_format in _BUNDLES:
        suffix = ".zip"
    plain = suffix[1:].isalnum() and suffix.isascii() and len(suffix) <= 12
    return f"source/model{suffix if plain else ''}"


def folder_files(version: Version, golden: pa.Table | None) -> dict[str, bytes]:
    """Path -> content of everything in the folder but the model files and the golden Parquet file.

    Parameters
    ----------
    golden
        The version's golden rows, as `vocabulary.Golden` describes them.
    """
    package = vendored(version.runtime)
    example = None if golden is None else input_example(version.signature, golden)
    files = {f"code/{path}": content for path, content in package.files.items()}
    files |= environment_files(version)
    files |= {
        "MLmodel": mlmodel(version, package.name, example=example is not None),
        "README.md": readme(version, golden is not None).encode(),
        "check.py": program("check.py"),
        "lineage.json": _pretty(version),
        "model.json": _pretty(_description(version, package.name)),
        "predict.py": program("predict.py"),
    }
    if golden is not None and example is not None:
        files["golden.json"] = golden_json(version.signature, golden)
        files["input_example.json"] = example
    return files


def _description(version: Version, package: str) -> dict[str, Any]:
    return {
        "version": str(version.ref),
        "package": package,
        "runtime": version.runtime,
        "source": source_path(version),
        "format": version.lineage.source_format,
        "hints": version.hints,
        "signature": version.signature,
    }


def _pretty(value: Any) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value, order="deterministic"), indent=2) + b"\n"
