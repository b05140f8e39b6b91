"""The warm process that workers are copies of: ``python -m tsavo.runtimes.fork_server DESCRIPTOR IDLE_SECONDS``.

It has imported the model libraries, which takes seconds, so that a worker starts in milliseconds. Over a socket it is
told folders; for each it makes a copy of itself (`copies`), which does the job in that folder (`worker`) and ends. It
reads no byte of a model. Where copies would not be safe, workers are started afresh instead.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Final

import msgspec

from tsavo.runtimes import worker
from tsavo.runtimes.copies import serve_copies
from tsavo.runtimes.orders import ForkOrder

__all__ = ["main"]

# What nearly every registration needs. The others are imported by the worker that needs them.
_WARM: Final = (
    "numpy",
    "pyarrow.parquet",
    "pyarrow.csv",
    # What these import when they are first used: a third of a simple model's registration, if every copy did it anew.
    "encodings.cp437",
    "pyarrow.dataset",
    "pyarrow.pandas_compat",
    "onnxruntime",
    "onnx",
    "pandas",
    "scipy.sparse",
    "scipy.special",
    "sklearn.compose",
    "sklearn.ensemble",
    "sklearn.linear_model",
    "sklearn.pipeline",
    "sklearn.preprocessing",
    "skl2onnx",
    "skops.io",
    "joblib",
    "cloudpickle",
    "xgboost",
    "lightgbm",
    "tsavo.runtimes.preparing",
    "tsavo.runtimes.compiling",
    "tsavo.runtimes.python_versions",
    "tsavo.runtimes.reference",
    "tsavo.runtimes.onnx_files",
    "tsavo.runtimes.golden",
    "tsavo.formats.compilation",
    "tsavo.formats.estimators",
    "tsavo.formats.sklearn_models",
    "tsavo.formats.thresholds",
)
# skops imports all of scikit-learn to know its types, and this part of it imports PyTorch: two seconds and 185 MiB for
# something that few models need. It has no type of a model.
_LEFT_OUT: Final = "sklearn.externals.array_api_compat.torch"
_MOST_DESCRIPTORS: Final = 3
_LAST_DESCRIPTOR: Final = 1 << 16


def _work(message: bytes, descriptors: list[int]) -> int:
    """In the copy: become a worker."""
    order = msgspec.json.decode(message, type=ForkOrder)
    _keep_descriptors(order, descriptors)
    os.chdir(order.folder)
    os.environ.update(HOME=order.folder, TMPDIR=order.folder)
    tempfile.tempdir = None
    return worker.main(Path(order.folder))


def _keep_descriptors(order: ForkOrder, descriptors: list[int]) -> None:
    """Input from nowhere, output into the pipe, perhaps the other process, and nothing else of the server's."""
    nowhere = os.open(os.devnull, os.O_RDONLY)
    for target, source in ((0, nowhere), (1, descriptors[0]), (2, descriptors[0])):
        os.dup2(source, target)
    if order.remote is None or len(descriptors) < _MOST_DESCRIPTORS:
        os.closerange(3, _LAST_DESCRIPTOR)
        return
    if descriptors[2] != order.remote:
        os.dup2(descriptors[2], order.remote)
    os.closerange(3, order.remote)
    os.closerange(order.remote + 1, _LAST_DESCRIPTOR)


def _warm_up() -> None:
    with _left_out(_LEFT_OUT):
        _import_all()
    with contextlib.suppress(Exception):
        import_module("tsavo.runtimes.preparing").installed_libraries()


@contextlib.contextmanager
def _left_out(name: str) -> Iterator[None]:
    """Have a module be missing for a while."""
    sys.modules[name] = None  # type: ignore[assignment] # which is how Python is told so
    try:
        yield
    finally:
        del sys.modules[name]


def _import_all() -> None:
    for name in _WARM:
        # What is not installed is not needed; a library that is broken will say so to the worker.
        with contextlib.suppress(Exception):
            import_module(name)


def main(descriptor: int, idle_seconds: float) -> int:
    """Serve the socket `descriptor` until it closes; its exit code."""
    return serve_copies(descriptor, idle_seconds, _warm_up, _work)


if __name__ == "__main__":
    # Without the interpreter's long farewell; copies that are still at work end with it.
    os._exit(main(int(sys.argv[1]), float(sys.argv[2])) & 0xFF)
