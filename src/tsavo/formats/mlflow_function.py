"""MLflow's ``python_function``: loaded by MLflow itself, and asked as ``mlflow.pyfunc.load_model(...).predict`` is.

Runs in an environment that has MLflow; Tsavo's own does not need it.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tsavo.formats.bundle_modules import BundleModules
from tsavo.formats.mlflow_bundle import read_mlmodel
from tsavo.formats.mlflow_signature import Declared, Kind
from tsavo.formats.originals import Original, as_frame, as_matrix
from tsavo.formats.public_outputs import public_outputs, task_of
from tsavo.vocabulary import NUMPY_DTYPES, Columns, Field, Hints

__all__ = ["MlflowOriginal", "open_function"]


def open_function(folder: Path, hints: Hints) -> MlflowOriginal:
    """Load the model in an MLflow folder with MLflow, which runs its code."""
    mlmodel = read_mlmodel(folder)
    code = mlmodel.flavors.get("python_function", {}).get("code")
    modules = BundleModules(folder / code) if isinstance(code, str) else None
    if modules is not None:
        modules.enter()
    import mlflow

    return MlflowOriginal(mlflow.pyfunc.load_model(str(folder)), mlmodel.declared, hints, modules)


class MlflowOriginal(Original):
    """A model behind MLflow's common interface.

    Parameters
    ----------
    model
        As ``mlflow.pyfunc.load_model`` gives it.
    declared
        The inputs of its signature.
    """

    def __init__(
        self, model: Any, declared: Declared | None, hints: Hints, modules: BundleModules | None = None
    ) -> None:
        import mlflow

        self._model = model
        self._declared = declared
        self._hints = hints
        self._modules = modules
        self.framework = f"mlflow {mlflow.__version__}"
        self.task = task_of(hints)
        self.classes = hints.classes
        self.names = None if hints.names is None else list(hints.names)
        if declared is not None:
            self.declared = declared.fields
            self.names = [field.name for field in declared.fields]
        self.columns = None if self.names is None else len(self.names)

    def predict(self, fields: Sequence[Field], columns: Columns) -> dict[str, npt.NDArray[Any]]:
        """What MLflow's ``predict`` returns, by public name; see `Original.predict`."""
        if self._modules is not None:
            self._modules.enter()
        given = self._given(fields, columns)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return public_outputs(self._model.predict(given), self._hints)

    def _given(self, fields: Sequence[Field], columns: Columns) -> Any:
        if self._declared is None:
            return as_frame(fields, columns)
        if self._declared.tensors:
            return _tensors(self._declared, columns)
        return _frame(self._declared, columns)


def _frame(declared: Declared, columns: Columns) -> Any:
    """The table, each column in exactly the type that MLflow's check of the signature asks for."""
    frame = as_frame(declared.fields, columns, hole=None)
    for field, kind in zip(declared.fields, declared.kinds, strict=True):
        frame[field.name] = _as_declared(frame[field.name], field, kind)
    return frame


def _as_declared(values: Any, field: Field, kind: Kind) -> Any:
    import pandas

    if kind.type == "datetime":
        return pandas.to_datetime(values, format="ISO8601")
    if kind.type in {"integer", "long", "boolean"} and field.dtype == "float64":
        # Optional: whole again where nothing is missing, and otherwise for MLflow to judge.
        whole = {"integer": np.int32, "long": np.int64, "boolean": np.bool_}[kind.type]
        return values if values.isna().any() else values.astype(whole)
    return values if field.dtype == "string" else values.astype(NUMPY_DTYPES[field.dtype])


def _tensors(declared: Declared, columns: Columns) -> Any:
    """One array, or a dict of arrays when the tensors have names."""
    made: dict[str, npt.NDArray[Any]] = {}
    for name in dict.fromkeys(kind.tensor or "" for kind in declared.kinds):
        parts = [
            (field, kind)
            for field, kind in zip(declared.fields, declared.kinds, strict=True)
            if (kind.tensor or "") == name
        ]
        matrix = as_matrix([field for field, _ in parts], columns).astype(NUMPY_DTYPES[parts[0][0].dtype])
        made[name] = matrix[:, 0] if len(parts[0][1].shape) == 1 else matrix
    return made[""] if list(made) == [""] else made
