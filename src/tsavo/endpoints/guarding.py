"""Rows that lack what a model needs: told from the others, so that the fallback chain can answer for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from tsavo.endpoints.inputs import InputReader, InputTensor
from tsavo.endpoints.parts import Part, is_missing
from tsavo.vocabulary import Batch, DType, Field, Invalid, Signature

__all__ = ["Guarded", "guard_parts", "read_guarded"]

# What stands in a column for a value that is not there, until the batch is read.
_STAND_INS: Final[dict[DType, Any]] = {
    "float64": 0.0,
    "float32": 0.0,
    "int64": 0,
    "int32": 0,
    "bool": False,
    "string": "",
}


class Guarded(msgspec.Struct, frozen=True):
    """What was found to be missing.

    Attributes
    ----------
    lacking
        [rows]: whether a row lacks a value that the model needs.
    columns
        In which such values are missing.
    refusal
        What the caller is told where nothing can answer for these rows.
    """

    lacking: npt.NDArray[np.bool_]
    columns: frozenset[str]
    refusal: Invalid


def read_guarded(
    reader: InputReader, signature: Signature, tensors: Sequence[InputTensor]
) -> tuple[Batch, dict[int, list[str]], Guarded | None]:
    """As `InputReader.read`, but values that the model needs may be missing, and so may whole columns.

    In the batch a missing number is NaN and a missing string ``None``; a missing whole number or boolean is 0 or false,
    because these types have no other. The flags say ``missing:<column>`` for each.

    Raises
    ------
    Invalid, TooLarge
        For whatever else is wrong.
    """
    try:
        batch, flags = reader.read(tensors)
    except Invalid as error:
        refusal = error
        filled, holes = _filled(signature, tensors)
        if not holes:
            raise
        batch, flags = reader.read(filled)
    else:
        return batch, flags, None
    lacking = np.zeros(batch.rows, dtype=np.bool_)
    for at, field in enumerate(signature.inputs):
        missing = holes.get(field.name)
        if missing is None:
            continue
        lacking |= missing
        column = batch.columns[at] if batch.matrix is None else batch.matrix[:, at]
        if column.dtype == object:
            column[missing] = None
        elif column.dtype.kind == "f":
            column[missing] = np.nan
        for row in np.flatnonzero(missing).tolist():
            # What stands in for it is no category that was ever seen.
            kept = [flag for flag in flags.get(row, ()) if flag != f"unseen:{field.name}"]
            flags[row] = [*kept, f"missing:{field.name}"]
    return batch, flags, Guarded(lacking, frozenset(holes), refusal)


def guard_parts(parts: Sequence[Part], guarded: Guarded) -> list[Part]:
    """The parts, with rows that lack something in parts of their own, which no model may answer that needs it."""
    divided: list[Part] = []
    everywhere = np.arange(len(guarded.lacking))
    for part in parts:
        places = everywhere if part.places is None else part.places
        lacking = guarded.lacking[places]
        if not lacking.any():
            divided.append(part)
            continue
        refused = msgspec.structs.replace(
            part,
            places=None if lacking.all() and part.places is None else places[lacking],
            off=part.off or "guard",
            lacking=guarded.columns,
            refusal=guarded.refusal,
        )
        if not lacking.all():
            divided.append(msgspec.structs.replace(part, places=places[~lacking]))
        divided.append(refused)
    return divided


def _filled(
    signature: Signature, tensors: Sequence[InputTensor]
) -> tuple[list[InputTensor], dict[str, npt.NDArray[np.bool_]]]:
    """The tensors with stand-ins for what is missing, and where that is: column -> [rows]."""
    given = {tensor.name: tensor for tensor in tensors}
    fields = {field.name: field for field in signature.inputs}
    if not tensors or not tensors[0].shape:
        return [], {}
    rows = tensors[0].shape[0]
    if len(tensors) == 1 and tensors[0].name not in fields:
        return _filled_matrix(signature, tensors[0])
    holes: dict[str, npt.NDArray[np.bool_]] = {}
    filled = []
    for tensor in tensors:
        field = fields.get(tensor.name)
        values = _listed(tensor)
        if field is None or field.nullable or len(values) != rows:
            filled.append(tensor)
            continue
        missing = _missing(values)
        if not missing.any():
            filled.append(tensor)
            continue
        holes[field.name] = missing
        filled.append(InputTensor(field.name, (rows,), _with_stand_ins(field, values)))
    for field in signature.inputs:
        # A column that may hold missing values may be missing too, once another one is.
        if field.name not in given:
            missing = np.ones(rows, dtype=np.bool_)
            stand_in = _STAND_INS[field.dtype] if not field.nullable else None
            filled.append(InputTensor(field.name, (rows,), [stand_in] * rows))
            if not field.nullable:
                holes[field.name] = missing
    return filled, holes


def _filled_matrix(
    signature: Signature, tensor: InputTensor
) -> tuple[list[InputTensor], dict[str, npt.NDArray[np.bool_]]]:
    width = len(signature.inputs)
    values = _listed(tensor)
    if len(tensor.shape) != 2 or tensor.shape[1] != width or len(values) != tensor.shape[0] * width:
        return [], {}
    filled = list(values)
    holes: dict[str, npt.NDArray[np.bool_]] = {}
    for at, field in enumerate(signature.inputs):
        column = values[at::width]
        missing = _missing(column)
        if not field.nullable and missing.any():
            holes[field.name] = missing
            filled[at::width] = _with_stand_ins(field, column)
    return [InputTensor(tensor.name, tensor.shape, filled)], holes


def _listed(tensor: InputTensor) -> list[Any]:
    """The values one after the other; what is nested too deeply stays as it is, and the reader refuses it."""
    if isinstance(tensor.data, np.ndarray):
        flat: list[Any] = tensor.data.reshape(-1).tolist()
        return flat
    if tensor.data and all(isinstance(part, list) for part in tensor.data):
        return [value for part in tensor.data for value in part]
    return tensor.data


def _missing(values: Sequence[Any]) -> npt.NDArray[np.bool_]:
    return np.fromiter(map(is_missing, values), np.bool_, len(values))


def _with_stand_ins(field: Field, values: Sequence[Any]) -> list[Any]:
    stand_in = _STAND_INS[field.dtype]
    return [stand_in if is_missing(value) else value for value in values]
