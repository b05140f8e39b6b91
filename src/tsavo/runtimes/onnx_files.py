"""Inside the worker: an ONNX file from elsewhere becomes a version.

There is no original to ask, so the artifact is compared with a plain onnxruntime session of the file as it was
handed in, fed the way the file itself wants it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt
import onnxruntime
from onnx import ModelProto

from tsavo.formats.layout import GraphInput
from tsavo.formats.onnx_graphs import (
    OnnxInput,
    class_labels,
    name_outputs,
    open_onnx,
    real_inputs,
    without_maps,
)
from tsavo.formats.tables import evenly, field_of, pick
from tsavo.runtimes.agreement import TOLERANCE, compare, disagreement
from tsavo.runtimes.compiling import answers_of, load_check
from tsavo.runtimes.describing import MAX_COMPARED, GoldenRows, PreparedVersion
from tsavo.runtimes.jobs import PrepareJob
from tsavo.runtimes.reference import ReferenceRows, as_declared, generated_rows, read_reference
from tsavo.vocabulary import (
    Check,
    Columns,
    DType,
    Field,
    Invalid,
    Output,
    Refused,
    Signature,
    Task,
)

__all__ = ["prepare_onnx"]

_OUTPUT_DTYPES: Final[dict[str, DType]] = {
    "float64": "float64",
    "float32": "float32",
    "int64": "int64",
    "int32": "int32",
    "bool": "bool",
    "object": "string",
}
# Operators that give missing numbers a meaning.
_TAKES_MISSING: Final = frozenset({"Imputer", "IsNaN"})


def prepare_onnx(job: PrepareJob, artifact: Path) -> tuple[PreparedVersion, ReferenceRows, str]:
    """The version, its reference rows, and what made the file.

    Raises
    ------
    Unreadable, Refused, Invalid
        For files that are broken, that name other files, or that do not take and give tables.
    Disagreement
        When the artifact answers otherwise than the file.
    """
    model = open_onnx(job.source)
    classes = job.hints.classes or class_labels(model)
    plain = without_maps(model)
    inputs = real_inputs(plain)
    columns = [(part, at) for part in inputs for at in range(part.width or 1)]
    names = _column_names(inputs)
    reference = _reference(job, names, [part.dtype for part, _ in columns])
    dtypes = [part.dtype for part, _ in columns]
    rows = evenly(reference.rows, MAX_COMPARED)
    sample = pick(reference.columns, rows)
    raw = _run_plain(plain, inputs, sample)
    outputs, task = _outputs(raw, job, classes)
    fields = _fields(reference, dtypes, plain)
    signature = Signature(
        fields, tuple(output for _, output in outputs), task, classes if task in _CLASSED else None
    )
    artifact.write_bytes(name_outputs(plain, outputs, _layout(inputs)).SerializeToString(deterministic=True))
    runtime, load = load_check(artifact, signature)
    expected = {
        output.name: raw[inner].reshape(-1) if output.width is None else raw[inner]
        for inner, output in outputs
    }
    answers = answers_of(runtime, signature, sample)
    comparison = compare(signature, expected, answers)
    if not comparison.agrees:
        raise disagreement(sample, expected, answers, comparison, rows)
    kind = "generated" if reference.generated else "reference"
    check = Check(
        "agreement",
        True,
        f"answers as the file itself does on {len(rows)} {kind} rows",
        {
            "rows": len(rows),
            "generated": reference.generated,
            "max_abs_difference": comparison.worst,
            "label_mismatches": comparison.label_mismatches,
            "tolerance": TOLERANCE,
            "precision": "as in the file",
        },
    )
    maker = f"{model.producer_name or 'unknown'} {model.producer_version}".strip()
    version = PreparedVersion(
        signature,
        "onnx",
        lambda columns: answers_of(runtime, signature, columns),
        (check, load),
        GoldenRows.among(sample, expected, answers),
    )
    return version, reference, f"onnx ({maker})"


_CLASSED: Final = frozenset({"binary", "multiclass"})


def _column_names(inputs: tuple[OnnxInput, ...]) -> list[str] | None:
    """Names of the columns when the file has them: one tensor a column."""
    if all((part.width or 1) == 1 for part in inputs):
        return [part.name for part in inputs]
    return None


def _reference(job: PrepareJob, names: list[str] | None, dtypes: list[DType]) -> ReferenceRows:
    if job.reference is None:
        return generated_rows(names or [f"f{at}" for at in range(len(dtypes))], dtypes)
    reference = read_reference(job.reference, job.target, names, len(dtypes))
    columns = {
        name: as_declared(Field(name, dtype), values)
        for (name, values), dtype in zip(reference.columns.items(), dtypes, strict=True)
    }
    return msgspec.structs.replace(reference, columns=columns)


def _layout(inputs: tuple[OnnxInput, ...]) -> tuple[GraphInput, ...]:
    layout, start = [], 0
    for part in inputs:
        width = part.width or 1
        layout.append(
            GraphInput(part.name, part.dtype, tuple(range(start, start + width)), flat=part.width is None)
        )
        start += width
    return tuple(layout)


def _run_plain(
    model: ModelProto, inputs: tuple[OnnxInput, ...], sample: Columns
) -> dict[str, npt.NDArray[Any]]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    columns = list(sample.values())
    feed, start = {}, 0
    for part in inputs:
        width = part.width or 1
        block = np.stack(columns[start : start + width], axis=1)
        feed[part.name] = block[:, 0] if part.width is None else block
        start += width
    try:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        names = [output.name for output in session.get_outputs()]
        return {name: np.asarray(value) for name, value in zip(names, session.run(None, feed), strict=True)}
    except Exception as error:  # onnxruntime's errors have no common class of their own
        raise Refused(
            "onnxruntime cannot run this ONNX file",
            field="source",
            found=f"{type(error).__name__}: {error}"[:300],
            expected="standard operators, and rows that are independent of each other",
        ) from error


def _outputs(
    raw: dict[str, npt.NDArray[Any]], job: PrepareJob, classes: tuple[Any, ...] | None
) -> tuple[tuple[tuple[str, Output], ...], Task]:
    """Public outputs and the task, from what the file gives."""
    found = [(name, _described(name, values)) for name, values in raw.items()]
    labels = [
        item
        for item in found
        if item[1].width is None and item[1].dtype in {"int64", "int32", "string", "bool"}
    ]
    wide = [item for item in found if item[1].width is not None and item[1].dtype in {"float64", "float32"}]
    numbers = [item for item in found if item[1].width is None and item[1].dtype in {"float64", "float32"}]
    wanted = job.hints.task
    if labels and wide and len(found) == 2 and wanted in {None, "binary", "multiclass"}:
        (label, first), (share, second) = labels[0], wide[0]
        if classes is not None and len(classes) != second.width:
            raise Invalid(
                "the number of classes does not fit",
                field="classes",
                found=classes,
                expected=f"{second.width}",
            )
        return (
            (label, msgspec.structs.replace(first, name="label")),
            (share, msgspec.structs.replace(second, name="probabilities")),
        ), "binary" if second.width == 2 else "multiclass"
    if labels and numbers and len(found) == 2 and wanted in {None, "anomaly"}:
        return (
            (numbers[0][0], msgspec.structs.replace(numbers[0][1], name="score")),
            (labels[0][0], msgspec.structs.replace(labels[0][1], name="label")),
        ), "anomaly"
    if len(found) == 1 and not labels and wanted in {None, "regression"}:
        name, only = found[0]
        if wanted is None and "prob" in name.lower() and only.width is not None:
            return (
                (name, msgspec.structs.replace(only, name="probabilities")),
            ), "binary" if only.width == 2 else "multiclass"
        return ((name, msgspec.structs.replace(only, name="value")),), "regression"
    return tuple(found), wanted or "generic"


def _described(name: str, values: npt.NDArray[Any]) -> Output:
    dtype = _OUTPUT_DTYPES.get(values.dtype.name)
    if dtype is None or values.ndim not in {1, 2}:
        raise Refused(
            "an output of the ONNX model is no table",
            field=f"outputs.{name}",
            found=f"{values.dtype} of shape {list(values.shape)}",
            expected="[rows] or [rows, width] of numbers, booleans or text",
        )
    width = values.shape[1] if values.ndim == 2 and values.shape[1] != 1 else None
    return Output(name, dtype, width)


def _fields(reference: ReferenceRows, dtypes: list[DType], model: ModelProto) -> tuple[Field, ...]:
    takes_missing = any(
        node.op_type in _TAKES_MISSING
        or any(part.name == "nodes_missing_value_tracks_true" and any(part.ints) for part in node.attribute)
        for node in model.graph.node
    )
    fields = []
    for (name, values), dtype in zip(reference.columns.items(), dtypes, strict=True):
        wide = values.astype(np.float64) if values.dtype.kind in "fi" else values
        field = field_of(name, wide)
        if reference.generated:
            # Made-up values say nothing about the range of real ones.
            field = Field(name, field.dtype)
        nullable = dtype in {"float64", "float32"} and (field.nullable or takes_missing)
        fields.append(msgspec.structs.replace(field, dtype=dtype, nullable=nullable))
    return tuple(fields)
