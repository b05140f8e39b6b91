"""The original model, asked in its own way: a table in, outputs by name out.

What a model is made with decides which subclass speaks to it (`opening`). Every subclass is used in two places: in the
worker that prepares a version, and in the Python worker that serves a version which cannot be compiled, there perhaps
beside other libraries than ours. So these modules import the standard library, numpy, msgspec and the vocabulary when
they are imported, and a model's own library only inside their functions.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from tsavo.vocabulary import Columns, DType, Field, Invalid, Output, Task

if TYPE_CHECKING:
    from tsavo.formats.compilation import Compiled

__all__ = [
    "NEVER_SEEN",
    "CannotCompile",
    "Original",
    "as_frame",
    "as_matrix",
    "described_output",
    "unlike_a_model",
]

NEVER_SEEN: Final = "tsavo: a category that was never seen"

_OUTPUT_KINDS: Final[dict[str, DType]] = {
    "b": "bool",
    "i": "int64",
    "u": "int64",
    "f": "float64",
    "U": "string",
    "O": "string",
}


class CannotCompile(Exception):
    """No road from this model to ONNX is known; the message says why, to a person."""


class Original(ABC):
    """A model in its own framework.

    Attributes
    ----------
    framework
        What it was made with, such as ``xgboost 3.2.0``.
    names
        Its input columns in order, when it knows them.
    columns
        How many input columns it has, when it knows.
    task, classes
        What it is for, and for classifiers the class labels in the order of the probabilities.
    declared
        The inputs as the file itself declares them, with their types; ``None`` when it does not.
    wants_text
        Whether a part of it was fitted on text.
    uncompiled
        Why such models are not compiled, for those of which none is.
    reach
        The magnitude of an input up to which its own arithmetic holds, and is compared.
    """

    framework: str
    names: list[str] | None = None
    columns: int | None = None
    task: Task = "generic"
    classes: tuple[str | int | bool | float, ...] | None = None
    declared: tuple[Field, ...] | None = None
    wants_text: bool = False
    uncompiled: str = "models of this kind have no compiled form"
    reach: float = 1e38

    @abstractmethod
    def predict(self, fields: Sequence[Field], columns: Columns) -> dict[str, npt.NDArray[Any]]:
        """Its outputs by public name, each [n] or [n, k]; whatever the library raises comes through.

        Parameters
        ----------
        fields
            The columns in the model's order.
        columns
            Name -> [n] of float64, int64 or bool, or of object for text, with ``None`` for what is missing.
        """

    def compile(self, fields: Sequence[Field], *, float32: bool) -> Compiled:
        """The model as an ONNX graph that takes the columns `fields`.

        Parameters
        ----------
        float32
            Let parts that converters of others make compute in float32.

        Raises
        ------
        CannotCompile
            When there is no road to ONNX; the message says why, to a person.
        """
        raise CannotCompile(self.uncompiled)

    def edges(self) -> dict[str, list[float]]:
        """Column -> values at which the model switches, such as the thresholds of trees; empty when unknown.

        Columns go by `names`, and by ``x0``, ``x1`` and so on for a model that knows no names.
        """
        return {}

    def accepts(self, fields: Sequence[Field], columns: Columns) -> bool:
        """Whether it predicts these rows without an error."""
        try:
            self.predict(fields, columns)
        except MemoryError:
            raise
        except Exception:  # a model says no in any way it likes
            return False
        return True

    def takes(
        self, fields: Sequence[Field], columns: Columns, positions: Sequence[int], value: Any
    ) -> set[int]:
        """Which of the columns `positions` it accepts with `value` in them, one column at a time.

        All are tried in one call first, each in a row of its own, and halved until the culprits are found.
        """
        if not positions:
            return set()
        row = np.zeros(len(positions), np.int64)
        probe = {name: values[row] for name, values in columns.items()}
        for at, position in enumerate(positions):
            field = fields[position]
            kept = probe[field.name].astype(object if field.dtype == "string" else np.float64)
            kept[at] = value
            probe[field.name] = kept
        if self.accepts(fields, probe):
            return set(positions)
        if len(positions) == 1:
            return set()
        half = len(positions) // 2
        return self.takes(fields, columns, positions[:half], value) | self.takes(
            fields, columns, positions[half:], value
        )


def as_frame(
    fields: Sequence[Field], columns: Columns, names: Sequence[str] | None = None, *, hole: Any = np.nan
) -> Any:
    """The columns as a pandas DataFrame under `names`; `hole` stands for missing text."""
    import pandas

    arrays = [_with_hole(np.asarray(columns[field.name]), hole) for field in fields]
    called = list(names) if names is not None else [field.name for field in fields]
    # pandas 3 makes text of objects by itself, and NaN of the hole.
    made = [pandas.Series(array, dtype=object) if array.dtype == object else array for array in arrays]
    return pandas.DataFrame(dict(zip(called, made, strict=True)))


def as_matrix(fields: Sequence[Field], columns: Columns, *, hole: Any = np.nan) -> npt.NDArray[Any]:
    """The columns as one array [n, columns]; of object when there is text among them."""
    arrays = [_with_hole(np.asarray(columns[field.name]), hole) for field in fields]
    if any(field.dtype == "string" for field in fields):
        table = np.empty((len(arrays[0]), len(arrays)), dtype=object)
        for at, array in enumerate(arrays):
            table[:, at] = array
        return table
    return np.stack(arrays, axis=1) if arrays else np.empty((0, 0))


def _with_hole(values: npt.NDArray[Any], hole: Any) -> npt.NDArray[Any]:
    if values.dtype != object:
        return values
    given = np.empty(len(values), dtype=object)
    given[:] = [hole if value is None else value for value in values.tolist()]
    return given


def described_output(name: str, values: npt.NDArray[Any]) -> Output:
    """An output as a signature tells of it.

    Raises
    ------
    Invalid
        When it is not [n] or [n, k] of numbers, booleans or text.
    """
    kind = _OUTPUT_KINDS.get(values.dtype.kind)
    if kind is None or values.ndim not in {1, 2}:
        raise Invalid(
            "the model gives something that is no table",
            field=f"outputs.{name}",
            found=f"{values.dtype} of shape {list(values.shape)}",
            expected="[rows] or [rows, width] of numbers, booleans or text",
        )
    return Output(name, kind, None if values.ndim == 1 else values.shape[1])


def unlike_a_model(model: object, expected: str) -> Invalid:
    """What to say when a file holds something that cannot predict."""
    return Invalid(
        "the file holds no model",
        field="source",
        found=f"{type(model).__module__}.{type(model).__qualname__}",
        expected=expected,
    )
