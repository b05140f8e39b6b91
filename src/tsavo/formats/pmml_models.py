"""PMML files. They carry no code: elements are read, and nothing in them is run.

Specification: PMML 4.0 to 4.4 of the Data Mining Group.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from tsavo.formats.originals import Original
from tsavo.formats.pmml import Document, NotPMML, NumpyCalculation, Value, read_document
from tsavo.formats.pmml.documents import DataField
from tsavo.formats.pmml.results import greatest
from tsavo.vocabulary import Columns, DType, Field, Hints, Invalid, SourceFormat, Unreadable

if TYPE_CHECKING:
    from tsavo.formats.compilation import Compiled

__all__ = ["PMMLOriginal", "open_model"]

_TYPES: Final[dict[str, DType]] = {
    "string": "string",
    "integer": "int64",
    "float": "float64",
    "double": "float64",
    "boolean": "bool",
}


def open_model(path: Path, source_format: SourceFormat, hints: Hints) -> PMMLOriginal:
    """Read a PMML file.

    Raises
    ------
    Unreadable
        When it is damaged, or holds an element that is not read here; the element is named.
    """
    try:
        try:
            return PMMLOriginal(read_document(path.read_bytes()), hints)
        except RecursionError:
            raise NotPMML("parts that lie too deep in each other") from None
    except NotPMML as error:
        raise Unreadable(
            f"the {source_format} file cannot be read",
            field="source",
            found=str(error),
            expected="PMML 4.0 to 4.4 with a RegressionModel, TreeModel, MiningModel of these, or Scorecard",
            next_step="export the model to ONNX, or register it in the format of the library that made it",
        ) from error


class PMMLOriginal(Original):
    """A PMML document, computed by numpy."""

    def __init__(self, document: Document, hints: Hints) -> None:
        self.document = document
        self.framework = "pmml 4"
        self.names = [field.name for field in document.inputs]
        self.columns = len(self.names)
        self.declared = tuple(
            Field(field.name, _TYPES[field.data_type], nullable=True) for field in document.inputs
        )
        self.wants_text = any(field.data_type == "string" for field in document.inputs)
        # One row of nothing tells which classes there are, and whether all elements are known.
        blank = {
            field.name: np.array([None], dtype=object) if field.data_type == "string" else np.array([np.nan])
            for field in document.inputs
        }
        result = document.evaluate(NumpyCalculation(), self._values(blank))
        self.order = _order(document, list(result.scores))
        if document.classifies and len(self.order) < 2:
            raise NotPMML("a classification of fewer than two classes")
        self.classes = tuple(document.label(name) for name in self.order) if document.classifies else None
        classified = "binary" if len(self.order) == 2 else "multiclass"
        self.task = (classified if document.classifies else None) or hints.task or "regression"  # type: ignore[assignment]

    def predict(self, fields: Sequence[Field], columns: Columns) -> dict[str, npt.NDArray[Any]]:
        """See `Original.predict`; rows that the file gives no answer for are refused."""
        given = {field.name: np.asarray(columns[field.name]) for field in fields}
        rows = len(next(iter(given.values()))) if given else 0
        for field in self.document.inputs:
            given[field.name] = _checked(field, given[field.name])
        calculation = NumpyCalculation()
        result = self.document.evaluate(calculation, self._values(given))
        if result.value is not None:
            return {"value": _answered(np.broadcast_to(result.value.data, rows).astype(np.float64))}
        names = list(result.scores)
        index = _answered(np.broadcast_to(greatest(calculation, result).data, rows).astype(np.float64))
        shares = np.stack([np.broadcast_to(result.scores[name].data, rows) for name in self.order], axis=1)
        labels = [self.document.label(name) for name in names]
        table: npt.NDArray[Any] = np.array(labels, dtype=object if isinstance(labels[0], str) else None)
        return {"label": table[index.astype(np.int64)], "probabilities": _answered(shares.astype(np.float64))}

    def compile(self, fields: Sequence[Field], *, float32: bool) -> Compiled:
        """See `Original.compile`."""
        from tsavo.formats.compilation import compile_graph
        from tsavo.formats.pmml_graphs import pmml_answers

        return compile_graph(
            lambda graph, table: pmml_answers(graph, self, table, fields), fields, float32=float32
        )

    def _values(self, columns: dict[str, npt.NDArray[Any]]) -> dict[str, Value]:
        return {
            field.name: Value("text", columns[field.name])
            if field.data_type == "string"
            else Value("number", columns[field.name].astype(np.float64))
            for field in self.document.inputs
        }


def _order(document: Document, found: list[str]) -> list[str]:
    """The classes in the order in which the file declares them."""
    declared = list(document.target.values) if document.target is not None else []
    return declared if sorted(declared) == sorted(found) else found


def _checked(field: DataField, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A column whose values are all valid; what is not is refused or taken for missing, as the file says."""
    if field.data_type != "string" or not field.values or field.invalid == "asIs":
        return values
    valid = {*field.values, None}
    wrong = [value for value in values.tolist() if value not in valid]
    if not wrong:
        return values
    if field.invalid == "asMissing":
        made = np.empty(len(values), dtype=object)
        made[:] = [value if value in valid else None for value in values.tolist()]
        return made
    raise Invalid(
        "a value that the PMML file does not allow",
        field=field.name,
        found=wrong[0],
        expected=f"one of {', '.join(field.values[:20])}",
    )


def _answered(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    if np.isnan(values).any():
        raise ValueError("the file gives no answer for a row, perhaps because a value is missing")
    return values
