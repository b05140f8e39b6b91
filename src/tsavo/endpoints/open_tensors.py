"""Tensors of the Open Inference Protocol: datatypes, shapes, and raw bytes, for every door that speaks it.

Raw tensors are what the binary tensor data extension of the REST protocol and ``raw_input_contents`` of the gRPC
protocol carry: row-major, little-endian, without padding; BYTES are strings, each after its length in four bytes.
Nothing that a caller says about a tensor is believed before the bytes agree.

Specification: Open Inference Protocol, "Tensor Data Types" and "Raw Tensor Contents"
(https://github.com/kserve/open-inference-protocol).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from tsavo.endpoints.inputs import InputTensor
from tsavo.vocabulary import DType, Invalid, Unreadable

__all__ = ["DATATYPES", "check_datatype", "check_shape", "datatype_of", "from_raw", "to_raw"]

_Element: TypeAlias = np.dtype[Any] | Literal["bytes"]

DATATYPES: Final[dict[str, _Element]] = {
    "BOOL": np.dtype("?"),
    "UINT8": np.dtype("u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
    # Triton's: the upper half of a 32-bit float. Raw only.
    "BF16": np.dtype("<u2"),
    "BYTES": "bytes",
}
"""Datatype of the protocol -> how one element lies in a raw tensor."""

_NAMES: Final[dict[DType, str]] = {
    "float64": "FP64",
    "float32": "FP32",
    "int64": "INT64",
    "int32": "INT32",
    "bool": "BOOL",
    "string": "BYTES",
}
_MOST_DIMENSIONS: Final = 8
_LARGEST_SIZE: Final = 2**63 - 1
_PREFIX: Final = 4


def datatype_of(dtype: DType) -> str:
    """The datatype that carries a column or an output of this type.

    >>> datatype_of("string")
    'BYTES'
    """
    return _NAMES[dtype]


def check_datatype(name: str, datatype: str) -> _Element:
    """How an element of this datatype lies in a raw tensor.

    Raises
    ------
    Invalid
        When the protocol has no such datatype.
    """
    element = DATATYPES.get(datatype)
    if element is None:
        raise Invalid(
            "not a datatype of the Open Inference Protocol",
            field=f"inputs.{name}.datatype",
            found=datatype,
            expected=f"one of {', '.join(DATATYPES)}",
        )
    return element


def check_shape(name: str, shape: Sequence[int]) -> tuple[int, ...]:
    """The shape as a tuple of sizes, each 0 to 2**63-1.

    Raises
    ------
    Invalid
        When it is empty, has a negative or absurd size, or more than 8 dimensions.
    """
    good = 0 < len(shape) <= _MOST_DIMENSIONS
    for size in shape:
        if not good or not 0 <= size <= _LARGEST_SIZE:
            good = False
            break
    if not good:
        raise Invalid(
            "not a shape",
            field=f"inputs.{name}.shape",
            found=list(shape[: _MOST_DIMENSIONS + 1]),
            expected="[rows] or [rows, columns]",
        )
    return tuple(shape)


def from_raw(
    name: str, datatype: str, shape: Sequence[int], raw: bytes | memoryview, field: str
) -> InputTensor:
    r"""A tensor whose values lie in `raw`, which numbers share where they are aligned.

    Parameters
    ----------
    raw
        The tensor's bytes, all of them and no others.
    field
        Names the data in an error.

    Raises
    ------
    Invalid
        For a datatype or shape that is none; when there are more or fewer bytes than datatype and shape take; for
        a BOOL that is neither 0 nor 1; for strings whose lengths do not add up.
    Unreadable
        For a string that is not UTF-8.

    Examples
    --------
    >>> tensor = from_raw("age", "INT16", [2], bytes([31, 0, 0, 1]), "inputs.age")
    >>> tensor.data.tolist()
    [31, 256]
    >>> from_raw("size", "BF16", [1], bytes([0x20, 0xC0]), "inputs.size").data.tolist()
    [-2.5]
    >>> from_raw("city", "BYTES", [1], b"\x03\x00\x00\x00voi", "inputs.city").data
    ['voi']
    """
    element = check_datatype(name, datatype)
    sizes = check_shape(name, shape)
    count = math.prod(sizes)
    if element == "bytes":
        return InputTensor(name, sizes, _strings(raw, count, sizes, field))
    if len(raw) != count * element.itemsize:
        raise Invalid(
            "the data does not have as many bytes as its datatype and shape take",
            field=field,
            found=f"{len(raw)} bytes",
            expected=f"{count * element.itemsize} bytes for {datatype} {list(sizes)}",
        )
    array = np.frombuffer(raw, element)
    if datatype == "BF16":
        return InputTensor(name, sizes, (array.astype(np.uint32) << 16).view(np.float32))
    if element.kind == "b":
        _check_truth(array.view(np.uint8), field)
    if not (array.flags.aligned and array.dtype.isnative):
        array = array.astype(element.newbyteorder("="))  # kernels may count on aligned rows
    return InputTensor(name, sizes, array)


def to_raw(array: npt.NDArray[Any]) -> bytes:
    r"""The raw tensor of an array of numbers, booleans or (of dtype object) strings.

    The protocol has no missing string: ``None`` becomes an empty one.

    >>> to_raw(np.array([1, -1], dtype=np.int16))
    b'\x01\x00\xff\xff'
    """
    if array.dtype.kind != "O":
        return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    parts = []
    for value in array.ravel().tolist():
        text = b"" if value is None else str(value).encode()
        parts.append(len(text).to_bytes(_PREFIX, "little"))
        parts.append(text)
    return b"".join(parts)


def _check_truth(values: npt.NDArray[np.uint8], field: str) -> None:
    wrong = values > 1
    if wrong.any():
        at = int(np.argmax(wrong))
        raise Invalid("not a BOOL", field=f"{field}[{at}]", found=int(values[at]), expected="a byte 0 or 1")


def _strings(raw: bytes | memoryview, count: int, shape: Sequence[int], field: str) -> list[str]:
    whole = bytes(raw)
    # Each string takes its length at least, so a shape cannot make us count further than there are bytes.
    if count * _PREFIX > len(whole):
        raise _too_short(len(whole), count * _PREFIX, shape, field)
    texts = []
    start = 0
    for at in range(count):
        begin = start + _PREFIX
        end = begin + int.from_bytes(whole[start:begin], "little")
        if begin > len(whole) or end > len(whole):
            raise Invalid(
                "a string is longer than the data that is left",
                field=f"{field}[{at}]",
                found=f"{end - begin} bytes",
                expected=f"at most {max(0, len(whole) - begin)} bytes",
            )
        try:
            texts.append(whole[begin:end].decode())
        except UnicodeDecodeError as error:
            raise Unreadable(
                "a string that is not UTF-8",
                field=f"{field}[{at}]",
                found=whole[begin:end][:50],
                expected="text in UTF-8",
            ) from error
        start = end
    if start != len(whole):
        raise Invalid(
            "bytes are left over after the last string",
            field=field,
            found=f"{len(whole)} bytes",
            expected=f"{start} bytes for {count} strings of shape {list(shape)}",
        )
    return texts


def _too_short(found: int, needed: int, shape: Sequence[int], field: str) -> Invalid:
    return Invalid(
        "the data has fewer bytes than the lengths of its strings alone take",
        field=field,
        found=f"{found} bytes",
        expected=f"at least {needed} bytes for BYTES {list(shape)}",
    )
