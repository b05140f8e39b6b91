from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pytest

from tsavo.formats.graph import Graph
from tsavo.formats.layout import MISSING
from tsavo.runtimes import OnnxRuntime, PythonRuntime, Runtime, WorkerPool, load
from tsavo.vocabulary import Batch, Damaged, Field, Lineage, Output, Signature, Version

MIXED = Signature(
    (Field("name", "string", nullable=True), Field("size", "int64"), Field("ok", "bool")),
    (Output("echo", "string", 1), Output("sum", "float64")),
    "generic",
)


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Echoes the text and adds up the numbers."""
    graph = Graph()
    numbers = graph.matrix(graph.input("numbers", "number", [1, 2]))
    texts = graph.matrix(graph.input("strings", "string", [0]))
    total = graph.node("MatMul", numbers, graph.constant(np.ones((2, 1))))
    model = graph.model([("sum", graph.flatten(total), "float64", None), ("echo", texts, "string", 1)])
    path = tmp_path / "mixed.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def _rows(*names: str | None) -> Batch:
    texts: npt.NDArray[Any] = np.empty(len(names), dtype=object)
    texts[:] = names
    count = len(names)
    return Batch(count, None, (texts, np.arange(count), np.ones(count, np.bool_)))


def test_columns_of_all_types_reach_their_places(mixed: Path) -> None:
    runtime = OnnxRuntime(mixed, MIXED)
    echo, total = runtime.predict(_rows("Bern", "Genève", ""))
    assert echo.ravel().tolist() == ["Bern", "Genève", ""]
    assert total.tolist() == [1.0, 2.0, 3.0]


def test_missing_text_travels_as_the_marker_in_the_file(mixed: Path) -> None:
    echo, _ = OnnxRuntime(mixed, MIXED).predict(_rows(None, "x"))
    assert echo.ravel().tolist() == [MISSING, "x"]


def test_outputs_come_in_signature_order_and_may_be_fewer(mixed: Path) -> None:
    fewer = Signature(MIXED.inputs, MIXED.outputs[1:], "generic")
    (total,) = OnnxRuntime(mixed, fewer).predict(_rows("a"))
    assert total.tolist() == [1.0]


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "int32", "bool"])
def test_a_matrix_of_any_type_is_taken(tmp_path: Path, dtype: Any) -> None:
    graph = Graph()
    numbers = graph.matrix(graph.input("numbers", "number", [0, 1]))
    path = tmp_path / "matrix.onnx"
    path.write_bytes(graph.model([("value", numbers, "float64", 2)]).SerializeToString())
    signature = Signature(
        (Field("a", dtype), Field("b", dtype)), (Output("value", "float64", 2),), "regression"
    )
    matrix = np.array([[0, 1], [1, 0]]).astype(dtype)
    (value,) = OnnxRuntime(path, signature).predict(Batch(2, matrix))
    assert value.dtype == np.float64
    np.testing.assert_array_equal(value, matrix.astype(np.float64))


def test_threads_may_share_one_runtime(mixed: Path) -> None:
    runtime = OnnxRuntime(mixed, MIXED)

    def ask(number: int) -> bool:
        echo, total = runtime.predict(_rows(*[f"row {number}"] * (number + 1)))
        return set(echo.ravel().tolist()) == {f"row {number}"} and len(total) == number + 1

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(ask, range(200)))


@pytest.mark.parametrize("content", [b"", b"not onnx", b"\x08\x07\x12\x05tsavo"])
def test_a_damaged_artifact_says_so(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "artifact"
    path.write_bytes(content)
    with pytest.raises(Damaged) as refusal:
        OnnxRuntime(path, MIXED)
    assert refusal.value.field == "artifact"
    with pytest.raises(Damaged):
        OnnxRuntime(tmp_path / "gone", MIXED)


def test_an_artifact_without_the_signatures_outputs_is_damaged(mixed: Path) -> None:
    other = Signature(MIXED.inputs, (Output("value", "float64"),), "regression")
    with pytest.raises(Damaged):
        OnnxRuntime(mixed, other)


def test_load_takes_the_runtime_that_the_version_names(mixed: Path, tmp_path: Path) -> None:
    workers = WorkerPool(tmp_path / "workers", lambda _none: Path(sys.executable))
    version = Version(
        model="echo",
        number=1,
        digest="0" * 64,
        artifact="0" * 64,
        artifact_bytes=mixed.stat().st_size,
        runtime="onnx",
        signature=MIXED,
        lineage=Lineage("me", "echo.onnx", "onnx", "0" * 64, "onnx"),
        checks=(),
        created=datetime(2026, 1, 1, tzinfo=UTC),
    )
    runtime = load(version, mixed, workers)
    assert isinstance(runtime, Runtime)
    assert runtime.signature is MIXED
    as_it_is = load(msgspec.structs.replace(version, runtime="python"), mixed, workers)
    assert isinstance(as_it_is, PythonRuntime)
    assert as_it_is.signature is MIXED
