"""What counts as the same answer, on small graphs whose answers are known; and what a worker process survives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tsavo.formats.layout import LAYOUT_KEY, GraphInput, encode_layout
from tsavo.runtimes.describing import GoldenRows
from tsavo.runtimes.golden import write_golden
from tsavo.runtimes.jobs import WorkerLimits
from tsavo.runtimes.verification import ask_again
from tsavo.runtimes.verify_jobs import Found, VerifyItem, VerifyJob
from tsavo.runtimes.verifying import verify_items
from tsavo.vocabulary import Field, Hints, Output, Refused, Signature

SIGNATURE = Signature((Field("x", "float64", nullable=True),), (Output("value", "float64"),), "regression")
X = np.array([1.0, -2.0, np.nan, 1e300])


def graph(path: Path, *nodes: onnx.NodeProto) -> Path:
    """A graph from ``x`` [n] to ``value`` [n]."""
    ends = [helper.make_tensor_value_info(name, TensorProto.DOUBLE, ["n"]) for name in ("x", "value")]
    made = helper.make_model(
        helper.make_graph(list(nodes), "graph", ends[:1], ends[1:]),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=9,
    )
    layout = encode_layout((GraphInput("x", "float64", (0,), flat=True),))
    helper.set_model_props(made, {LAYOUT_KEY: layout})
    path.write_bytes(made.SerializeToString())
    return path


def doubling(path: Path) -> Path:
    return graph(path, helper.make_node("Add", ["x", "x"], ["value"]))


def item(model: Path, stored: Any, signature: Signature = SIGNATURE) -> VerifyItem:
    golden = model.with_suffix(".parquet")
    answers = {signature.outputs[0].name: np.asarray(stored)}
    write_golden(GoldenRows({"x": X[: len(stored)]}, answers, answers), signature, golden)
    return VerifyItem(
        runtime="onnx",
        model=model,
        format="onnx",
        trusted=False,
        hints=Hints(),
        signature=signature,
        golden=golden,
    )


def found(tmp_path: Path, stored: Any) -> Found:
    return verify_items(VerifyJob((item(doubling(tmp_path / "m.onnx"), stored),))).found[0]


def test_bit_by_bit_and_a_missing_number_is_itself(tmp_path: Path) -> None:
    same = found(tmp_path, [2.0, -4.0, np.nan, 2e300])
    assert (same.verdict, same.rows, same.worst) == ("same", 4, {"value": 0.0})


def test_a_last_bit_counts_as_differing_and_not_as_changed(tmp_path: Path) -> None:
    close = found(tmp_path, [np.nextafter(2.0, 3.0), -4.0, np.nan, 2e300])
    assert (close.verdict, close.differing, close.changed) == ("within-tolerance", 1, 0)
    assert close.worst["value"] == pytest.approx(4.4e-16, rel=0.02)


def test_a_number_where_there_was_none_has_changed_without_measure(tmp_path: Path) -> None:
    changed = found(tmp_path, [2.0, -4.0, 0.0, 2e300])
    assert (changed.verdict, changed.changed, changed.worst) == ("changed", 1, {"value": None})
    assert changed.first == (
        {"row": 2, "inputs": {"x": None}, "stored": {"value": 0.0}, "now": {"value": None}},
    )


def test_only_the_first_rows_are_told(tmp_path: Path) -> None:
    model = doubling(tmp_path / "m.onnx")
    golden = tmp_path / "m.parquet"
    rows = np.arange(30.0)
    answers = {"value": rows * 2 + 1}
    write_golden(GoldenRows({"x": rows}, answers, answers), SIGNATURE, golden)
    one = item(model, [0.0])
    write_golden(GoldenRows({"x": rows}, answers, answers), SIGNATURE, golden)
    changed = verify_items(VerifyJob((one,))).found[0]
    assert (changed.changed, [row["row"] for row in changed.first]) == (30, [0, 1, 2, 3, 4])


def test_what_is_no_model_breaks_and_leaves_the_others_alone(tmp_path: Path) -> None:
    good = item(doubling(tmp_path / "good.onnx"), [2.0])
    damaged = item(doubling(tmp_path / "damaged.onnx"), [2.0])
    damaged.model.write_bytes(damaged.model.read_bytes()[:-20])
    huge = helper.make_tensor("size", TensorProto.INT64, [1], [1 << 45])
    hungry = item(
        graph(
            tmp_path / "hungry.onnx",
            helper.make_node("Constant", [], ["size"], value=huge),
            helper.make_node("Expand", ["x", "size"], ["value"]),
        ),
        [2.0],
    )
    none = item(doubling(tmp_path / "none.onnx"), [2.0])
    none.golden.write_bytes(b"PAR1")
    answer = ask_again(VerifyJob((good, damaged, hungry, none, good)), tmp_path)
    assert [one.verdict for one in answer.found] == ["same", "breaks", "breaks", "breaks", "same"]
    assert "cannot be loaded" in answer.found[1].summary
    assert "golden rows" in answer.found[3].summary
    assert set(answer.libraries) == {"numpy", "onnxruntime"}


def test_another_number_of_answers_breaks(tmp_path: Path) -> None:
    wide = graph(
        tmp_path / "wide.onnx",
        helper.make_node(
            "Constant", [], ["size"], value=helper.make_tensor("s", TensorProto.INT64, [2], [3, 1])
        ),
        helper.make_node("Expand", ["x", "size"], ["value"]),
    )
    broken = verify_items(VerifyJob((item(wide, [2.0]),))).found[0]
    assert broken.verdict == "breaks"
    assert "shape" in broken.summary


def test_a_worker_that_takes_too_long_is_stopped(tmp_path: Path) -> None:
    job = VerifyJob((item(doubling(tmp_path / "m.onnx"), [2.0]),))
    with pytest.raises(Refused, match="took too long"):
        ask_again(job, tmp_path, WorkerLimits(wall_seconds=1e-6))
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []
