"""Runs an ONNX artifact in process: one session, one thread, no memory arena.

Thousands of these live in one gateway. A thread pool or an arena for each would cost more than the models
themselves, and one-row predictions of simple models finish in microseconds on the calling thread.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import onnxruntime

from tsavo.formats.layout import LAYOUT_KEY, MISSING, MISSING_KEY, GraphInput, decode_layout
from tsavo.vocabulary import NUMPY_DTYPES, Batch, Damaged, Signature

__all__ = ["OnnxRuntime"]

_ERRORS_ONLY: Final = 3
_Feed = Callable[[Batch], dict[str, npt.NDArray[Any]]]


class OnnxRuntime:
    """Scores batches with onnxruntime on the calling thread.

    Parameters
    ----------
    path
        An artifact that `runtimes.prepare` made; its metadata says how columns become tensors.
    signature
        The version's signature.

    Raises
    ------
    Damaged
        When the file is not such an artifact.
    """

    def __init__(self, path: Path, signature: Signature) -> None:
        self.signature = signature
        try:
            # From bytes, so that nothing in the file can name another file beside it.
            self._session = onnxruntime.InferenceSession(
                path.read_bytes(), _session_options(), providers=["CPUExecutionProvider"]
            )
            metadata = self._session.get_modelmeta().custom_metadata_map
            layout = decode_layout(metadata[LAYOUT_KEY])
        except OSError as error:
            raise _damaged(path, error.strerror or "unreadable") from error
        except Exception as error:  # onnxruntime raises a dozen classes of its own, most of them undocumented
            raise _damaged(path, f"{type(error).__name__}: {error}"[:300]) from error
        known = {output.name for output in self._session.get_outputs()}
        self._outputs = [output.name for output in signature.outputs]
        if not known.issuperset(self._outputs):
            raise _damaged(path, f"it has the outputs {sorted(known)}, the signature {self._outputs}")
        self._feed = _feed(layout, signature, metadata.get(MISSING_KEY, MISSING))
        # The wrapper in Python looks at names and devices anew at each call, for as long as a small model takes.
        inner = getattr(self._session, "_sess", None)
        self._run = self._session.run if inner is None else inner.run

    def predict(self, batch: Batch) -> tuple[npt.NDArray[Any], ...]:
        """Outputs in signature order; see `Runtime`."""
        return tuple(self._run(self._outputs, self._feed(batch), None))


def _session_options() -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    options.log_severity_level = _ERRORS_ONLY
    # A decision is replayed years later and must come out the same.
    options.use_deterministic_compute = True
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _feed(layout: tuple[GraphInput, ...], signature: Signature, missing: str) -> _Feed:
    """How a batch becomes the session's inputs, decided once so that a call does no more than it must."""
    everything = tuple(range(len(signature.inputs)))
    if len(layout) == 1 and layout[0].columns == everything and not layout[0].flat:
        only = layout[0]
        if signature.matrix_dtype == only.dtype:
            return lambda batch: {only.name: batch.matrix}  # type: ignore[dict-item] # a matrix signature has one
        if signature.matrix_dtype is not None:
            dtype = NUMPY_DTYPES[only.dtype]
            return lambda batch: {only.name: batch.matrix.astype(dtype)}  # type: ignore[union-attr]
    packers = [_packer(part, signature, missing) for part in layout]
    return lambda batch: {name: pack(batch) for name, pack in packers}


def _packer(
    part: GraphInput, signature: Signature, missing: str
) -> tuple[str, Callable[[Batch], npt.NDArray[Any]]]:
    dtype = NUMPY_DTYPES[part.dtype]
    places = list(enumerate(part.columns))
    width = len(places)
    holes = part.dtype == "string" and any(signature.inputs[column].nullable for column in part.columns)

    def pack(batch: Batch) -> npt.NDArray[Any]:
        tensor = np.empty((batch.rows, width), dtype)
        if batch.matrix is not None:
            for place, column in places:
                tensor[:, place] = batch.matrix[:, column]
        else:
            for place, column in places:
                tensor[:, place] = batch.columns[column]
        if holes:
            tensor[tensor == None] = missing  # noqa: E711 -- element by element
        return tensor.ravel() if part.flat else tensor

    return part.name, pack


def _damaged(path: Path, found: str) -> Damaged:
    return Damaged(
        "the artifact cannot be loaded",
        field="artifact",
        found=found,
        expected="an ONNX file made by 'tsavo register'",
        next_step=f"run 'tsavo doctor'; the artifact is {path.name}",
    )
