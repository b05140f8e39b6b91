"""Golden rows as a Parquet file, and back."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet

from tsavo.formats.tables import arrow_column, read_columns
from tsavo.runtimes.describing import GoldenRows
from tsavo.vocabulary import NUMPY_DTYPES, Damaged, Output, Signature

__all__ = ["read_golden", "write_golden"]

_SIDES = ("expected", "prediction")


def write_golden(golden: GoldenRows, signature: Signature, path: Path) -> int:
    """Write the rows as `vocabulary.Golden` describes; return how many."""
    made: dict[str, Any] = {
        field.name: arrow_column(golden.columns[field.name]) for field in signature.inputs
    }
    for side, answers in zip(_SIDES, (golden.expected, golden.given), strict=True):
        for output in signature.outputs:
            made.update(_columns(side, output, answers[output.name]))
    table = pa.table(made)
    pyarrow.parquet.write_table(table, path, compression="zstd")
    return int(table.num_rows)


def read_golden(path: Path, signature: Signature) -> GoldenRows:
    """Read what `write_golden` wrote.

    Raises
    ------
    Damaged
        When it is not such a file.
    """
    try:
        table = pyarrow.parquet.read_table(path)
        columns = read_columns(table, [field.name for field in signature.inputs])
        for field in signature.inputs:
            columns[field.name] = columns[field.name].astype(NUMPY_DTYPES[field.dtype], copy=False)
        expected, given = (
            {output.name: _array(table, side, output) for output in signature.outputs} for side in _SIDES
        )
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise Damaged(
            "the golden rows cannot be read",
            field="golden",
            found=f"{type(error).__name__}: {error}"[:300],
            expected="the Parquet file that 'tsavo register' wrote",
            next_step="run 'tsavo doctor'",
        ) from error
    return GoldenRows(columns, expected, given)


def _names(side: str, output: Output) -> list[str]:
    if output.width is None:
        return [f"{side}.{output.name}"]
    return [f"{side}.{output.name}.{k}" for k in range(output.width)]


def _columns(side: str, output: Output, values: npt.NDArray[Any]) -> Mapping[str, Any]:
    values = np.asarray(values)
    parts = [values] if output.width is None else [values[:, k] for k in range(output.width)]
    return {
        name: arrow_column(_as_signed(part, output))
        for name, part in zip(_names(side, output), parts, strict=True)
    }


def _as_signed(values: npt.NDArray[Any], output: Output) -> npt.NDArray[Any]:
    """The values in the type that the signature has: a framework may give float32 or fixed-width text."""
    return values.astype(NUMPY_DTYPES[output.dtype])


def _array(table: pa.Table, side: str, output: Output) -> npt.NDArray[Any]:
    names = _names(side, output)
    dtype = NUMPY_DTYPES[output.dtype]
    parts = [values.astype(dtype, copy=False) for values in read_columns(table, names).values()]
    return parts[0] if output.width is None else np.stack(parts, axis=1)
