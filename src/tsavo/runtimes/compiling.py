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
from tsavo.formats.originals import CannotCompile, Original
from tsavo.formats.tables import batch_of, evenly, pick
from tsavo.runtimes.agreement import TOLERANCE, Comparison, compare, disagreement
from tsavo.runtimes.describing import Described, GoldenRows, PreparedVersion
from tsavo.runtimes.edges import EdgeRows, edge_rows
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
# What the signature does not promise where the two differ on edge rows of a kind.
_NARROWED: Final[dict[str, dict[str, Any]]] = {"missing": {"nullable": False}, "unseen": {"unseen": "refuse"}}


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
        compiled = None
        try:
            compiled = _compile(original, described.fields, artifact, float32=float32)
            return _Trial(original, compiled, described.fields, artifact).run(described)
        except (Disagreement, Refused, Damaged) as reason:
            reasons.append(reason)
        if compiled is not None and compiled.precision == "float64":
            # Nothing was borrowed: the second road would be the same one.
            break
    raise next((reason for reason in reasons if isinstance(reason, Disagreement)), reasons[0])


def answers_of(runtime: OnnxRuntime, signature: Signature, columns: Columns) -> dict[str, npt.NDArray[Any]]:
    """The runtime's outputs by name."""
    outputs = runtime.predict(batch_of(signature, columns))
    return {output.name: values for output, values in zip(signature.outputs, outputs, strict=True)}


def _compile(original: Original, fields: Sequence[Field], artifact: Path, *, float32: bool) -> Compiled:
    try:
        compiled = original.compile(fields, float32=float32)
    except CannotCompile as reason:
        raise _cannot(str(reason)[:300]) from reason
    except MemoryError:
        raise
    except Exception as error:  # an estimator may lack a part that this release of its library gives it
        raise _cannot("its parts are not as this release of its library makes them") from error
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
            raise _cannot("the graph that it was converted to does not run") from error

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

    def _edges(self, runtime: OnnxRuntime, sample: dict[str, npt.NDArray[Any]]) -> dict[str, int]:
        """Compare the two on edge rows; how many of each kind were compared.

        Where they differ on missing values or unseen text in a column, the signature promises less.

        Raises
        ------
        Disagreement
            When they differ on anything else.
        """
        compared: dict[str, int] = {}
        for part in edge_rows(self._signature.inputs, sample, self._switches(), self._original.reach):
            taken, expected = self._taken(part)
            refused = np.setdiff1d(part.changed, taken.changed)
            if taken.rows:
                compared[part.kind] = taken.rows
                answers = self._answers(runtime, taken.columns)
                comparison = compare(self._signature, expected, answers)
                promised = ~self._can_narrow(part.kind)[taken.changed]
                if (comparison.bad & promised).any():
                    where = f"generated rows that try {part.kind}"
                    numbers = np.arange(taken.rows)
                    raise disagreement(taken.columns, expected, answers, comparison, numbers, where)
                refused = np.union1d(refused, taken.changed[comparison.bad])
            if part.kind in _NARROWED:
                self._narrow(refused.tolist(), **_NARROWED[part.kind])
        return compared

    def _can_narrow(self, kind: str) -> npt.NDArray[np.bool_]:
        """[fields] where the signature can promise less; an open text column has nothing to refuse by."""
        fields = self._signature.inputs
        closed = [kind == "missing" or field.categories is not None for field in fields]
        return np.array([kind in _NARROWED and possible for possible in closed], np.bool_)

    def _switches(self) -> dict[str, list[float]]:
        """The model's edges under the names of the signature's columns."""
        edges = self._original.edges()
        fields = self._signature.inputs
        names = self._original.names or [f"x{at}" for at in range(len(fields))]
        # By place: some libraries spell the names of columns in their own way.
        return {field.name: edges.get(name, []) for field, name in zip(fields, names, strict=False)}

    def _taken(self, part: EdgeRows) -> tuple[EdgeRows, dict[str, npt.NDArray[Any]]]:
        """The rows that the original answers, column by column where it does not answer them all."""
        expected = self._asked(part)
        if expected is not None:
            return part, expected
        answered = [
            (few, answers)
            for few in (part.only(part.changed == at) for at in np.unique(part.changed))
            if (answers := self._asked(few)) is not None
        ]
        if not answered:
            return part.only(np.zeros(part.rows, np.bool_)), {}
        chosen = np.isin(part.changed, [few.changed[0] for few, _ in answered])
        whole = self._asked(part.only(chosen))
        # What it takes in one row it may refuse together with others.
        return (part.only(chosen), whole) if whole is not None else answered[0]

    def _asked(self, part: EdgeRows) -> dict[str, npt.NDArray[Any]] | None:
        try:
            return self._original.predict(self._natural, part.columns)
        except MemoryError:
            raise
        except Exception:  # a model says no in any way it likes
            return None

    def _narrow(self, positions: Sequence[int], **less: Any) -> None:
        fields = list(self._signature.inputs)
        for at in positions:
            fields[at] = msgspec.structs.replace(fields[at], **less)
        self._signature = msgspec.structs.replace(self._signature, inputs=tuple(fields))

    def _agreement(
        self, comparison: Comparison, rows: int, edges: dict[str, int], *, generated: bool
    ) -> Check:
        worst = max(comparison.worst.values(), default=0.0)
        kind = "generated" if generated else "reference"
        return Check(
            "agreement",
            True,
            f"answers as the original does on {rows} {kind} rows and {sum(edges.values())} edge rows: "
            f"at most {worst:.1e} apart, {comparison.label_mismatches} other labels",
            {
                "rows": rows,
                "generated": generated,
                "edge_rows": sum(edges.values()),
                "edges": edges,
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
