"""Inside the worker: from a model to an artifact that is known to answer like it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from tsavo.formats.compilation import Compiled
from tsavo.formats.originals import NEVER_SEEN, CannotCompile, Original
from tsavo.formats.tables import batch_of, evenly, pick
from tsavo.runtimes.agreement import TOLERANCE, Comparison, compare, disagreement
from tsavo.runtimes.describing import Described, GoldenRows, PreparedVersion
from tsavo.runtimes.onnx_runtime import OnnxRuntime
from tsavo.vocabulary import (
    Check,
    Columns,
    Damaged,
    Disagreement,
    Field,
    Output,
    Refused,
    Signature,
    TsavoError,
)

__all__ = ["answers_of", "compile_checked", "load_check"]

_SINGLE_ROWS: Final = 10
_EDGE_ROWS: Final = 5


def compile_checked(original: Original, described: Described, artifact: Path) -> PreparedVersion:
    """Compile `original` into `artifact` and compare the two.

    Raises
    ------
    Disagreement
        When they answer differently.
    Refused
        When a step cannot be compiled.
    """
    reasons: list[TsavoError] = []
    # The second road lets converters of others compute in float32: some are wrong, or do not run, in float64.
    for float32 in (False, True):
        try:
            compiled = _compile(original, described.fields, artifact, float32=float32)
            return _Trial(original, compiled, described.fields, artifact).run(described)
        except (Disagreement, Refused, Damaged) as reason:
            reasons.append(reason)
    raise next((reason for reason in reasons if isinstance(reason, Disagreement)), reasons[0])


def answers_of(runtime: OnnxRuntime, signature: Signature, columns: Columns) -> dict[str, npt.NDArray[Any]]:
    """The runtime's outputs by name."""
    outputs = runtime.predict(batch_of(signature, columns))
    return {output.name: values for output, values in zip(signature.outputs, outputs, strict=True)}


def _compile(original: Original, fields: Sequence[Field], artifact: Path, *, float32: bool) -> Compiled:
    try:
        compiled = original.compile(fields, float32=float32)
    except CannotCompile as reason:
        cause = f" ({reason.__cause__})" if reason.__cause__ is not None else ""
        raise _cannot(f"{reason}{cause}"[:300]) from reason
    except MemoryError:
        raise
    except Exception as error:  # an estimator may lack a part that this release of scikit-learn gives it
        raise _cannot(f"{type(error).__name__}: {error}"[:300]) from error
    artifact.write_bytes(compiled.model.SerializeToString(deterministic=True))
    return compiled


def _cannot(why: str) -> Refused:
    return Refused(
        f"it cannot be compiled: {why}",
        field="source",
        expected="a model with a way to ONNX",
        next_step="replace what is named, or leave it to a Python worker (--runtime auto)",
    )


