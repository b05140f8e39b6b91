from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt
import pytest
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from tsavo.formats.compilation import compile_estimator
from tsavo.formats.sklearn_models import SklearnOriginal
from tsavo.formats.tables import batch_of
from tsavo.runtimes import OnnxRuntime
from tsavo.vocabulary import Columns, Field, Output, Signature

Outputs = dict[str, npt.NDArray[Any]]
Both = Callable[..., tuple[Outputs, Outputs]]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Tests share few cores, and spinning threads of small fits cost more than they give."""
    with threadpool_limits(1):
        yield


@pytest.fixture
def both(tmp_path: Path) -> Both:
    """Ask the original and the compiled model the same rows."""

    def ask(
        estimator: Any, fields: Sequence[Field], columns: Columns, *, float32: bool = False
    ) -> tuple[Outputs, Outputs]:
        original = SklearnOriginal(estimator)
        compiled = compile_estimator(estimator, fields, float32=float32)
        path = tmp_path / "model.onnx"
        path.write_bytes(compiled.model.SerializeToString())
        outputs = tuple(Output(answer.name, answer.dtype, answer.width) for answer in compiled.answers)
        signature = Signature(tuple(fields), outputs, original.task, original.classes)
        given = OnnxRuntime(path, signature).predict(batch_of(signature, columns))
        names = [output.name for output in outputs]
        return original.predict(fields, columns), dict(zip(names, given, strict=True))

    return ask
