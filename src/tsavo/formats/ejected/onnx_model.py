"""The compiled model, run as the gateway runs it: one session, one thread, the same options."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

# Before it is imported: what this folder decides is nobody else's affair.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime

__all__ = ["load"]

_ERRORS_ONLY: Final = 3
# A missing string in an ONNX tensor, unless the file says another one.
_MISSING: Final = "\ue000"
_DTYPES: Final[dict[str, Any]] = {
    "float64": np.float64,
    "float32": np.float32,
    "int64": np.int64,
    "int32": np.int32,
    "bool": np.bool_,
    "string": object,
}


def load(folder: Path, description: Mapping[str, Any]) -> OnnxModel:
    """The model in ``model.onnx``."""
    return OnnxModel(folder / "model.onnx", description["signature"])


class OnnxModel:
    """Answers with onnxruntime on the calling thread.

    Parameters
    ----------
    path
        The ONNX file; its metadata says how columns become tensors.
    signature
        The version's signature.
    """

    def __init__(self, path: Path, signature: Mapping[str, Any]) -> None:
        self._names = [field["name"] for field in signature["inputs"]]
        self._outputs = [output["name"] for output in signature["outputs"]]
        self._session = onnxruntime.InferenceSession(
            path.read_bytes(), _options(), providers=["CPUExecutionProvider"]
        )
        metadata = self._session.get_modelmeta().custom_metadata_map
        self._layout = json.loads(metadata["tsavo.inputs"])
        self._missing = metadata.get("tsavo.missing_string", _MISSING)

    def predict(self, columns: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """Outputs by name: [n], or [n, width] for wide ones."""
        feed = {part["name"]: self._tensor(part, columns) for part in self._layout}
        return dict(zip(self._outputs, self._session.run(self._outputs, feed), strict=True))

    def _tensor(self, part: Mapping[str, Any], columns: Mapping[str, npt.NDArray[Any]]) -> npt.NDArray[Any]:
        chosen = [columns[self._names[position]] for position in part["columns"]]
        rows = len(next(iter(columns.values())))
        tensor = np.empty((rows, len(chosen)), _DTYPES[part["dtype"]])
        for place, values in enumerate(chosen):
            tensor[:, place] = values
        if part["dtype"] == "string":
            tensor[tensor == None] = self._missing  # noqa: E711 -- element by element
        return tensor.ravel() if part.get("flat") else tensor


def _options() -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    options.log_severity_level = _ERRORS_ONLY
    options.use_deterministic_compute = True
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options
