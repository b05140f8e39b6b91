"""The files that make a folder an MLflow model: ``MLmodel``, and three descriptions of its environment."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from tsavo.formats.needed_libraries import needed_libraries, perhaps_needed
from tsavo.vocabulary import DType, Output, Version

__all__ = ["environment_files", "mlmodel"]

_MLFLOW_TYPES: Final[dict[DType, str]] = {
    "float64": "double",
    "float32": "float",
    "int64": "long",
    "int32": "integer",
    "bool": "boolean",
    "string": "string",
}
_COMPILED: Final = ("numpy", "onnxruntime", "pandas")


def mlmodel(version: Version, package: str, *, example: bool) -> bytes:
    """The ``MLmodel`` file: the flavour ``python_function``, loaded by `package`, with the typed signature."""
    signature = version.signature
    told: dict[str, Any] = {
        "artifact_path": "model",
        "flavors": {
            "python_function": {
                "code": "code",
                "env": {"conda": "conda.yaml", "virtualenv": "python_env.yaml"},
                "loader_module": f"{package}.loading",
                "python_version": _python(version),
            }
        },
        "metadata": {"tsavo": {"digest": version.digest, "version": str(version.ref)}},
        "model_uuid": version.digest[:32],
        "signature": {
            "inputs": _as_text([_column(field.name, field.dtype) for field in signature.inputs]),
            "outputs": _as_text([part for output in signature.outputs for part in _outputs(output)]),
            "params": None,
        },
        "utc_time_created": version.created.strftime("%Y-%m-%d %H:%M:%S.%f"),
    }
    if example:
        told["saved_input_example_info"] = {
            "artifact_path": "input_example.json",
            "pandas_orient": "split",
            "type": "dataframe",
        }
    return _yaml(told).encode()


def _column(name: str, dtype: DType) -> dict[str, Any]:
    return {"type": _MLFLOW_TYPES[dtype], "name": name, "required": True}


def _outputs(output: Output) -> list[dict[str, Any]]:
    if output.width is None:
        return [_column(output.name, output.dtype)]
    return [_column(f"{output.name}.{k}", output.dtype) for k in range(output.width)]


def _as_text(columns: list[dict[str, Any]]) -> str:
    return msgspec.json.encode(columns).decode()


def environment_files(version: Version) -> dict[str, bytes]:
    """``requirements.txt``, and the same for virtualenv and conda."""
    requirements = _requirements(version)
    python = _python(version)
    # MLflow serves a model from within its environment; loading it there needs MLflow, the model itself does not.
    conda = [
        f"python={python}",
        "pip",
        {"pip": ["-r requirements.txt", "mlflow"]},
    ]
    return {
        "requirements.txt": "".join(f"{line}\n" for line in requirements).encode(),
        "python_env.yaml": _yaml(
            {
                "python": python,
                "build_dependencies": ["pip"],
                "dependencies": ["-r requirements.txt", "mlflow"],
            }
        ).encode(),
        "conda.yaml": _yaml({"channels": ["conda-forge"], "dependencies": conda, "name": "model"}).encode(),
    }


def _python(version: Version) -> str:
    return version.lineage.python if version.environment is None else version.environment.python


def _requirements(version: Version) -> list[str]:
    if version.runtime == "onnx":
        libraries = version.lineage.libraries
        return [f"{name}=={libraries[name]}" if name in libraries else name for name in _COMPILED]
    libraries = {**needed_libraries(version), **perhaps_needed(version)}
    needed = [f"{name}=={found}" for name, found in sorted(libraries.items())]
    named = {line.partition("==")[0] for line in needed}
    # The loader's own need, and what MLflow hands over its rows in.
    return [*needed, *(name for name in ("msgspec", "pandas") if name not in named)]


def _yaml(value: Any, indent: int = 0) -> str:
    """Block-style YAML of dicts, lists and scalars; every text is quoted."""
    pad = "  " * indent
    if isinstance(value, dict):
        lines = []
        for name, item in value.items():
            if isinstance(item, dict | list) and item:
                lines.append(f"{pad}{name}:\n{_yaml(item, indent + 1)}")
            else:
                lines.append(f"{pad}{name}: {_scalar(item)}\n")
        return "".join(lines)
    lines = []
    for item in value:
        if isinstance(item, dict):
            lines.append(f"{pad}- {_yaml(item, indent + 1).lstrip()}")
        else:
            lines.append(f"{pad}- {_scalar(item)}\n")
    return "".join(lines)


def _scalar(value: Any) -> str:
    if value is None:
        return "null"
    if not isinstance(value, str):
        return msgspec.json.encode(value).decode()
    if value.isprintable():
        doubled = value.replace("'", "''")
        return f"'{doubled}'"
    return '"' + "".join(_escaped(letter) for letter in value) + '"'


def _escaped(letter: str) -> str:
    return letter if letter.isalnum() else f"\\U{ord(letter):08x}"
