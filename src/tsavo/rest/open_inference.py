"""Open Inference Protocol v2, JSON: requests in, answers out.

Specification: Open Inference Protocol, "REST" (https://github.com/kserve/open-inference-protocol).
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import orjson

from tsavo.endpoints import Answer, InputTensor
from tsavo.runtimes import RuntimeState
from tsavo.vocabulary import DType, Field, Invalid, Output, Unreadable, Version, decision_id

__all__ = ["InferRequest", "decode_request", "encode_answer", "metadata"]

# Datatypes of the protocol that a JSON body may declare, by the kind of value that it then carries.
_DATATYPES: Final[dict[str, str]] = {
    "BOOL": "bool",
    "UINT8": "int",
    "UINT16": "int",
    "UINT32": "int",
    "UINT64": "int",
    "INT8": "int",
    "INT16": "int",
    "INT32": "int",
    "INT64": "int",
    "FP16": "float",
    "FP32": "float",
    "FP64": "float",
    "BYTES": "bytes",
}

_NAMES: Final[dict[DType, str]] = {
    "float64": "FP64",
    "float32": "FP32",
    "int64": "INT64",
    "int32": "INT32",
    "bool": "BOOL",
    "string": "BYTES",
}


class _Tensor(msgspec.Struct, gc=False):
    name: str
    shape: list[int]
    datatype: str
    data: list[Any]


class _Wanted(msgspec.Struct):
    name: str


class _Body(msgspec.Struct):
    inputs: list[_Tensor]
    id: str | None = None
    outputs: list[_Wanted] | None = None
    parameters: dict[str, Any] | None = None


class InferRequest(msgspec.Struct, frozen=True, gc=False):
    """A decoded request: `wanted` output names, or ``None`` for all."""

    id: str | None
    tensors: list[InputTensor]
    wanted: list[str] | None


_DECODER: Final = msgspec.json.Decoder(_Body)


def decode_request(body: bytes) -> InferRequest:
    """Read a request body.

    Raises
    ------
    Unreadable
        When it is not JSON.
    Invalid
        When it is JSON but not an inference request.
    """
    try:
        request = _DECODER.decode(body)
    except msgspec.ValidationError as error:
        reason, _, path = str(error).partition(" - at ")
        raise Invalid(
            f"not an inference request: {reason}",
            field=path.strip("`$.") or "body",
            expected='{"inputs": [{"name", "shape", "datatype", "data"}]}',
        ) from error
    except msgspec.DecodeError as error:
        raise Unreadable(
            f"the body is not valid JSON: {error}",
            field="body",
            next_step="send JSON; a missing value is null (NaN is not JSON)",
        ) from error
    except (RecursionError, UnicodeDecodeError) as error:
        raise Unreadable("the body is not valid JSON", field="body", found=type(error).__name__) from error
    wanted = None if request.outputs is None else [output.name for output in request.outputs]
    return InferRequest(request.id, [_tensor(tensor) for tensor in request.inputs], wanted)


def _tensor(tensor: _Tensor) -> InputTensor:
    if tensor.datatype not in _DATATYPES:
        raise Invalid(
            "not a datatype of the Open Inference Protocol",
            field=f"inputs.{tensor.name}.datatype",
            found=tensor.datatype,
            expected=f"one of {', '.join(_DATATYPES)}",
        )
    shape = tuple(tensor.shape)
    if not shape or any(size < 0 for size in shape):
        raise Invalid(
            "not a shape",
            field=f"inputs.{tensor.name}.shape",
            found=tensor.shape,
            expected="[rows] or [rows, columns]",
        )
    return InputTensor(tensor.name, shape, tensor.data)


def encode_answer(answer: Answer, request: InferRequest) -> bytes:
    """The response body; floats are written with as many digits as read back to the same value."""
    parameters: dict[str, Any] = {
        "decision_id": decision_id(answer.request, 0),
        "version": str(answer.version),
        "role": answer.role,
        "flags": answer.flags,
    }
    if answer.row_flags:
        parameters["row_flags"] = {str(row): flags for row, flags in answer.row_flags.items()}
    outputs = [
        _output(output, values)
        for output, values in zip(answer.signature.outputs, answer.outputs, strict=True)
        if request.wanted is None or output.name in request.wanted
    ]
    return orjson.dumps(
        {
            "model_name": answer.endpoint,
            "model_version": str(answer.version.number),
            "id": answer.request if request.id is None else request.id,
            "parameters": parameters,
            "outputs": outputs,
        },
        option=orjson.OPT_SERIALIZE_NUMPY,
    )


def _output(output: Output, values: npt.NDArray[Any]) -> dict[str, Any]:
    return {
        "name": output.name,
        "datatype": _NAMES[output.dtype],
        "shape": values.shape,
        "data": values.ravel().tolist()
        if values.dtype == object
        else np.ascontiguousarray(values.reshape(-1)),
    }


def metadata(endpoint: str, version: Version, state: RuntimeState) -> dict[str, Any]:
    """What ``GET /v2/models/{endpoint}`` answers; the state is that of the process which answers."""
    signature = version.signature
    return {
        "name": endpoint,
        "versions": [str(version.number)],
        "platform": f"tsavo_{version.runtime}",
        "inputs": [_input_metadata(field) for field in signature.inputs],
        "outputs": [
            {
                "name": output.name,
                "datatype": _NAMES[output.dtype],
                "shape": [-1] if output.width is None else [-1, output.width],
            }
            for output in signature.outputs
        ],
        "parameters": {
            "version": str(version.ref),
            "task": signature.task,
            "classes": signature.classes,
            "runtime": version.runtime,
            "state": state,
        },
    }


def _input_metadata(field: Field) -> dict[str, Any]:
    described: dict[str, Any] = {"name": field.name, "datatype": _NAMES[field.dtype], "shape": [-1]}
    parameters: dict[str, Any] = {"nullable": field.nullable}
    if field.categories is not None:
        parameters |= {"categories": field.categories, "unseen": field.unseen}
    return described | {"parameters": parameters}
