"""What callers are told about an endpoint's versions: metadata, and the configuration as Triton's clients read it.

Specifications: Open Inference Protocol, "Model Metadata" (https://github.com/kserve/open-inference-protocol);
"Model Configuration Extension" (https://github.com/triton-inference-server/server/tree/main/docs/protocol).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tsavo.endpoints.open_tensors import datatype_of
from tsavo.runtimes import RuntimeState
from tsavo.vocabulary import DType, Field, Output, Version

__all__ = ["configuration", "metadata"]


def metadata(endpoint: str, version: Version, state: RuntimeState, numbers: Sequence[int]) -> dict[str, Any]:
    """What ``GET /v2/models/{endpoint}`` answers.

    Parameters
    ----------
    state
        Of the process which answers.
    numbers
        Of all versions that can be addressed, the champion's first.
    """
    signature = version.signature
    return {
        "name": endpoint,
        "versions": [str(number) for number in numbers],
        "platform": _platform(version),
        "inputs": [_input_metadata(field) for field in signature.inputs],
        "outputs": [
            {"name": output.name, "datatype": datatype_of(output.dtype), "shape": _shape(output)}
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


def configuration(endpoint: str, version: Version) -> dict[str, Any]:
    """What ``GET /v2/models/{endpoint}/config`` answers.

    The maximum batch size is 0, by which Triton says that a shape is given whole: its first size is that of the rows.
    """
    return {
        "name": endpoint,
        "platform": _platform(version),
        "backend": version.runtime,
        "max_batch_size": 0,
        "input": [
            {"name": field.name, "data_type": _data_type(field.dtype), "dims": [-1]}
            for field in version.signature.inputs
        ],
        "output": [
            {"name": output.name, "data_type": _data_type(output.dtype), "dims": _shape(output)}
            for output in version.signature.outputs
        ],
        "parameters": {
            "version": {"string_value": str(version.ref)},
            "task": {"string_value": version.signature.task},
        },
    }


def _platform(version: Version) -> str:
    return f"tsavo_{version.runtime}"


def _data_type(dtype: DType) -> str:
    datatype = datatype_of(dtype)
    return "TYPE_STRING" if datatype == "BYTES" else f"TYPE_{datatype}"


def _shape(output: Output) -> list[int]:
    return [-1] if output.width is None else [-1, output.width]


def _input_metadata(field: Field) -> dict[str, Any]:
    described: dict[str, Any] = {"name": field.name, "datatype": datatype_of(field.dtype), "shape": [-1]}
    parameters: dict[str, Any] = {"nullable": field.nullable}
    if field.categories is not None:
        parameters |= {"categories": field.categories, "unseen": field.unseen}
    return described | {"parameters": parameters}
