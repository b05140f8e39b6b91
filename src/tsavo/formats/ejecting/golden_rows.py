"""Golden rows as JSON, so that they can be checked without a reader of Parquet."""

from __future__ import annotations

import math
from typing import Any, Final

import msgspec
import pyarrow as pa

from tsavo.vocabulary import Signature

__all__ = ["CHECK_TOLERANCE", "golden_json", "input_example"]

CHECK_TOLERANCE: Final = 1e-5
"""As in `runtimes.agreement`: so much, plus this share of the stored value."""

_EXAMPLE_ROWS: Final = 5


def golden_json(signature: Signature, golden: pa.Table) -> bytes:
    """``inputs``, ``prediction`` and ``expected``, each column name -> values.

    A missing input is null. A number that is not finite, for which JSON has no words, is ``{"number": "nan"}``.
    """
    outputs = [
        name
        for output in signature.outputs
        for name in ([output.name] if output.width is None else _numbered(output.name, output.width))
    ]
    floats = {output.name for output in signature.outputs if output.dtype.startswith("float")}
    told: dict[str, Any] = {
        "tolerance": CHECK_TOLERANCE,
        "inputs": {field.name: golden.column(field.name).to_pylist() for field in signature.inputs},
    }
    for side in ("prediction", "expected"):
        told[side] = {
            name: [
                _number(value, number=name.partition(".")[0] in floats or name in floats)
                for value in golden.column(f"{side}.{name}").to_pylist()
            ]
            for name in outputs
        }
    return msgspec.json.encode(told, order="deterministic") + b"\n"


def _numbered(name: str, width: int) -> list[str]:
    return [f"{name}.{k}" for k in range(width)]


def _number(value: Any, *, number: bool) -> Any:
    if value is None and number:
        return {"number": "nan"}
    if isinstance(value, float) and not math.isfinite(value):
        return {"number": str(value)}
    return value


def input_example(signature: Signature, golden: pa.Table) -> bytes:
    """The first golden rows as MLflow keeps an input example: a frame in split orientation."""
    names = [field.name for field in signature.inputs]
    few = golden.select(names).slice(0, _EXAMPLE_ROWS)
    rows = [list(row) for row in zip(*(column.to_pylist() for column in few.columns), strict=True)]
    return msgspec.json.encode({"columns": names, "data": rows}) + b"\n"
