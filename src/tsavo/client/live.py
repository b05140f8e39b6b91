"""Live models of libraries that have a file format of their own, as such a file. None of them carries code."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from tsavo.vocabulary import Invalid

__all__ = ["Exported", "export"]


class Exported(NamedTuple):
    """A model file.

    Attributes
    ----------
    hints
        What the object knows and the file does not hold: ``task``, ``classes``, ``names``.
    """

    name: str
    suffix: str
    content: bytes
    hints: Mapping[str, Any]


def export(model: object) -> Exported | None:
    """The model in its library's own format, or ``None`` when the library has none that Tsavo knows.

    Raises
    ------
    Invalid
        When the model was not fitted.
    """
    writer = _WRITERS.get(type(model).__module__.partition(".")[0])
    if writer is None:
        return None
    try:
        return writer(model)
    except Exception as error:  # each library says in its own way that a model was not fitted
        raise Invalid(
            f"the model cannot be written: {error}",
            field="source",
            found=type(model).__name__,
            expected="a fitted model",
        ) from error


def _xgboost(model: Any) -> Exported | None:
    booster = model.get_booster() if hasattr(model, "get_booster") else model
    missing = getattr(model, "missing", None)
    if type(booster).__name__ != "Booster" or (missing is not None and missing == missing):  # noqa: PLR0124 -- NaN
        # Another number for what is missing is known to the wrapper alone.
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.ubj"
        # The wrapper's own file says that early stopping counts.
        model.save_model(path)
        return Exported(type(model).__name__, ".ubj", path.read_bytes(), _classes(model))


def _lightgbm(model: Any) -> Exported | None:
    booster = model.booster_ if hasattr(model, "booster_") else model
    if type(booster).__name__ != "Booster":
        return None
    hints: dict[str, Any] = dict(_classes(model))
    return Exported(type(model).__name__, ".txt", booster.model_to_string().encode(), hints)


def _catboost(model: Any) -> Exported | None:
    if not hasattr(model, "save_model"):
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.cbm"
        model.save_model(str(path), format="cbm")
        return Exported(type(model).__name__, ".cbm", path.read_bytes(), {})


def _torch(model: Any) -> Exported | None:
    if type(model).__name__ != "ExportedProgram":
        return None
    import torch

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.pt2"
        torch.export.save(model, path)
        return Exported("ExportedProgram", ".pt2", path.read_bytes(), {})


def _classes(model: Any) -> Mapping[str, Any]:
    """The class labels that a wrapper of scikit-learn's kind knows."""
    classes = getattr(model, "classes_", None)
    if classes is None or getattr(classes, "ndim", 1) != 1:
        return {}
    return {"classes": list(getattr(classes, "tolist", lambda: classes)())}


_WRITERS: Final[dict[str, Callable[[Any], Exported | None]]] = {
    "xgboost": _xgboost,
    "lightgbm": _lightgbm,
    "catboost": _catboost,
    "torch": _torch,
}
