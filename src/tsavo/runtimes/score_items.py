"""Inside the worker: versions are asked what they were asked before, in the same batches."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

from tsavo.runtimes.asked_originals import original_of
from tsavo.runtimes.score_jobs import BATCHES, ScoreAnswer, ScoreItem, ScoreJob, outputs_file
from tsavo.vocabulary import NUMPY_DTYPES, Batch, Signature, Tensor, TsavoError

__all__ = ["score_items"]

_Ask: TypeAlias = Callable[[Batch], tuple[npt.NDArray[Any], ...]]


def score_items(job: ScoreJob, folder: Path) -> ScoreAnswer:
    """Ask every item's model; the outputs are left in `folder`."""
    failures = []
    for place, item in enumerate(job.items):
        failure, answers = _answers(item, job.remote)
        failures.append(failure)
        (folder / outputs_file(place)).write_bytes(msgspec.msgpack.encode(answers))
    return ScoreAnswer(tuple(failures))


def _answers(item: ScoreItem, remote: int | None) -> tuple[str, list[tuple[Tensor, ...] | str]]:
    with tempfile.TemporaryDirectory() as scratch:
        try:
            ask = _opened(item, remote, Path(scratch))
        except MemoryError:
            raise
        except Exception as error:  # a model fails in any way it likes
            return _told(error), []
        return "", [_answer(ask, _batch(item.signature, asked)) for asked in _batches(item)]


def _batches(item: ScoreItem) -> list[tuple[Tensor, ...]]:
    return BATCHES.decode(item.batches.read_bytes())


def _batch(signature: Signature, tensors: tuple[Tensor, ...]) -> Batch:
    arrays = [tensor.array() for tensor in tensors]
    if signature.matrix_dtype is not None:
        return Batch(len(arrays[0]), arrays[0])
    return Batch(len(arrays[0]), None, tuple(arrays))


def _answer(ask: _Ask, batch: Batch) -> tuple[Tensor, ...] | str:
    try:
        return tuple(Tensor.of(output) for output in ask(batch))
    except MemoryError:
        raise
    except Exception as error:  # a model fails in any way it likes
        return _told(error)


def _told(error: Exception) -> str:
    text = str(error) if isinstance(error, TsavoError) else f"{type(error).__name__}: {error}"
    return " ".join(text.split())[:300]


def _opened(item: ScoreItem, remote: int | None, scratch: Path) -> _Ask:
    """A way to ask the item's model that is the one in which it serves."""
    signature = item.signature
    if item.runtime == "onnx":
        from tsavo.runtimes.onnx_runtime import OnnxRuntime

        return OnnxRuntime(item.model, signature).predict
    original = original_of(item, remote, scratch)

    def ask(batch: Batch) -> tuple[npt.NDArray[Any], ...]:
        names = [field.name for field in signature.inputs]
        matrix = batch.matrix
        arrays = batch.columns if matrix is None else [matrix[:, at] for at in range(len(names))]
        outputs = original.predict(signature.inputs, dict(zip(names, arrays, strict=True)))
        return tuple(
            np.asarray(outputs[output.name]).astype(NUMPY_DTYPES[output.dtype])
            for output in signature.outputs
        )

    return ask
