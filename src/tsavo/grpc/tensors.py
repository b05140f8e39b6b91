"""Tensors of the protocol's messages: typed or raw contents in, the same kind out."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tsavo.endpoints import InputTensor
from tsavo.endpoints.open_tensors import check_datatype, check_shape, from_raw, to_raw
from tsavo.vocabulary import DType, Invalid, Unreadable

__all__ = ["read_inputs", "write_contents", "write_raw"]

# Datatype -> the field of InferTensorContents that carries it, and the type of its values there.
_CONTENTS: Final[dict[str, tuple[str, np.dtype[Any]]]] = {
    "BOOL": ("bool_contents", np.dtype(np.bool_)),
    "INT8": ("int_contents", np.dtype(np.int32)),
    "INT16": ("int_contents", np.dtype(np.int32)),
    "INT32": ("int_contents", np.dtype(np.int32)),
    "INT64": ("int64_contents", np.dtype(np.int64)),
    "UINT8": ("uint_contents", np.dtype(np.uint32)),
    "UINT16": ("uint_contents", np.dtype(np.uint32)),
    "UINT32": ("uint_contents", np.dtype(np.uint32)),
    "UINT64": ("uint64_contents", np.dtype(np.uint64)),
    "FP32": ("fp32_contents", np.dtype(np.float32)),
    "FP64": ("fp64_contents", np.dtype(np.float64)),
    "BYTES": ("bytes_contents", np.dtype(object)),
}
_ANSWERED_IN: Final[dict[DType, str]] = {
    "float64": "fp64_contents",
    "float32": "fp32_contents",
    "int64": "int64_contents",
    "int32": "int_contents",
    "bool": "bool_contents",
    "string": "bytes_contents",
}


def read_inputs(request: Any) -> tuple[list[InputTensor], bool]:
    """The tensors of a ``ModelInferRequest``, and whether they came raw.

    Raises
    ------
    Invalid, Unreadable
        Naming the tensor, when its datatype, shape and values do not go together.
    """
    raw = request.raw_input_contents
    if not raw:
        return [_typed(tensor) for tensor in request.inputs], False
    if len(raw) != len(request.inputs):
        raise Invalid(
            "there are not as many raw contents as inputs",
            field="raw_input_contents",
            found=f"{len(raw)} raw contents",
            expected=f"{len(request.inputs)}, one for each input in its order",
        )
    return [_raw(tensor, content) for tensor, content in zip(request.inputs, raw, strict=True)], True


def _raw(tensor: Any, content: bytes) -> InputTensor:
    name: str = tensor.name
    if tensor.HasField("contents"):
        raise Invalid(
            "a tensor has typed contents beside the raw ones",
            field=f"inputs.{name}.contents",
            expected="typed contents in every input and none in raw_input_contents, or the other way round",
        )
    return from_raw(name, tensor.datatype, tensor.shape, content, f"inputs.{name}")


def _typed(tensor: Any) -> InputTensor:
    name: str = tensor.name
    if "shared_memory_region" in tensor.parameters:
        raise Invalid(
            "tensors in shared memory are not read",
            field=f"inputs.{name}.parameters.shared_memory_region",
            expected="the values in the request itself",
        )
    datatype: str = tensor.datatype
    element = check_datatype(name, datatype)
    shape = check_shape(name, tensor.shape)
    if datatype not in _CONTENTS:
        raise Invalid(
            "the protocol has no typed contents for this datatype",
            field=f"inputs.{name}.datatype",
            found=datatype,
            expected="this datatype in raw_input_contents, or another one",
        )
    field, carried = _CONTENTS[datatype]
    values = getattr(tensor.contents, field)
    count = math.prod(shape)
    if len(values) != count:
        others = [
            descriptor.name for descriptor, _ in tensor.contents.ListFields() if descriptor.name != field
        ]
        raise Invalid(
            "the contents do not have as many values as the shape says",
            field=f"inputs.{name}.contents.{field}",
            found=f"{len(values)} values" + (f", and some in {', '.join(others)}" if others else ""),
            expected=f"{count} values for {datatype} {list(shape)}",
        )
    if element == "bytes":
        return InputTensor(name, shape, [_text(value, at, name) for at, value in enumerate(values)])
    array = np.fromiter(values, carried, count)
    if element.itemsize < carried.itemsize:
        _check_range(array, element, name, datatype)
    return InputTensor(name, shape, array)


def _check_range(array: npt.NDArray[Any], element: np.dtype[Any], name: str, datatype: str) -> None:
    limits = np.iinfo(element)
    outside = (array < limits.min) | (array > limits.max)
    if outside.any():
        at = int(np.argmax(outside))
        raise Invalid(
            f"a value that {datatype} does not have",
            field=f"inputs.{name}[{at}]",
            found=int(array[at]),
            expected=f"{limits.min} to {limits.max}",
        )


def _text(value: bytes, at: int, name: str) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError as error:
        raise Unreadable(
            "a string that is not UTF-8",
            field=f"inputs.{name}[{at}]",
            found=value[:50],
            expected="text in UTF-8",
        ) from error


def write_contents(tensor: Any, values: npt.NDArray[Any], dtype: DType) -> None:
    """Put an output's values into an ``InferOutputTensor``, typed; a missing string becomes an empty one."""
    flat = values.reshape(-1).tolist()
    if dtype == "string":
        flat = [b"" if value is None else str(value).encode() for value in flat]
    getattr(tensor.contents, _ANSWERED_IN[dtype]).extend(flat)


def write_raw(response: Any, values: npt.NDArray[Any]) -> None:
    """Put an output's values into a ``ModelInferResponse``, raw."""
    response.raw_output_contents.append(to_raw(values))
