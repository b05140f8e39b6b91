from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from tsavo.formats.compilation import compile_estimator
from tsavo.formats.sklearn_models import SklearnOriginal
from tsavo.formats.tables import batch_of
from tsavo.runtimes import OnnxRuntime
from tsavo.vocabulary import Columns, Field, Output, Signature

# A program of a test's own; whoever looks for doctests must not import it.
collect_ignore = ["mlflow_functions.py"]

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


ROWS = 300
_RANDOM = np.random.default_rng(11)
NUMBERS = _RANDOM.normal(size=(ROWS, 4)) * [1.0, 5.0, 0.2, 30.0] + [0.0, 2.0, 0.0, 100.0]
TWO = (NUMBERS[:, 0] + NUMBERS[:, 1] / 4 + _RANDOM.normal(size=ROWS) > 0.5).astype(np.int64)
THREE = np.array(["low", "middle", "high"])[np.digitize(NUMBERS[:, 0] + NUMBERS[:, 1] / 4, [-0.5, 1.0])]
REAL = NUMBERS[:, 0] * 3 + NUMBERS[:, 3] / 10
TARGETS: dict[str, npt.NDArray[Any] | None] = {
    "two": TWO,
    "three": THREE,
    "labels": np.stack([TWO, (THREE == "low").astype(np.int64)], axis=1),
    "real": REAL,
    "several": np.stack([REAL, -(NUMBERS[:, 1] ** 2)], axis=1),
    "positive": np.abs(REAL) + 0.1,
    "none": None,
}
Agree = Callable[..., None]


@pytest.fixture
def agree(both: Both) -> Agree:
    """Fit on one of `TARGETS`; the compiled model must answer as the original does, far outside the data too."""

    def check(estimator: Any, target: str, tolerance: float = 1e-9, inputs: Any = NUMBERS) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            estimator.fit(inputs, TARGETS[target])
        fields = [Field(f"x{at}", "float64") for at in range(inputs.shape[1])]
        asked = np.concatenate([inputs, inputs[:50] * 7, inputs[:20] * -3, np.zeros((1, inputs.shape[1]))])
        if (inputs >= 0).all():
            asked = np.abs(asked)[:-1] if (inputs > 0).all() else np.abs(asked)
        expected, found = both(estimator, fields, {f.name: asked[:, at] for at, f in enumerate(fields)})
        assert found.keys() == expected.keys()
        for name, values in expected.items():
            assert found[name].shape == values.shape
            if values.dtype.kind in "OUib":
                np.testing.assert_array_equal(found[name], values)
            else:
                np.testing.assert_allclose(found[name], values, rtol=tolerance, atol=tolerance)

    return check