class _Trial:
    """One artifact against its original."""

    def __init__(
        self, original: Original, compiled: Compiled, fields: tuple[Field, ...], artifact: Path
    ) -> None:
        self._original = original
        self._artifact = artifact
        self._precision = compiled.precision
        self._natural = fields
        self._signature = Signature(
            tuple(_with_known(field, compiled.known.get(at, [])) for at, field in enumerate(fields)),
            tuple(Output(answer.name, answer.dtype, answer.width) for answer in compiled.answers),
            original.task,
            original.classes,
        )

    def run(self, described: Described) -> PreparedVersion:
        sample, expected, rows = described.sample, described.expected, described.rows
        runtime, load = load_check(self._artifact, self._signature)
        answers = self._answers(runtime, sample)
        comparison = compare(self._signature, expected, answers)
        if not comparison.agrees:
            raise disagreement(sample, expected, answers, comparison, rows)
        self._single_rows(runtime, sample, expected, rows)
        edges = self._edges(runtime, sample)
        runtime, load = load_check(self._artifact, self._signature)
        signature = self._signature
        return PreparedVersion(
            signature,
            "onnx",
            lambda columns: answers_of(runtime, signature, columns),
            (self._agreement(comparison, len(rows), edges, generated=described.generated), load),
            GoldenRows.among(sample, expected, answers),
        )

    def _answers(self, runtime: OnnxRuntime, columns: Columns) -> dict[str, npt.NDArray[Any]]:
        try:
            return answers_of(runtime, self._signature, columns)
        except Exception as error:  # onnxruntime's errors have no common class of their own
            raise _cannot(f"the compiled graph does not run ({error})"[:300]) from error

    def _single_rows(
        self,
        runtime: OnnxRuntime,
        sample: dict[str, npt.NDArray[Any]],
        expected: dict[str, npt.NDArray[Any]],
        rows: npt.NDArray[np.int64],
    ) -> None:
        """Rows one at a time must answer as in a batch."""
        for at in evenly(len(rows), _SINGLE_ROWS).tolist():
            one, want = pick(sample, [at]), pick(expected, [at])
            answers = self._answers(runtime, one)
            comparison = compare(self._signature, want, answers)
            if not comparison.agrees:
                raise disagreement(one, want, answers, comparison, rows[[at]])

    # H6: edge rows from runtimes/edges.py go here.
    def _edges(self, runtime: OnnxRuntime, sample: dict[str, npt.NDArray[Any]]) -> int:
        """Missing values and unseen categories in each column that takes them; how many rows were compared.

        Where the two differ on what the reference rows do not show, the signature promises less.
        """
        compared = 0
        fields = list(self._signature.inputs)
        chosen = evenly(len(next(iter(sample.values()))), _EDGE_ROWS)
        few = pick(sample, chosen)
        for at, field in enumerate(fields):
            if field.nullable:
                compared += len(chosen)
                if not self._same_with(runtime, few, field, None):
                    fields[at] = msgspec.structs.replace(fields[at], nullable=False)
            if field.dtype == "string" and field.unseen == "flag":
                compared += len(chosen)
                if not self._same_with(runtime, few, field, NEVER_SEEN):
                    fields[at] = msgspec.structs.replace(fields[at], unseen="refuse")
        self._signature = msgspec.structs.replace(self._signature, inputs=tuple(fields))
        return compared

    def _same_with(
        self, runtime: OnnxRuntime, few: dict[str, npt.NDArray[Any]], field: Field, value: str | None
    ) -> bool:
        values = few[field.name].copy()
        values[:] = np.nan if value is None and values.dtype != object else value
        edge = {**few, field.name: values}
        try:
            expected = self._original.predict(self._natural, edge)
        except MemoryError:
            raise
        except Exception:  # what it takes in one row it may refuse together with others
            return False
        return compare(self._signature, expected, self._answers(runtime, edge)).agrees

    def _agreement(self, comparison: Comparison, rows: int, edges: int, *, generated: bool) -> Check:
        worst = max(comparison.worst.values(), default=0.0)
        kind = "generated" if generated else "reference"
        return Check(
            "agreement",
            True,
            f"answers as the original does on {rows} {kind} rows: at most {worst:.1e} apart, "
            f"{comparison.label_mismatches} other labels",
            {
                "rows": rows,
                "generated": generated,
                "edge_rows": edges,
                "max_abs_difference": comparison.worst,
                "label_mismatches": comparison.label_mismatches,
                "tolerance": TOLERANCE,
                "precision": self._precision,
            },
        )


def _with_known(field: Field, known: Sequence[str]) -> Field:
    """The field with the categories that the model was fitted on, beside those of the reference rows."""
    if field.dtype != "string" or (field.categories is None and field.unseen == "flag"):
        return field
    categories = tuple(sorted({*(field.categories or ()), *known}))
    return msgspec.structs.replace(field, categories=categories or None)


def load_check(artifact: Path, signature: Signature) -> tuple[OnnxRuntime, Check]:
    """Load the artifact, and say how long that took."""
    started = time.perf_counter()
    runtime = OnnxRuntime(artifact, signature)
    milliseconds = (time.perf_counter() - started) * 1000
    size = artifact.stat().st_size
    return runtime, Check(
        "load",
        True,
        f"{size} bytes load in {milliseconds:.1f} ms",
        {"bytes": size, "milliseconds": round(milliseconds, 3)},
    )
