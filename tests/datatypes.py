"""Every datatype of the Open Inference Protocol that is a number, and endpoints of every type to send it to."""

from __future__ import annotations

from tsavo.vocabulary import DType

NUMBERS = [
    "INT8",
    "INT16",
    "INT32",
    "INT64",
    "UINT8",
    "UINT16",
    "UINT32",
    "UINT64",
    "FP16",
    "FP32",
    "FP64",
    "BF16",
]
FLOATS = {"BF16", "FP16", "FP32", "FP64"}
# Endpoint -> the one type of its two columns.
COLUMNS: dict[str, DType] = {
    "floats": "float64",
    "singles": "float32",
    "whole": "int64",
    "small": "int32",
    "truths": "bool",
    "texts": "string",
}
WAYS = ["matrix", "columns", "columns of one"]
