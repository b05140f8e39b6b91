"""What a case of the matrix is: a model of some framework, fitted on some rows, and what its own library answers."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import numpy.typing as npt
import skops.io

from tests.matrix.data import Rows, rows_of

__all__ = ["Answers", "Case", "Fitted", "as_joblib", "as_skops", "classes", "value"]

Answers = dict[str, npt.NDArray[Any]]
REFERENCE = slice(0, 300)
ASKED = slice(-60, None)
_fitting = threading.Lock()


@dataclass(frozen=True)
class Fitted:
    """A model on its way into Tsavo.

    `source` is a live object or the path of a file; `expected` is what its own library says to the rows `asked`.
    """

    source: Any
    reference: Rows
    asked: Rows
    expected: Answers


@dataclass(frozen=True)
class Case:
    """One line of the table.

    `make` gives the model, fitted on the rows; `ask` gets its answers in the library's own way; `save` writes a file
    where the live object itself is not what is registered.
    """

    framework: str
    model: str
    data: str
    make: Callable[[Rows], Any]
    ask: Callable[[Any, Any], Answers]
    save: Callable[[Any, Path], Path] | None = None
    trust: bool = False
    runtime: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """What pytest calls it."""
        return f"{self.framework}: {self.model} on {self.data}"

    def fit(self, folder: Path) -> Fitted:
        """Fit it, and ask it."""
        rows = rows_of(self.data)
        # Warnings are switched off for the whole process, so one case at a time may do so.
        with _fitting, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            model = self.make(rows)
            asked = rows.like(ASKED)
            expected = self.ask(model, asked.inputs)
            source = model if self.save is None else self.save(model, folder)
        return Fitted(source, rows.like(REFERENCE), asked, expected)


def classes(model: Any, inputs: Any) -> Answers:
    """A classifier as scikit-learn and its like have it."""
    answers = {"label": np.asarray(model.predict(inputs)).ravel()}
    if hasattr(model, "predict_proba"):
        answers["probabilities"] = np.asarray(model.predict_proba(inputs))
    return answers


def value(model: Any, inputs: Any) -> Answers:
    """A regressor as scikit-learn and its like have it."""
    return {"value": np.asarray(model.predict(inputs))}


def as_skops(model: Any, folder: Path) -> Path:
    """The file that needs nobody's trust."""
    path = folder / "model.skops"
    skops.io.dump(model, path)
    return path


def as_joblib(model: Any, folder: Path) -> Path:
    """The file that most people write."""
    path = folder / "model.joblib"
    joblib.dump(model, path)
    return path
