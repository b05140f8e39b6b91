"""Inside the worker: a model that is not compiled, and will be asked in its own way in a Python worker."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from tsavo.formats.originals import Original, described_output
from tsavo.formats.tables import evenly, pick
from tsavo.runtimes.agreement import compare
from tsavo.runtimes.describing import Described, GoldenRows, PreparedVersion
from tsavo.vocabulary import Check, Columns, Disagreement, Field, Invalid, Output, Signature

__all__ = ["served_as_it_is"]

_SINGLE_ROWS: Final = 10


def served_as_it_is(original: Original, described: Described, reason: str) -> PreparedVersion:
    """Describe `original` and check that a row's answer depends on that row alone.

    Raises
    ------
    Disagreement
        When it answers otherwise the second time, or otherwise to a row alone than to the row among others.
    Invalid
        When it gives something that is no table.
    """
    sample, expected = described.sample, described.expected
    rows = len(described.rows)
    outputs = _outputs(expected, rows)
    signature = Signature(described.fields, outputs, original.task, original.classes)
    again = original.predict(described.fields, sample)
    if not compare(signature, expected, again).agrees:
        raise _unsteady("the model answers otherwise when the same rows come a second time", described, again)
    for at in evenly(rows, _SINGLE_ROWS).tolist():
        alone = original.predict(described.fields, pick(sample, [at]))
        if not compare(signature, pick(expected, [at]), alone).agrees:
            raise _unsteady(
                "the model answers otherwise to a row alone than among others", described, alone, at
            )
    kind = "generated" if described.generated else "reference"
    check = Check(
        "agreement",
        True,
        f"runs as it is, in a Python worker; answers the same twice and row by row on {rows} {kind} rows",
        {"rows": rows, "generated": described.generated, "single_rows": min(rows, _SINGLE_ROWS)},
    )
    fields: tuple[Field, ...] = described.fields

    def answer(columns: Columns) -> dict[str, npt.NDArray[Any]]:
        return original.predict(fields, columns)

    return PreparedVersion(
        signature, "python", answer, (check,), GoldenRows.among(sample, expected, again), reason
    )


def _outputs(answers: dict[str, npt.NDArray[Any]], rows: int) -> tuple[Output, ...]:
    if not answers:
        raise Invalid("the model gives nothing", field="outputs", expected="at least one output")
    outputs = tuple(described_output(name, np.asarray(values)) for name, values in answers.items())
    for output in outputs:
        given = len(answers[output.name])
        if given != rows:
            raise Invalid(
                "the model does not give one answer a row",
                field=f"outputs.{output.name}",
                found=f"{given} answers",
                expected=f"{rows}, as many as rows",
            )
    return outputs


def _unsteady(
    reason: str, described: Described, other: dict[str, npt.NDArray[Any]], row: int | None = None
) -> Disagreement:
    at = 0 if row is None else row
    return Disagreement(
        reason,
        field="source",
        found={
            name: {"first": np.asarray(values)[at].tolist(), "then": np.asarray(other[name])[0].tolist()}
            for name, values in described.expected.items()
            if name in other
        },
        expected="answers that depend on the row alone: a decision must come out the same when it is replayed",
        next_step="fix the random seed, or take out what looks at the other rows of a request",
    )
