"""A request that can be pasted into a terminal, for any signature."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from tsavo.vocabulary import DType, Field, Signature

__all__ = ["curl_example"]

_DATATYPES: Final[dict[DType, str]] = {
    "float64": "FP64",
    "float32": "FP32",
    "int64": "INT64",
    "int32": "INT32",
    "bool": "BOOL",
    "string": "BYTES",
}


def curl_example(url: str, signature: Signature) -> str:
    """One row with values that the reference has seen, as an Open Inference Protocol request.

    >>> print(curl_example("http://127.0.0.1:8080/v2/models/m/infer", Signature((Field("a", "int64"),), (), "generic")))
    curl -s http://127.0.0.1:8080/v2/models/m/infer -d '{"inputs": [
      {"name":"a","shape":[1],"datatype":"INT64","data":[0]}
    ]}'
    """
    tensors = [
        {"name": field.name, "shape": [1], "datatype": _DATATYPES[field.dtype], "data": [_value(field)]}
        for field in signature.inputs
    ]
    lines = ",\n".join(f"  {msgspec.json.encode(tensor).decode()}" for tensor in tensors)
    body = f'{{"inputs": [\n{lines}\n]}}'
    # A quote ends the shell's string, so it is written outside of it.
    quoted = body.replace("'", "'\\''")
    return f"curl -s {url} -d '{quoted}'"


def _value(field: Field) -> Any:
    if field.dtype == "string":
        return field.categories[0] if field.categories else "text"
    if field.dtype == "bool":
        return True
    low, high = field.low or 0.0, field.high or 0.0
    middle = (low + high) / 2
    return int(middle) if field.dtype.startswith("int") else float(f"{middle:.4g}")
