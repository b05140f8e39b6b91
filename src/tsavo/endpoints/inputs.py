"""Reads what a caller sent into a validated batch, whatever protocol it came by.

A door hands over named tensors (flat Python lists or arrays); the reader knows the version's signature and
returns arrays of exactly the types the model was checked with, or an error that names the column and the row.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from tsavo.vocabulary import NUMPY_DTYPES, Batch, DType, Field, Invalid, Signature, TooLarge

__all__ = ["InputReader", "InputTensor"]

_NUMBERS: Final = "iuf"
_USUAL_NAME: Final = "input"
# The largest integer below which every integer has a float64 of its own.
_EXACT: Final = 2**53


class InputTensor(msgspec.Struct, frozen=True, gc=False):
    """A tensor as a caller sent it.

    Attributes
    ----------
    shape
        [rows], [rows, 1] or [rows, columns].
    data
        A flat or nested list of JSON values, or an array.
    """

    name: str
    shape: tuple[int, ...]
    data: list[Any] | npt.NDArray[Any]


class InputReader:
    """Turns tensors into a `Batch` for one signature.

    Parameters
    ----------
    signature
        The typed inputs of the version that will score the batch.
    max_rows
        More rows than this in one request are refused.
    """

    def __init__(self, signature: Signature, *, max_rows: int) -> None:
        self._fields = signature.inputs
        self._names = {field.name: position for position, field in enumerate(signature.inputs)}
        self._matrix_dtype = signature.matrix_dtype
        # All columns of a matrix share one type; the name is for error messages only.
        self._whole = msgspec.structs.replace(signature.inputs[0], name=_USUAL_NAME, nullable=True)
        self.max_rows = max_rows
        kinds = {field.dtype == "string" for field in signature.inputs}
        self._text_beside_others = len(kinds) > 1
        self._closed = [
            (position, field, frozenset(field.categories))
            for position, field in enumerate(signature.inputs)
            if field.categories is not None
        ]

    def read(self, tensors: Sequence[InputTensor]) -> tuple[Batch, dict[int, list[str]]]:
        """The batch, and for single rows the flags that apply to them.

        Raises
        ------
        Invalid
            Naming the column at fault: missing, unknown, of the wrong type or shape, with a missing value that
            the model does not take, or with a category that it has never seen and fails on.
        TooLarge
            For more rows than allowed.
        """
        if len(tensors) == 1 and (len(self._fields) > 1 or tensors[0].name not in self._names):
            return self._read_matrix(tensors[0])
        return self._read_columns(tensors)

    def _read_matrix(self, tensor: InputTensor) -> tuple[Batch, dict[int, list[str]]]:
        width = len(self._fields)
        if len(tensor.shape) != 2 or tensor.shape[1] != width:
            raise self._not_the_columns(tensor)
        rows = self._check_rows(tensor.shape[0], tensor.name)
        if self._text_beside_others:
            raise Invalid(
                "a matrix cannot carry strings beside other columns",
                field=f"inputs.{tensor.name}",
                found=f"one tensor of shape {list(tensor.shape)}",
                expected=f"one tensor for each of {list(self._names)}",
            )
        values = _flat(tensor, rows * width)
        if self._matrix_dtype is None:
            cells = values.tolist() if isinstance(values, np.ndarray) else values
            columns = [
                self._column(field, cells[position::width]) for position, field in enumerate(self._fields)
            ]
            for field, column in zip(self._fields, columns, strict=True):
                _check_missing(field, column)
            return Batch(rows, None, tuple(columns)), self._unseen(columns)
        whole = self._whole
        if tensor.name != whole.name:
            whole = msgspec.structs.replace(whole, name=tensor.name)
        matrix = np.ascontiguousarray(self._column(whole, values).reshape(rows, width))
        if matrix.dtype.kind == "f" and not _all_finite(matrix):
            for position, field in enumerate(self._fields):
                _check_missing(field, matrix[:, position])
        return Batch(rows, matrix), {}

    def _read_columns(self, tensors: Sequence[InputTensor]) -> tuple[Batch, dict[int, list[str]]]:
        given = {tensor.name: tensor for tensor in tensors}
        if (
            len(given) != len(self._fields)
            or len(tensors) != len(given)
            or given.keys() != self._names.keys()
        ):
            self._check_names(tensors, given)
        rows = self._check_rows(_rows_of(tensors[0]), tensors[0].name)
        columns = []
        for field in self._fields:
            tensor = given[field.name]
            if _rows_of(tensor) != rows:
                raise Invalid(
                    "all columns must have the same number of rows",
                    field=f"inputs.{field.name}",
                    found=f"shape {list(tensor.shape)}",
                    expected=f"[{rows}], as '{tensors[0].name}' has",
                )
            column = self._column(field, _flat(tensor, rows))
            _check_missing(field, column)
            columns.append(column)
        flags = self._unseen(columns)
        if self._matrix_dtype is not None:
            return Batch(rows, np.ascontiguousarray(np.stack(columns, axis=1))), flags
        return Batch(rows, None, tuple(columns)), flags

    def _check_rows(self, rows: int, name: str) -> int:
        if rows < 1:
            raise Invalid(
                "the batch is empty",
                field=f"inputs.{name}",
                found=f"{rows} rows",
                expected="at least one row",
            )
        if rows > self.max_rows:
            raise TooLarge(
                "too many rows in one request",
                field=f"inputs.{name}",
                found=rows,
                expected=f"at most {self.max_rows}",
                next_step="send them in several requests",
            )
        return rows

    def _check_names(self, tensors: Sequence[InputTensor], given: Mapping[str, InputTensor]) -> None:
        if not tensors:
            raise Invalid(
                "there are no inputs",
                field="inputs",
                found=[],
                expected=f"one tensor for each of {list(self._names)}",
            )
        missing = [name for name in self._names if name not in given]
        if missing:
            raise Invalid(
                f"{'a column is' if len(missing) == 1 else 'columns are'} missing: {', '.join(missing[:10])}",
                field=f"inputs.{missing[0]}",
                found=sorted(given)[:20],
                expected=f"a tensor for each of {list(self._names)}",
            )
        unknown = [tensor.name for tensor in tensors if tensor.name not in self._names]
        if unknown:
            raise Invalid(
                f"this model has no column '{unknown[0]}'",
                field=f"inputs.{unknown[0]}",
                found=unknown[0],
                expected=f"only {list(self._names)}",
            )
        twice = next(
            tensor.name for at, tensor in enumerate(tensors) if tensor is not given[tensor.name] or at < 0
        )
        raise Invalid(
            "a column is given twice", field=f"inputs.{twice}", found=twice, expected="each column once"
        )

    def _not_the_columns(self, tensor: InputTensor) -> Invalid:
        width = len(self._fields)
        if tensor.name in self._names:
            missing = [name for name in self._names if name != tensor.name]
            return Invalid(
                f"columns are missing: {', '.join(missing[:10])}",
                field=f"inputs.{missing[0]}",
                found=[tensor.name],
                expected=f"a tensor for each of {list(self._names)}, or one matrix [rows, {width}]",
            )
        return Invalid(
            "neither the model's columns nor a matrix of them",
            field=f"inputs.{tensor.name}",
            found=f"shape {list(tensor.shape)}",
            expected=f"[rows, {width}] in the order {list(self._names)}, or one tensor for each column",
        )

    def _column(self, field: Field, values: list[Any] | npt.NDArray[Any]) -> npt.NDArray[Any]:
        if field.dtype == "string":
            return _strings(field, values)
        try:
            array = values if isinstance(values, np.ndarray) else np.array(values)
        except (ValueError, OverflowError):  # lists of unlike lengths among the values
            array = _numbers_with_missing(field, values)
        if array.dtype.kind not in _NUMBERS + "b" or array.ndim != 1:
            array = _numbers_with_missing(field, values)
        return _cast(field, array)

    def _unseen(self, columns: Sequence[npt.NDArray[Any]]) -> dict[int, list[str]]:
        flags: dict[int, list[str]] = {}
        for position, field, known in self._closed:
            for row, value in enumerate(columns[position]):
                if value is None or value in known:
                    continue
                if field.unseen == "refuse":
                    raise Invalid(
                        "a category that this model has never seen and cannot score",
                        field=f"inputs.{field.name}[{row}]",
                        found=value,
                        expected=f"one of {sorted(known)[:20]}",
                    )
                flags.setdefault(row, []).append(f"unseen:{field.name}")
        return flags


def _rows_of(tensor: InputTensor) -> int:
    shape = tensor.shape
    if len(shape) == 1 or (len(shape) == 2 and shape[1] == 1):
        return shape[0]
    raise Invalid(
        "not the shape of a column",
        field=f"inputs.{tensor.name}.shape",
        found=list(shape),
        expected="[rows] or [rows, 1]",
    )


def _flat(tensor: InputTensor, expected: int) -> list[Any] | npt.NDArray[Any]:
    data = tensor.data
    if isinstance(data, np.ndarray):
        return data.reshape(-1)
    if data and isinstance(data[0], list):
        flat: list[Any] = []
        width = expected // len(data)
        # Columns where rows should be would give as many values, at wrong places.
        alike = len(data) == tensor.shape[0]
        for row in data:
            if not alike or not isinstance(row, list) or len(row) != width:
                raise _ragged(tensor, expected)
            flat.extend(row)
        data = flat
    if len(data) != expected:
        raise _ragged(tensor, expected)
    return data


def _ragged(tensor: InputTensor, expected: int) -> Invalid:
    return Invalid(
        "the data does not have as many values as its shape says",
        field=f"inputs.{tensor.name}.data",
        found=f"{len(tensor.data)} items",
        expected=f"{expected} values for shape {list(tensor.shape)}",
    )


def _strings(field: Field, values: list[Any] | npt.NDArray[Any]) -> npt.NDArray[Any]:
    listed = values.tolist() if isinstance(values, np.ndarray) else values
    for row, value in enumerate(listed):
        if not isinstance(value, str) and value is not None:
            raise _wrong_type(field, row, value)
    column = np.empty(len(listed), dtype=object)
    column[:] = listed
    return column


def _numbers_with_missing(field: Field, values: list[Any] | npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Find what is not a number; missing values become NaN."""
    missing = False
    for row, value in enumerate(values):
        if value is None:
            missing = True
        elif (
            not isinstance(value, int | float)
            or isinstance(value, bool) != (field.dtype == "bool")
            or abs(value) > sys.float_info.max
        ):
            raise _wrong_type(field, row, value)
    if missing and field.dtype not in ("float64", "float32"):
        row = next(row for row, value in enumerate(values) if value is None)
        raise _not_nullable(field, row)
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)


