"""What the tests of boosting libraries share: rows on the edges of a model, and its answers against the library's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tsavo.formats.originals import Original
from tsavo.formats.tables import batch_of
from tsavo.runtimes import OnnxRuntime
from tsavo.vocabulary import Columns, Field, Output, Signature

__all__ = ["agree", "columns_of", "fields_of", "with_edges"]


def fields_of(original: Original, text: frozenset[str] = frozenset()) -> tuple[Field, ...]:
    names = original.names or [f"x{at}" for at in range(original.columns or 0)]
    return tuple(Field(name, "string" if name in text else "float64", nullable=True) for name in names)


def columns_of(fields: tuple[Field, ...], matrix: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
    return {field.name: np.ascontiguousarray(matrix[:, at], float) for at, field in enumerate(fields)}


def with_edges(original: Original, columns: Columns, *, missing: bool = True) -> dict[str, npt.NDArray[Any]]:
    """The rows, and beside them rows on the model's thresholds and next to them in float32 and float64."""
    random = np.random.default_rng(0)
    rows = len(next(iter(columns.values())))
    pieces = [dict(columns)]
    for name, thresholds in original.edges().items():
        for threshold in thresholds[:6]:
            near32 = [np.nextafter(np.float32(threshold), np.float32(to)) for to in (-np.inf, np.inf)]
            near64 = [np.nextafter(threshold, to) for to in (-np.inf, np.inf)]
            values = [threshold, *near32, *near64, 0.0, 1e-36, 1e30, -1e30, *([np.nan] if missing else [])]
            for value in values:
                at = random.integers(rows)
                row = {other: kept[[at]].copy() for other, kept in columns.items()}
                row[name] = np.array([float(value)])
                pieces.append(row)
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in columns}


def agree(
    original: Original,
    fields: tuple[Field, ...],
    columns: Columns,
    folder: Path,
    *,
    tolerance: float,
) -> dict[str, npt.NDArray[Any]]:
    """Compile, ask both, hold them to the tolerance; what the original says."""
    expected = original.predict(fields, columns)
    compiled = original.compile(fields, float32=False)
    path = folder / "model.onnx"
    path.write_bytes(compiled.model.SerializeToString())
    outputs = tuple(Output(answer.name, answer.dtype, answer.width) for answer in compiled.answers)
    signature = Signature(fields, outputs, original.task, original.classes)
    given = OnnxRuntime(path, signature).predict(batch_of(signature, columns))
    assert set(expected) == {output.name for output in outputs}
    for output, values in zip(outputs, given, strict=True):
        if output.name == "label":
            np.testing.assert_array_equal(values, expected["label"])
        else:
            np.testing.assert_allclose(values, expected[output.name], rtol=tolerance, atol=tolerance)
    return expected
