"""Inside the worker: the rows a model is compared on, from a file or made up."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tsavo.formats.tables import holes, read_columns, read_table, without_target
from tsavo.vocabulary import NUMPY_DTYPES, DType, Field, Invalid

__all__ = ["ReferenceRows", "declared_rows", "generated_rows", "read_declared", "read_reference"]

_GENERATED: Final = 1_000


class ReferenceRows(msgspec.Struct, frozen=True):
    """Rows in the model's column order.

    Attributes
    ----------
    target
        Name and values of what really happened.
    generated
        Whether they were made up because none were given.
    """

    columns: dict[str, npt.NDArray[Any]]
    target: tuple[str, pa.ChunkedArray] | None = None
    generated: bool = False

    @property
    def rows(self) -> int:
        """How many."""
        return len(next(iter(self.columns.values())))


def read_reference(
    path: Path, target: str | None, names: Sequence[str] | None, width: int | None
) -> ReferenceRows:
    """Read a reference file for a model that wants the columns `names`, or `width` columns in the file's order.

    Raises
    ------
    Invalid
        Listing the columns that are missing.
    """
    table = read_table(path)
    given, outcome = without_target(table, target)
    if names is None:
        if width is not None and len(given) != width:
            raise Invalid(
                "the reference data has another number of columns than the model",
                field="reference",
                found=given[:50],
                expected=f"{width} columns beside the target"
                + ("" if target is not None else "; no target was named"),
                next_step="name the column that holds the outcome with --target, and leave out what is no input",
            )
        names = given
    missing = [name for name in names if name not in given]
    if missing:
        # LightGBM writes an underscore for each space in a name.
        spelled = {"_".join(name.split()): name for name in given}
        if all(name in spelled for name in names):
            names, missing = [spelled[name] for name in names], []
    if missing:
        raise Invalid(
            f"the reference data lacks columns of the model: {', '.join(missing[:20])}",
            field="reference",
            found=given[:50],
            expected=f"the columns {list(names)[:50]}",
            next_step="add the columns to the reference data, under the names that the model was fitted with",
        )
    if not names:
        raise Invalid("the model has no input columns", field="reference", found=given[:50])
    return ReferenceRows(read_columns(table, names), outcome)


def generated_rows(names: Sequence[str], dtypes: Sequence[DType]) -> ReferenceRows:
    """The same made-up rows every time: numbers around zero at four scales, small integers, a few words."""
    random = np.random.default_rng(0)
    scales = np.array([0.1, 1.0, 10.0, 1000.0])[np.arange(_GENERATED) % 4]
    columns: dict[str, npt.NDArray[Any]] = {}
    for name, dtype in zip(names, dtypes, strict=True):
        values = random.normal(size=_GENERATED) * scales
        if dtype == "string":
            columns[name] = np.array([f"text {int(value)}" for value in np.abs(values)], dtype=object)
        elif dtype == "bool":
            columns[name] = values > 0
        else:
            columns[name] = values.astype(NUMPY_DTYPES[dtype])
    return ReferenceRows(columns, generated=True)


def read_declared(path: Path, target: str | None, fields: Sequence[Field]) -> ReferenceRows:
    """Read a reference file for a model that declares its columns, and give each the type that is declared.

    Raises
    ------
    Invalid
        Naming the column that does not fit.
    """
    reference = read_reference(path, target, [field.name for field in fields], None)
    columns = {field.name: as_declared(field, reference.columns[field.name]) for field in fields}
    return msgspec.structs.replace(reference, columns=columns)


def as_declared(field: Field, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The column in its declared type; raise `Invalid` when it does not fit."""
    text = values.dtype == object
    gaps = bool(holes(values).any())
    if field.dtype == "string" and not text and gaps and np.isnan(values.astype(np.float64)).all():
        return np.full(len(values), None, dtype=object)
    if text != (field.dtype == "string") or (gaps and field.dtype not in {"float64", "float32", "string"}):
        raise Invalid(
            "a reference column does not fit the model's input",
            field=f"reference.{field.name}",
            found="text" if text else f"{values.dtype}" + (" with missing values" if gaps else ""),
            expected=field.dtype,
        )
    return values.astype(NUMPY_DTYPES[field.dtype])


def declared_rows(fields: Sequence[Field]) -> ReferenceRows:
    """Made-up rows for declared columns: as `generated_rows`, within the categories and ranges that are declared."""
    made = generated_rows([field.name for field in fields], [field.dtype for field in fields])
    columns = dict(made.columns)
    for field in fields:
        at = np.arange(made.rows)
        if field.categories:
            known = np.array(field.categories, dtype=object)
            columns[field.name] = known[at * 7919 % len(known)]
        elif field.low is not None and field.high is not None and field.dtype != "bool":
            share = np.random.default_rng(len(field.name)).random(made.rows)
            values = field.low + (field.high - field.low) * share
            columns[field.name] = values.astype(NUMPY_DTYPES[field.dtype])
    return ReferenceRows(columns, generated=True)
