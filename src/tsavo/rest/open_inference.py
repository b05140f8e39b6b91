"""Open Inference Protocol v2: requests in, answers out, as JSON or with binary tensors.

Specification: Open Inference Protocol, "REST" (https://github.com/kserve/open-inference-protocol).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import orjson
from msgspec import UNSET, UnsetType

from tsavo.endpoints import Answer, InputTensor
from tsavo.endpoints.open_tensors import DATATYPES, check_datatype, check_shape, datatype_of, to_raw
from tsavo.rest.binary_tensors import RawTensors, binary_flag, split_body
from tsavo.rest.declared_types import NARROW, as_declared
from tsavo.vocabulary import Invalid, Output, Unreadable, decision_id

__all__ = ["InferRequest", "decode_request", "encode_answer", "encode_binary_answer", "json_output"]


class _Tensor(msgspec.Struct, gc=False):
    name: str
    shape: list[int]
    datatype: str
    data: list[Any] | UnsetType = UNSET
    parameters: dict[str, Any] | None = None


class _Wanted(msgspec.Struct):
    name: str
    parameters: dict[str, Any] | None = None


class _Body(msgspec.Struct):
    inputs: list[_Tensor]
    id: str | None = None
    outputs: list[_Wanted] | None = None
    parameters: dict[str, Any] | None = None


class InferRequest(msgspec.Struct, frozen=True, gc=False):
    """A decoded request.

    Attributes
    ----------
    wanted
        Output names in the order asked for, or ``None`` for all.
    binary
        Outputs that are to come as raw bytes; ``None`` for all, empty for none.
    """

    id: str | None
    tensors: list[InputTensor]
    wanted: list[str] | None
    binary: frozenset[str] | None = frozenset()


_DECODER: Final = msgspec.json.Decoder(_Body)
_NO_OUTPUTS: Final[frozenset[str]] = frozenset()
# Of other extensions, which are not offered: an answer without them would not be what was asked for.
_NOT_OFFERED: Final = ("classification", "shared_memory_region")


def decode_request(body: bytes, json_length: bytes | None = None) -> InferRequest:
    """Read a request body.

    Parameters
    ----------
    json_length
        The header ``Inference-Header-Content-Length``, when the request has it.

    Raises
    ------
    Unreadable
        When it is not JSON.
    Invalid
        When it is JSON but not an inference request, or binary tensors are not what they are said to be.
    """
    raw = None
    if json_length is None:
        request = _decode(body)
    else:
        document, raw = split_body(body, json_length)
        request = _decode(document)
    tensors = [
        _json_tensor(tensor) if tensor.parameters is None else _tensor(tensor, raw)
        for tensor in request.inputs
    ]
    if raw is not None:
        raw.close()
    if request.outputs:
        wanted, binary = _wanted(request.outputs, request.parameters)
        return InferRequest(request.id, tensors, wanted, binary)
    if request.parameters is not None and binary_flag(request.parameters, "binary_data_output", "body"):
        return InferRequest(request.id, tensors, None, None)
    return InferRequest(request.id, tensors, None, _NO_OUTPUTS)


def _decode(document: bytes | memoryview) -> _Body:
    try:
        return _DECODER.decode(document)
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


def _json_tensor(tensor: _Tensor) -> InputTensor:
    if tensor.datatype not in DATATYPES:
        check_datatype(tensor.name, tensor.datatype)
    shape = check_shape(tensor.name, tensor.shape)
    if tensor.data is UNSET:
        raise Invalid(
            "the tensor has no data",
            field=f"inputs.{tensor.name}.data",
            expected="a list of values, or binary_data_size among its parameters and the bytes after the JSON",
        )
    if tensor.datatype in NARROW:
        return InputTensor(tensor.name, shape, as_declared(tensor.name, tensor.datatype, shape, tensor.data))
    return InputTensor(tensor.name, shape, tensor.data)


def _tensor(tensor: _Tensor, raw: RawTensors | None) -> InputTensor:
    parameters = tensor.parameters or {}
    _check_offered(parameters, f"inputs.{tensor.name}")
    if "binary_data_size" not in parameters:
        return _json_tensor(tensor)
    if tensor.data is not UNSET:
        raise Invalid(
            "the tensor has its data twice: in JSON and binary",
            field=f"inputs.{tensor.name}.data",
            expected="either 'data' or 'binary_data_size'",
        )
    size = parameters["binary_data_size"]
    return (raw or RawTensors(None)).take(tensor.name, tensor.datatype, tensor.shape, size)


def _wanted(
    outputs: list[_Wanted], parameters: dict[str, Any] | None
) -> tuple[list[str], frozenset[str] | None]:
    default = binary_flag(parameters, "binary_data_output", "body") or False
    wanted = [output.name for output in outputs]
    if len(set(wanted)) != len(wanted):
        twice = next(name for at, name in enumerate(wanted) if name in wanted[:at])
        raise Invalid(
            "an output is asked for twice", field="outputs", found=twice, expected="each output once"
        )
    binary = []
    for output in outputs:
        said = None
        if output.parameters is not None:
            _check_offered(output.parameters, f"outputs.{output.name}")
            said = binary_flag(output.parameters, "binary_data", f"outputs.{output.name}")
        if default if said is None else said:
            binary.append(output.name)
    return wanted, frozenset(binary) if binary else _NO_OUTPUTS


def _check_offered(parameters: dict[str, Any], field: str) -> None:
    for name in _NOT_OFFERED:
        if name in parameters:
            raise Invalid(
                "an extension of the protocol that is not offered here",
                field=f"{field}.parameters.{name}",
                found=parameters[name],
                expected="tensors within the request and the answer; GET /v2 lists the extensions",
            )


def encode_answer(answer: Answer, request: InferRequest) -> bytes:
    """The response body as JSON; floats are written with as many digits as read back to the same value."""
    outputs = [json_output(output, values) for output, values in _chosen(answer, request.wanted)]
    return _document(answer, request, outputs)


def encode_binary_answer(answer: Answer, request: InferRequest) -> tuple[bytes, int]:
    """The response body with the outputs in `request.binary` as raw bytes, and the length of its JSON part."""
    outputs, raw = [], []
    for output, values in _chosen(answer, request.wanted):
        if request.binary is not None and output.name not in request.binary:
            outputs.append(json_output(output, values))
            continue
        raw.append(to_raw(values))
        outputs.append(
            {
                "name": output.name,
                "datatype": datatype_of(output.dtype),
                "shape": values.shape,
                "parameters": {"binary_data_size": len(raw[-1])},
            }
        )
    document = _document(answer, request, outputs)
    return b"".join((document, *raw)), len(document)


def _chosen(answer: Answer, wanted: list[str] | None) -> Iterable[tuple[Output, npt.NDArray[Any]]]:
    given = zip(answer.signature.outputs, answer.outputs, strict=True)
    if wanted is None:
        return given
    by_name = {output.name: (output, values) for output, values in given}
    return [by_name[name] for name in wanted if name in by_name]


def _document(answer: Answer, request: InferRequest, outputs: list[dict[str, Any]]) -> bytes:
    parameters: dict[str, Any] = {
        "decision_id": decision_id(answer.request, 0),
        "version": str(answer.version),
        "role": answer.role,
        "flags": answer.flags,
    }
    if not answer.recorded:
        del parameters["decision_id"]
    if answer.row_flags:
        parameters["row_flags"] = {str(row): flags for row, flags in answer.row_flags.items()}
    if answer.row_versions:
        parameters["row_versions"] = [str(version) for version in answer.row_versions]
    if answer.row_roles:
        parameters["row_roles"] = answer.row_roles
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


def json_output(output: Output, values: npt.NDArray[Any]) -> dict[str, Any]:
    """An output as the protocol writes it, for an encoder that knows arrays."""
    flat = values if values.ndim == 1 else values.reshape(-1)
    return {
        "name": output.name,
        "datatype": datatype_of(output.dtype),
        "shape": values.shape,
        "data": flat.tolist() if flat.dtype.kind == "O" else np.ascontiguousarray(flat),
    }