def _cast(field: Field, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The array in the field's own type, when no value changes its meaning by it."""
    target = NUMPY_DTYPES[field.dtype]
    kind = array.dtype.kind
    if array.dtype == target:
        return array
    if (target.kind == "b") != (kind == "b"):
        raise _wrong_type(field, 0, array.reshape(-1)[0].item())
    if target.kind == "f":
        return _cast_to_float(field, array, target)
    whole = _whole_numbers(field, array)
    return whole.astype(target)


def _cast_to_float(field: Field, array: npt.NDArray[Any], target: np.dtype[Any]) -> npt.NDArray[Any]:
    with np.errstate(over="ignore"):
        cast = array.astype(target)
    if target.itemsize == 4 and array.dtype.kind == "f":
        overflowed = np.isinf(cast) & np.isfinite(array)
        if overflowed.any():
            row = int(np.argmax(overflowed))
            raise Invalid(
                "a number too large for this column",
                field=f"inputs.{field.name}[{row}]",
                found=array[row].item(),
                expected="a 32-bit float",
            )
    return cast


def _whole_numbers(field: Field, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    limits = np.iinfo(NUMPY_DTYPES[field.dtype])
    if array.dtype.kind == "f":
        # Half precision cannot even hold the limits that it is compared with.
        array = array.astype(np.float64, copy=False)
        bad = ~np.isfinite(array) | (array != np.floor(array)) | (np.abs(array) > min(_EXACT, limits.max))
    else:
        bad = (array > limits.max) | (array < limits.min)
    if bad.any():
        row = int(np.argmax(bad))
        raise _wrong_type(field, row, array[row].item())
    return array


def _all_finite(values: npt.NDArray[Any]) -> bool:
    # Of the ways to ask, numpy begins this one soonest; a row is too short for anything else to matter.
    return bool(np.count_nonzero(np.isfinite(values)) == values.size)


def _check_missing(field: Field, column: npt.NDArray[Any]) -> None:
    """Refuse missing values where the model takes none, and infinite ones everywhere."""
    if column.dtype == object:
        if not field.nullable:
            for row, value in enumerate(column):
                if value is None:
                    raise _not_nullable(field, row)
        return
    if column.dtype.kind != "f" or np.isfinite(column).all():
        return
    infinite = np.isinf(column)
    if infinite.any():
        row = int(np.argmax(infinite))
        raise Invalid(
            "an infinite number",
            field=f"inputs.{field.name}[{row}]",
            found=column[row].item(),
            expected="a finite number" + (" or null" if field.nullable else ""),
        )
    if not field.nullable:
        raise _not_nullable(field, int(np.argmax(np.isnan(column))))


_SAID: Final[dict[DType, str]] = {
    "float64": "a number",
    "float32": "a number",
    "int64": "a whole number",
    "int32": "a whole number of at most 32 bits",
    "bool": "true or false",
    "string": "a string",
}


def _wrong_type(field: Field, row: int, value: Any) -> Invalid:
    return Invalid(
        f"a wrong type in column '{field.name}'",
        field=f"inputs.{field.name}[{row}]",
        found=value,
        expected=_SAID[field.dtype] + (" or null" if field.nullable else ""),
    )


def _not_nullable(field: Field, row: int) -> Invalid:
    return Invalid(
        f"a missing value in column '{field.name}', which this model does not take",
        field=f"inputs.{field.name}[{row}]",
        found="null",
        expected=_SAID[field.dtype],
    )
