"""Rows of any make as the typed columns that the model was checked with, and the refusals that go with them."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

__all__ = ["Refusal", "as_columns", "flat_names", "flattened", "read_description"]

_DTYPES: Final[dict[str, Any]] = {
    "float64": np.float64,
    "float32": np.float32,
    "int64": np.int64,
    "int32": np.int32,
    "bool": np.bool_,
    "string": object,
}
# The largest integer below which every integer has a float64 of its own.
_EXACT: Final = 2**53


class Refusal(ValueError):
    """Rows that the model does not take; the message names the column and the row."""


def read_description(folder: Path) -> dict[str, Any]:
    """What ``model.json`` says about the version: its signature, and how its source is opened."""
    description: dict[str, Any] = json.loads((folder / "model.json").read_text("utf-8"))
    return description


def as_columns(signature: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, npt.NDArray[Any]]:
    """The signature's columns, each [n] of its own type; columns that are no input are left out.

    Raises
    ------
    Refusal
        When a column is missing, a value has another type, or the model does not take it.
    """
    fields = signature["inputs"]
    missing = [field["name"] for field in fields if field["name"] not in given]
    if missing:
        raise Refusal(f"columns are missing: {', '.join(missing[:10])}; found {sorted(given)[:20]}")
    columns = {field["name"]: _column(field, list(given[field["name"]])) for field in fields}
    if len({len(values) for values in columns.values()}) > 1:
        raise Refusal("the columns do not have the same number of rows")
    return columns


def _column(field: Mapping[str, Any], values: list[Any]) -> npt.NDArray[Any]:
    plain = [None if _is_missing(value) else value for value in values]
    if not field.get("nullable", False) and None in plain:
        raise _refusal(field, plain.index(None), None, "a value, for it takes no missing ones")
    if field["dtype"] == "string":
        return _strings(field, plain)
    return _numbers(field, plain)


def _is_missing(value: Any) -> bool:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return True
    # pandas has missing values of its own.
    return type(value).__name__ in ("NAType", "NaTType")


def _strings(field: Mapping[str, Any], values: list[Any]) -> npt.NDArray[Any]:
    known = set(field.get("categories") or ())
    closed = bool(known) and field.get("unseen") == "refuse"
    for row, value in enumerate(values):
        if value is None:
            continue
        if not isinstance(value, str):
            raise _refusal(field, row, value, "a string")
        if closed and value not in known:
            raise _refusal(field, row, value, f"one of {sorted(known)[:20]}, for it fails on others")
    column = np.empty(len(values), dtype=object)
    # As str, for numpy's own strings are another type.
    column[:] = [None if value is None else str(value) for value in values]
    return column


def _numbers(field: Mapping[str, Any], values: list[Any]) -> npt.NDArray[Any]:
    dtype = field["dtype"]
    for row, value in enumerate(values):
        if value is not None and not _fits(dtype, value):
            raise _refusal(field, row, value, _SAID[dtype])
    filled = [math.nan if value is None else value for value in values]
    return np.array(filled, dtype=_DTYPES[dtype])


def _fits(dtype: str, value: Any) -> bool:
    truth = isinstance(value, bool | np.bool_)
    if dtype == "bool" or truth:
        return dtype == "bool" and truth
    if not isinstance(value, int | float | np.integer | np.floating):
        return False
    if dtype in ("int64", "int32"):
        whole = isinstance(value, int | np.integer) or (
            float(value).is_integer() and abs(float(value)) <= _EXACT
        )
        limits = np.iinfo(_DTYPES[dtype])
        return whole and int(limits.min) <= int(value) <= int(limits.max)
    return math.isfinite(value)


_SAID: Final = {
    "float64": "a finite number",
    "float32": "a finite number",
    "int64": "a whole number",
    "int32": "a whole number of at most 32 bits",
    "bool": "true or false",
}


def _refusal(field: Mapping[str, Any], row: int, value: Any, expected: str) -> Refusal:
    return Refusal(f"column '{field['name']}', row {row}: found {value!r}, expected {expected}")


def flat_names(output: Mapping[str, Any]) -> list[str]:
    """An output's columns in a table: its name, or its name with the position for a wide one."""
    width = output.get("width")
    return [output["name"]] if width is None else [f"{output['name']}.{k}" for k in range(width)]


def flattened(
    signature: Mapping[str, Any], outputs: Mapping[str, npt.NDArray[Any]]
) -> dict[str, npt.NDArray[Any]]:
    """Outputs as columns of a table, each [n] in the signature's type."""
    flat: dict[str, npt.NDArray[Any]] = {}
    for output in signature["outputs"]:
        values = np.asarray(outputs[output["name"]]).astype(_DTYPES[output["dtype"]], copy=False)
        parts = [values] if values.ndim == 1 else list(values.T)
        flat.update(zip(flat_names(output), parts, strict=True))
    return flat
