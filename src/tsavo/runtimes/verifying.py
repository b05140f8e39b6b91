"""Inside the worker: versions are asked for their golden rows again."""

from __future__ import annotations

import importlib.metadata
import platform
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from tsavo.runtimes.agreement import compare, plain, told_apart
from tsavo.runtimes.asked_originals import original_of
from tsavo.runtimes.golden import read_golden
from tsavo.runtimes.verify_jobs import Found, VerifyAnswer, VerifyItem, VerifyJob
from tsavo.vocabulary import NUMPY_DTYPES, Columns, Output, Signature, TsavoError

__all__ = ["verify_items"]

Answers: TypeAlias = dict[str, npt.NDArray[Any]]

_SHOWN: Final = 5
# What has a say in the answers of a compiled model.
_COMPILED: Final = ("numpy", "onnxruntime")
_LIBRARIES: Final = (
    "numpy",
    "scikit-learn",
    "scipy",
    "pandas",
    "skops",
    "joblib",
    "xgboost",
    "xgboost-cpu",
    "lightgbm",
    "catboost",
    "statsmodels",
    "torch",
)


def verify_items(job: VerifyJob) -> VerifyAnswer:
    """Ask every item's model for its rows again, and compare."""
    compiled = all(item.runtime == "onnx" for item in job.items)
    return VerifyAnswer(
        tuple(_verify(item, job.remote) for item in job.items),
        _versions(_COMPILED if compiled else _LIBRARIES),
        platform.python_version(),
    )


def _verify(item: VerifyItem, remote: int | None) -> Found:
    try:
        kept = read_golden(item.golden, item.signature)
        columns = kept.columns
        stored = kept.given if item.against == "prediction" else kept.expected
        with tempfile.TemporaryDirectory() as scratch:
            now = _opened(item, remote, Path(scratch))(columns)
        now = {output.name: _as_signed(output, now[output.name]) for output in item.signature.outputs}
    except MemoryError:
        raise
    except TsavoError as error:
        return Found("breaks", _one_line(str(error)))
    except Exception as error:  # a model fails in any way it likes
        return Found("breaks", _one_line(f"{type(error).__name__}: {error}"))
    return _compared(item.signature, columns, stored, now)


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300]


def _opened(item: VerifyItem, remote: int | None, scratch: Path) -> Callable[[Columns], Answers]:
    """A way to ask the item's model."""
    if item.runtime == "onnx":
        from tsavo.runtimes.compiling import answers_of
        from tsavo.runtimes.onnx_runtime import OnnxRuntime

        runtime = OnnxRuntime(item.model, item.signature)
        return lambda columns: answers_of(runtime, item.signature, columns)
    original = original_of(item, remote, scratch)
    return lambda columns: original.predict(item.signature.inputs, columns)


def _as_signed(output: Output, values: Any) -> npt.NDArray[Any]:
    return np.asarray(values).astype(NUMPY_DTYPES[output.dtype])


def _compared(signature: Signature, columns: Answers, stored: Answers, now: Answers) -> Found:
    rows = len(next(iter(stored.values())))
    exact = np.ones(rows, np.bool_)
    for output in signature.outputs:
        one, other = stored[output.name], now[output.name]
        if one.shape != other.shape:
            return Found(
                "breaks",
                f"output '{output.name}' has the shape {list(other.shape)} and had {list(one.shape)}",
                rows,
            )
        same = one == other
        if one.dtype.kind == "f":
            same |= np.isnan(one) & np.isnan(other)
        exact &= same if same.ndim == 1 else same.all(axis=1)
    comparison = compare(signature, stored, now)
    differing, changed = int((~exact).sum()), int(comparison.bad.sum())
    worst = {name: value if np.isfinite(value) else None for name, value in comparison.worst.items()}
    first = tuple(_row(int(at), columns, stored, now) for at in np.flatnonzero(comparison.bad)[:_SHOWN])
    if not differing:
        return Found("same", f"all {rows} rows give the same answers, bit by bit", rows, worst=worst)
    apart = told_apart(worst)
    if not changed:
        said = f"{differing} of {rows} rows differ within the tolerance" + (f": {apart}" if apart else "")
        return Found("within-tolerance", said, rows, differing, worst=worst)
    said = f"{changed} of {rows} rows give other answers" + (f": {apart}" if apart else "")
    return Found("changed", said, rows, differing, changed, worst, first)


def _row(at: int, columns: Answers, stored: Answers, now: Answers) -> dict[str, Any]:
    parts = {"inputs": columns, "stored": stored, "now": now}
    return {
        "row": at,
        **{part: {name: plain(values[at]) for name, values in side.items()} for part, side in parts.items()},
    }


def _versions(names: Sequence[str]) -> dict[str, str]:
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found
