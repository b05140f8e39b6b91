"""MLflow's own descriptions of inputs, as typed columns: the signature in ``MLmodel``, and the input example.

A column-based signature is taken as it is: ``integer`` and ``float`` are 32 bits wide, ``long`` and ``double`` 64;
what is not required may be missing. MLflow lets an optional integer be missing, which Tsavo knows of floats and text
alone, so such a column is declared as float. Times are declared as text (ISO 8601). A tensor [-1, k] becomes k columns.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np

from tsavo.vocabulary import DType, Field, Invalid, Refused

__all__ = ["Declared", "Kind", "read_example", "read_inputs"]

_MAX_COLUMNS: Final = 10_000
_TYPES: Final[dict[str, DType]] = {
    "boolean": "bool",
    "integer": "int32",
    "long": "int64",
    "float": "float32",
    "double": "float64",
    "string": "string",
    "datetime": "string",
}
_TENSORS: Final[dict[str, DType]] = {
    "float64": "float64",
    "float32": "float32",
    "int64": "int64",
    "int32": "int32",
    "bool": "bool",
    "object": "string",
    "str": "string",
}


class _Shape(msgspec.Struct, frozen=True):
    dtype: str
    shape: tuple[int, ...]


class _Column(msgspec.Struct, frozen=True, rename={"tensor": "tensor-spec"}):
    type: str | dict[str, Any]
    name: str | int | None = None
    required: bool = True
    tensor: _Shape | None = None


class Kind(msgspec.Struct, frozen=True):
    """How MLflow wants a column, where the field alone does not say it.

    Attributes
    ----------
    type
        Its word for the type.
    tensor
        The tensor that the column is a part of; ``""`` for one without a name.
    """

    type: str
    tensor: str | None = None
    shape: tuple[int, ...] = ()


class Declared(msgspec.Struct, frozen=True):
    """The inputs of a signature, column by column, and how MLflow wants each."""

    fields: tuple[Field, ...]
    kinds: tuple[Kind, ...]

    @property
    def tensors(self) -> bool:
        """Whether it wants arrays rather than a table."""
        return any(kind.tensor is not None for kind in self.kinds)

    @property
    def times(self) -> bool:
        """Whether there are times among the columns."""
        return any(kind.type == "datetime" for kind in self.kinds)


def read_inputs(text: str) -> Declared:
    """The inputs that a signature declares, from its JSON.

    Raises
    ------
    Invalid
        When it is no signature, or declares a column twice.
    Refused
        For columns that are no numbers, booleans, text or times, and tensors that are no tables; naming them.
    """
    try:
        columns = msgspec.json.decode(text, type=tuple[_Column, ...])
    except msgspec.MsgspecError as error:
        raise Invalid(f"the signature in MLmodel cannot be read: {error}", field="signature") from error
    fields: list[Field] = []
    kinds: list[Kind] = []
    for at, column in enumerate(columns):
        for field, kind in _tensor(column) if column.tensor is not None else [_plain(column, at)]:
            fields.append(field)
            kinds.append(kind)
    names = [field.name for field in fields]
    if len(set(names)) != len(names) or not names or len(names) > _MAX_COLUMNS:
        raise Invalid(
            "the signature in MLmodel does not name its columns once each",
            field="signature",
            found=names[:50],
            expected=f"1 to {_MAX_COLUMNS} columns with names of their own",
        )
    return Declared(tuple(fields), tuple(kinds))


def _plain(column: _Column, at: int) -> tuple[Field, Kind]:
    name = f"x{at}" if column.name is None else str(column.name)
    dtype = _TYPES.get(column.type) if isinstance(column.type, str) else None
    if dtype is None:
        raise Refused(
            "the model takes a column that is no number, boolean, text or time",
            field=f"signature.{name}",
            found=column.type,
            expected=f"one of {sorted(_TYPES)}",
            next_step="wrap the model in one that takes plain columns",
        )
    nullable = not column.required
    if nullable and dtype in {"int32", "int64", "bool"}:
        dtype = "float64"
    return Field(name, dtype, nullable and dtype != "bool"), Kind(str(column.type))


def _tensor(column: _Column) -> list[tuple[Field, Kind]]:
    tensor = column.tensor
    assert tensor is not None  # noqa: S101 -- asked by who calls
    name = "" if column.name is None else str(column.name)
    dtype = _TENSORS.get(tensor.dtype)
    rows, *rest = tensor.shape or (0,)
    if dtype is None or rows != -1 or len(rest) > 1 or (rest and not 1 <= rest[0] <= _MAX_COLUMNS):
        raise Refused(
            "the model takes a tensor that is no table",
            field=f"signature.{name or 'inputs'}",
            found=f"{tensor.dtype} of shape {list(tensor.shape)}",
            expected=f"shape [-1] or [-1, columns] of one of {sorted(_TENSORS)}",
            next_step="wrap the model in one that takes plain columns",
        )
    kind = Kind(tensor.dtype, name, tensor.shape)
    if not rest:
        return [(Field(name or "x0", dtype), kind)]
    called = [f"{name or 'x'}{at}" for at in range(rest[0])] if rest[0] > 1 or not name else [name]
    return [(Field(one, dtype), kind) for one in called]


def read_example(path: Path, kind: str, orient: str | None, names: list[str] | None) -> Any:
    """The rows of an input example as an Arrow table, or ``None`` when they are no table of plain columns.

    Parameters
    ----------
    kind, orient
        What MLmodel says of it: ``dataframe`` in ``split`` or ``records``, or ``ndarray``.
    names
        The signature's columns, for examples that name none.
    """
    import pyarrow as pa

    try:
        told = msgspec.json.decode(path.read_bytes())
        if kind == "dataframe" and orient == "split":
            made = _from_rows(told["data"], [str(name) for name in told["columns"]])
        elif kind == "dataframe":
            made = pa.Table.from_pylist(told)
        elif isinstance(told, list):
            matrix = np.asarray(told)
            rows = matrix.reshape(len(matrix), -1).tolist()
            made = _from_rows(rows, names or [f"x{at}" for at in range(len(rows[0]))])
        else:
            return None
    except (msgspec.MsgspecError, pa.ArrowException, KeyError, TypeError, ValueError, IndexError):
        return None
    return made if made.num_rows and (names is None or set(names) <= set(made.column_names)) else None


def _from_rows(rows: list[list[Any]], names: list[str]) -> Any:
    import pyarrow as pa

    return pa.table({name: pa.array([row[at] for row in rows]) for at, name in enumerate(names)})
