"""MLflow model folders: which file in it is the model, and what MLmodel says about it.

A folder that MLflow made of a scikit-learn, XGBoost, LightGBM, CatBoost, PyTorch, ONNX or statsmodels model holds that
model in its own format; that file is registered as if it had come alone, with the signature and the requirements that
MLmodel declares. Everything else, and whatever comes with code, is a ``python_function``: MLflow's loader runs it, in
an environment of its own that has MLflow.

MLmodel is YAML from outside: it is read without aliases, within a size and a depth, into plain data.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from tsavo.formats.bundles import inside
from tsavo.formats.mlflow_signature import Declared, read_example, read_inputs
from tsavo.formats.originals import Original
from tsavo.formats.plain_yaml import read_yaml
from tsavo.formats.requirement_files import read_requirements
from tsavo.formats.sniffing import CODE_CARRYING
from tsavo.vocabulary import Field, Hints, Invalid, SourceFormat, Task

__all__ = ["MLMODEL", "Resolved", "open_model", "read_mlmodel", "resolve", "with_declared"]

MLMODEL: Final = "MLmodel"
_FUNCTION: Final = "python_function"


class Resolved(msgspec.Struct, frozen=True):
    """What an MLflow folder holds.

    Attributes
    ----------
    path, format
        The model file in its own format; or the folder itself and ``python`` for a ``python_function``, which runs
        code of its author.
    hints
        What MLmodel says about the task, with the requirements and the Python version that it names.
    declared
        The inputs of its signature.
    example
        Its input example as a Parquet file beside the folder, when it has one that is a table.
    flavor
        MLflow's word for the kind of model.
    """

    path: Path
    format: SourceFormat
    hints: Hints
    declared: tuple[Field, ...] | None
    example: Path | None
    flavor: str

    @property
    def requirements(self) -> tuple[str, ...]:
        """What it needs."""
        return self.hints.requirements

    @property
    def python(self) -> str | None:
        """The Python version that it was made with, as ``major.minor``."""
        return self.hints.python


class _SignatureText(msgspec.Struct, frozen=True):
    inputs: str | None = None
    params: str | None = None


class _Example(msgspec.Struct, frozen=True):
    artifact_path: str = ""
    type: str = ""
    pandas_orient: str | None = None


class MLmodel(msgspec.Struct, frozen=True):
    """What Tsavo reads of an MLmodel file."""

    flavors: dict[str, dict[str, Any]]
    signature: _SignatureText | None = None
    saved_input_example_info: _Example | None = None
    run_id: str | None = None

    @property
    def declared(self) -> Declared | None:
        """The inputs of the signature."""
        if self.signature is None or not self.signature.inputs:
            return None
        return read_inputs(self.signature.inputs)


def read_mlmodel(folder: Path) -> MLmodel:
    """Read the MLmodel file of `folder`.

    Raises
    ------
    Unreadable, Invalid
        When there is none, or it is not what MLflow writes.
    """
    told = read_yaml(inside(folder, MLMODEL, "source"))
    try:
        return msgspec.convert(told, MLmodel)
    except msgspec.ValidationError as error:
        raise Invalid(
            f"the MLmodel file is not as MLflow writes it: {error}", field="source", expected="flavors"
        ) from error


def resolve(folder: Path) -> Resolved:
    """Find the model in an MLflow folder.

    Raises
    ------
    Unreadable, Invalid, Refused
        When MLmodel, or a path in it, is not what it should be; or the inputs are no table.
    """
    mlmodel = read_mlmodel(folder)
    declared = mlmodel.declared
    flavor, path, source_format = _inner(folder, mlmodel, declared)
    wanted = _requirements(folder)
    hints = Hints(
        task=_task(mlmodel.flavors.get(flavor, {})),
        requirements=_needed(flavor, source_format, wanted),
        python=_python(folder, mlmodel),
    )
    return Resolved(
        path=path,
        format=source_format,
        hints=hints,
        declared=None if declared is None else declared.fields,
        example=_example(folder, mlmodel, declared),
        flavor=flavor,
    )


def open_model(path: Path, source_format: SourceFormat, hints: Hints, *, trusted: bool = False) -> Original:
    """The model in the MLflow folder `path`.

    Raises
    ------
    Untrusted
        When what it holds can carry code, and nobody vouched for it.
    """
    from tsavo.formats.opening import open_original

    mlmodel = read_mlmodel(path)
    declared = mlmodel.declared
    _, inner, inner_format = _inner(path, mlmodel, declared)
    original = open_original(inner, inner_format, trusted=trusted, hints=hints)
    return with_declared(original, None if declared is None else declared.fields)


def with_declared(original: Original, declared: tuple[Field, ...] | None) -> Original:
    """The original, with the inputs that MLmodel declares in the order in which it takes them.

    Raises
    ------
    Invalid
        When MLmodel declares other columns than the model takes.
    """
    if declared is None or original.declared is not None:
        return original
    if original.names is not None:
        given = {field.name: field for field in declared}
        ordered = _in_order(given, original.names)
        if ordered is not None:
            original.declared = ordered
            return original
        if len(original.names) != len(declared) or not _nameless(original.names):
            raise Invalid(
                "the signature in MLmodel has other columns than the model",
                field="signature",
                found=sorted(given)[:50],
                expected=f"the columns {original.names[:50]}",
            )
    elif original.columns is not None and original.columns != len(declared):
        raise Invalid(
            "the signature in MLmodel has another number of columns than the model",
            field="signature",
            found=len(declared),
            expected=f"{original.columns}",
        )
    original.declared = declared
    return original


def _in_order(given: Mapping[str, Field], names: list[str]) -> tuple[Field, ...] | None:
    """The fields in the order of `names`; some libraries keep names with ``_`` for what is no letter or digit."""
    for kept in (str, lambda name: re.sub(r"\W", "_", name)):
        renamed = {kept(name): field for name, field in given.items()}
        wanted = [kept(name) for name in names]
        if len(renamed) == len(given) and len(wanted) == len(given) and set(wanted) == set(renamed):
            return tuple(renamed[name] for name in wanted)
    return None


def _nameless(names: list[str]) -> bool:
    """Whether names are those that libraries make up for columns without any."""
    return all(re.fullmatch(r"(x|f|Column_|feature_)?\d+", name) for name in names)


# Flavor -> the key of MLmodel that has the path, and the library that reads the file.
_PATHS: Final = {
    "sklearn": "pickled_model",
    "xgboost": "data",
    "lightgbm": "data",
    "catboost": "data",
    "pytorch": "model_data",
    "onnx": "data",
    "statsmodels": "data",
}
_PROGRAM: Final = "model.pt2"
_PICKLES: Final[dict[str, SourceFormat]] = {
    "skops": "skops",
    "cloudpickle": "cloudpickle",
    "pickle": "pickle",
}


def _inner(folder: Path, mlmodel: MLmodel, declared: Declared | None) -> tuple[str, Path, SourceFormat]:
    """The flavor, the file or folder, and its format."""
    function = mlmodel.flavors.get(_FUNCTION)
    for flavor, key in _PATHS.items():
        told = mlmodel.flavors.get(flavor)
        if told is None or _has_code(told, function, flavor) or (declared is not None and declared.times):
            continue
        name = told.get(key)
        source_format = _exported(folder, told) if flavor == "pytorch" else _format(flavor, told)
        if source_format is None:
            continue
        if not isinstance(name, str):
            raise Invalid(
                "MLmodel does not say where the model is", field=f"flavors.{flavor}.{key}", found=name
            )
        name = f"{name}/{_PROGRAM}" if source_format == "torch-export" else name
        return flavor, inside(folder, name, f"flavors.{flavor}.{key}"), source_format
    if function is None:
        raise Invalid(
            "the MLflow folder has no flavor that Tsavo can serve",
            field="flavors",
            found=sorted(mlmodel.flavors)[:20],
            expected=f"{_FUNCTION}, or one of {sorted(_PATHS)}",
            next_step="save the model with its python_function flavor",
        )
    for key in ("model_path", "data", "python_model", "code"):
        if isinstance(name := function.get(key), str):
            inside(folder, name, f"flavors.{_FUNCTION}.{key}")
    return _FUNCTION, folder, "python"


def _has_code(told: Mapping[str, Any], function: Mapping[str, Any] | None, flavor: str) -> bool:
    """Whether modules of the author's own come with it, or another loader than the flavor's own is to load it."""
    loader = None if function is None else function.get("loader_module")
    return bool(told.get("code")) or loader not in {None, f"mlflow.{flavor}"}


def _format(flavor: str, told: Mapping[str, Any]) -> SourceFormat | None:
    """The format of the model file, or ``None`` when only MLflow itself can read it."""
    pickled = _PICKLES.get(str(told.get("serialization_format") or "pickle"))
    model_class = str(told.get("model_class") or "")
    formats: dict[str, SourceFormat | None] = {
        "sklearn": pickled,
        "xgboost": "xgboost",
        # A Booster is in LightGBM's own format, whatever the file says about its wrappers.
        "lightgbm": "lightgbm" if model_class in {"", "lightgbm.basic.Booster"} else pickled,
        "catboost": "catboost" if told.get("save_format", "cbm") == "cbm" else None,
        "onnx": "onnx",
        "statsmodels": "pickle",
    }
    return formats[flavor]


def _exported(folder: Path, told: Mapping[str, Any]) -> SourceFormat | None:
    """An exported program lies under one name; MLflow does not always say that it is one."""
    data, said = told.get("model_data"), told.get("serialization_format")
    if said is None and isinstance(data, str):
        said = (
            "pt2" if inside(folder, data, "flavors.pytorch.model_data").joinpath(_PROGRAM).is_file() else None
        )
    return "torch-export" if said == "pt2" else None


def _task(told: Mapping[str, Any]) -> Task | None:
    """What the class of the model says about the task; files of a Booster do not say that they rank."""
    named = str(told.get("model_class") or told.get("model_type") or "")
    return "ranking" if named.endswith("Ranker") else None


# Formats without code need their own library alone. Whatever else the folder lists is not installed: a model file that
# nobody vouched for must not choose what is.
_LIBRARIES: Final = {
    "sklearn": ("scikit-learn", "skops", "pandas"),
    "xgboost": ("xgboost-cpu", "xgboost"),
    "lightgbm": ("lightgbm", "scikit-learn", "skops", "pandas"),
    "catboost": ("catboost",),
    "pytorch": ("torch",),
    "onnx": (),
}
_PIN: Final = re.compile(r"([A-Za-z0-9._-]+)==(\d+)\.(\d+)(\.\d+)?")
_MLFLOW: Final = re.compile(r"mlflow(-skinny|-tracing)?\b(?!-)")
_READS_MLMODEL: Final = "pyyaml>=6"


def _needed(flavor: str, source_format: SourceFormat, wanted: tuple[str, ...]) -> tuple[str, ...]:
    """What has to be installed to run the model.

    Only a ``python_function`` needs MLflow itself. Of the lines of a format without code, those hold that name the
    library which reads it, as wide as its promises go: files that a library reads for ever need its release or a later
    one; a skops file holds scikit-learn's own parts, which are the same within a minor release.
    """
    if flavor == _FUNCTION:
        return wanted
    if source_format in CODE_CARRYING:
        return (*(line for line in wanted if not _MLFLOW.match(line)), _READS_MLMODEL)
    needed = []
    for line in wanted:
        pin = _PIN.fullmatch(line.strip())
        if pin is None or pin[1].lower().replace("_", "-") not in _LIBRARIES.get(flavor, ()):
            continue
        name = "xgboost-cpu" if pin[1] == "xgboost" else pin[1]
        if source_format == "skops" and name == "scikit-learn":
            needed.append(f"{name}=={pin[2]}.{pin[3]}.*")
        else:
            needed.append(name if name == "pandas" else f"{name}>={pin[2]}.{pin[3]}")
    return (*dict.fromkeys(needed), _READS_MLMODEL) if needed else ()


def _requirements(folder: Path) -> tuple[str, ...]:
    """The folder's requirements: those of requirements.txt, or else of the pip part of conda.yaml."""
    if (folder / "requirements.txt").exists():
        return read_requirements(folder, "requirements.txt")
    if not (folder / "conda.yaml").exists():
        return ()
    told = read_yaml(inside(folder, "conda.yaml", "requirements"))
    for part in told.get("dependencies") or () if isinstance(told, dict) else ():
        if isinstance(part, dict) and isinstance(part.get("pip"), list):
            return tuple(line for line in part["pip"] if isinstance(line, str))
    return ()


def _python(folder: Path, mlmodel: MLmodel) -> str | None:
    """``major.minor`` of the Python that the model was saved with."""
    said: Any = mlmodel.flavors.get(_FUNCTION, {}).get("python_version")
    if (folder / "python_env.yaml").exists():
        told = read_yaml(inside(folder, "python_env.yaml", "python"))
        said = told.get("python", said) if isinstance(told, dict) else said
    found = re.match(r"(\d+)\.(\d+)", str(said or ""))
    return None if found is None else found[0]


def _example(folder: Path, mlmodel: MLmodel, declared: Declared | None) -> Path | None:
    told = mlmodel.saved_input_example_info
    if told is None or not told.artifact_path:
        return None
    path = inside(folder, told.artifact_path, "saved_input_example_info.artifact_path")
    try:
        import pyarrow.parquet
    except ImportError:
        return None  # beside a model that is served nobody needs its example
    names = None if declared is None else [field.name for field in declared.fields]
    table = read_example(path, told.type, told.pandas_orient, names)
    if table is None:
        return None
    written = folder.with_name(f"{folder.name}-example.parquet")
    pyarrow.parquet.write_table(table, written)
    return written
