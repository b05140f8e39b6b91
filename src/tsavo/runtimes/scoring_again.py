"""Has versions score recorded requests in a fresh worker process."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec
import numpy.typing as npt

from tsavo.runtimes.in_worker import in_worker, is_plain_file, no_answer
from tsavo.runtimes.jobs import AskedVersion, WorkerLimits
from tsavo.runtimes.orders import WorkerOrder
from tsavo.runtimes.score_jobs import OUTPUTS, ScoreAnswer, ScoreItem, ScoreJob, outputs_file
from tsavo.vocabulary import (
    Batch,
    Signature,
    Tensor,
    Unreadable,
    input_tensors,
)

__all__ = ["Asking", "Outputs", "score_again"]

_DEFAULT_LIMITS: Final = WorkerLimits()
_MOST_OUTPUT_BYTES: Final = 1 << 30

Outputs: TypeAlias = "tuple[npt.NDArray[Any], ...] | str"
"""In signature order; or why there are none."""


class Asking(NamedTuple):
    """A version, and what it is asked."""

    version: AskedVersion
    batches: Sequence[Batch]


def score_again(
    askings: Sequence[Asking],
    work: Path,
    *,
    remote: int | None = None,
    limits: WorkerLimits = _DEFAULT_LIMITS,
) -> list[list[Outputs]]:
    """What the versions answer, batch by batch; blocks until the worker is done.

    Parameters
    ----------
    work
        An existing folder for files that are gone afterwards.
    remote
        A socket to a Python worker that holds the model of the only asking.

    Raises
    ------
    TsavoError
        When the worker ended without an answer, or went beyond its limits.
    """
    with (
        tempfile.TemporaryDirectory(prefix="score-", dir=work) as asked,
        tempfile.TemporaryDirectory(prefix="score-", dir=work) as name,
    ):
        folder = Path(name).resolve()
        items = tuple(_item(asking, Path(asked).resolve() / str(at)) for at, asking in enumerate(askings))
        read = tuple(str(path) for item in items for path in (item.model, item.batches))
        order = WorkerOrder(limits, read, score=ScoreJob(items, remote))
        answer = in_worker(order, folder, ScoreAnswer, remote=remote)
        if len(answer.failures) != len(items):
            raise no_answer()
        return [
            [failure] * len(asking.batches) if failure else _outputs(folder / outputs_file(at), asking)
            for at, (asking, failure) in enumerate(zip(askings, answer.failures, strict=True))
        ]


def _item(asking: Asking, batches: Path) -> ScoreItem:
    asked = [input_tensors(batch.matrix, batch.columns) for batch in asking.batches]
    batches.write_bytes(msgspec.msgpack.encode(asked))
    version = msgspec.structs.asdict(asking.version)
    return ScoreItem(**version | {"model": asking.version.model.resolve()}, batches=batches)


def _outputs(path: Path, asking: Asking) -> list[Outputs]:
    """What the worker left, which may be as wrong as the model likes."""
    if not is_plain_file(path, _MOST_OUTPUT_BYTES):
        raise no_answer()
    try:
        found = OUTPUTS.decode(path.read_bytes())
    except (msgspec.MsgspecError, OSError) as error:
        raise no_answer() from error
    if len(found) != len(asking.batches):
        raise no_answer()
    return [
        given if isinstance(given, str) else _arrays(given, asking.version.signature, batch.rows)
        for given, batch in zip(found, asking.batches, strict=True)
    ]


def _arrays(given: Sequence[Tensor], signature: Signature, rows: int) -> Outputs:
    if len(given) != len(signature.outputs):
        return f"it gave {len(given)} outputs instead of {len(signature.outputs)}"
    arrays = []
    for tensor, output in zip(given, signature.outputs, strict=True):
        shape = (rows,) if output.width is None else (rows, output.width)
        if tensor.dtype != output.dtype or tensor.shape != shape:
            wanted = f"{output.dtype} {list(shape)}"
            return f"the output '{output.name}' is {tensor.dtype} {list(tensor.shape)} instead of {wanted}"
        if isinstance(tensor.data, bytes) == (output.dtype == "string"):
            raise _unreadable(f"the output '{output.name}' is not of its own type")
        try:
            arrays.append(tensor.array())
        except (ValueError, TypeError) as error:
            raise _unreadable(str(error)[:200]) from error
    return tuple(arrays)


def _unreadable(found: str) -> Unreadable:
    return Unreadable(
        "the process that ran the model left an answer that cannot be read", field="outputs", found=found
    )
