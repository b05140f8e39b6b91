"""Inside the worker: what a model takes and gives, from its reference rows and from what it says to odd ones."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from tsavo.formats.originals import NEVER_SEEN, CannotCompile, Original
from tsavo.formats.tables import evenly, field_of, holes, pick
from tsavo.runtimes.reference import ReferenceRows
from tsavo.vocabulary import Check, Columns, Field, Hints, Invalid, RuntimeName, Signature, TsavoError

__all__ = ["MAX_COMPARED", "Described", "GoldenRows", "PreparedVersion", "describe"]

MAX_COMPARED: Final = 10_000
_GOLDEN: Final = 200


class GoldenRows(msgspec.Struct, frozen=True):
    """Rows whose answers are kept: the original's (`expected`) and those of the runtime that serves (`given`)."""

    columns: dict[str, npt.NDArray[Any]]
    expected: dict[str, npt.NDArray[Any]]
    given: dict[str, npt.NDArray[Any]]

    @staticmethod
    def among(
        columns: Columns, expected: Mapping[str, npt.NDArray[Any]], given: Mapping[str, npt.NDArray[Any]]
    ) -> GoldenRows:
        """Rows spread evenly over the rows that were compared."""
        chosen = evenly(len(next(iter(columns.values()))), _GOLDEN)
        return GoldenRows(pick(columns, chosen), pick(expected, chosen), pick(given, chosen))


class PreparedVersion(msgspec.Struct, frozen=True):
    """What comes out of a preparation.

    Attributes
    ----------
    answer
        Asks the runtime that will serve the version: columns in, outputs by name out.
    reason
        Why it is not compiled.
    """

    signature: Signature
    runtime: RuntimeName
    answer: Callable[[Columns], dict[str, npt.NDArray[Any]]]
    checks: tuple[Check, ...]
    golden: GoldenRows
    reason: str = ""


class Described(msgspec.Struct, frozen=True):
    """A model's inputs, and its answers on reference rows.

    Attributes
    ----------
    rows
        Numbers of the compared rows in the reference.
    sample, expected
        Those rows, and the original's answers to them.
    """

    fields: tuple[Field, ...]
    rows: npt.NDArray[np.int64]
    sample: dict[str, npt.NDArray[Any]]
    expected: dict[str, npt.NDArray[Any]]
    generated: bool


def describe(
    original: Original, reference: ReferenceRows, hints: Hints, most: int = MAX_COMPARED
) -> Described:
    """Ask `original` for its answers on at most `most` reference rows, and what it says to odd ones.

    Raises
    ------
    Invalid
        When the original does not take the reference rows, or a hint names a column that is none.
    """
    rows = evenly(reference.rows, most)
    sample = pick(reference.columns, rows)
    fields = _with_units(_fields(original, reference), hints.units)
    expected = _ask(original, fields, sample, generated=reference.generated)
    return Described(_probed(original, fields, sample), rows, sample, expected, reference.generated)


def _fields(original: Original, reference: ReferenceRows) -> tuple[Field, ...]:
    if original.declared is not None:
        if reference.generated:
            return original.declared
        return tuple(
            _declared(field, reference.columns[field.name])
            for field in original.declared
            if field.name in reference.columns
        )
    if reference.generated:
        # Made-up values say nothing about the range of real ones.
        return tuple(Field(name, "float64") for name in reference.columns)
    return tuple(field_of(name, values) for name, values in reference.columns.items())


def _declared(field: Field, values: npt.NDArray[Any]) -> Field:
    """A declared column with what the reference rows show beyond the declaration."""
    seen = field_of(field.name, values)
    return msgspec.structs.replace(
        field,
        nullable=field.nullable or seen.nullable,
        categories=field.categories if field.categories is not None else seen.categories,
        low=seen.low,
        high=seen.high,
    )


def _with_units(fields: tuple[Field, ...], units: Mapping[str, str]) -> tuple[Field, ...]:
    names = [field.name for field in fields]
    unknown = sorted(set(units) - set(names))
    if unknown:
        raise Invalid(
            "a unit is given for something that is no input column",
            field="units",
            found=unknown[:10],
            expected=f"columns of the model: {names[:50]}",
        )
    return tuple(
        msgspec.structs.replace(field, unit=units[field.name]) if field.name in units else field
        for field in fields
    )


def _ask(
    original: Original, fields: Sequence[Field], sample: Columns, *, generated: bool
) -> dict[str, npt.NDArray[Any]]:
    try:
        return original.predict(fields, sample)
    except (MemoryError, CannotCompile, TsavoError):
        raise
    except Exception as error:  # a model fails in any way it likes
        what = "numbers made up for the trial" if generated else "the reference rows"
        raise Invalid(
            f"the model does not take {what}",
            field="reference",
            found=f"{type(error).__name__}: {error}"[:300],
            expected="rows like those that it was fitted on",
            next_step="give rows of the training data with --reference"
            if generated
            else "give the columns as they were when the model was fitted",
        ) from error


def _probed(original: Original, fields: tuple[Field, ...], sample: Columns) -> tuple[Field, ...]:
    """The fields, with what the original itself says to missing values and to categories it never saw."""
    gaps = [at for at, field in enumerate(fields) if field.dtype in _NULLABLE and not field.nullable]
    texts = [at for at, field in enumerate(fields) if field.dtype == "string"]
    filled = _first_whole_row(fields, sample)
    nullable = original.takes(fields, filled, [at for at in gaps if fields[at].dtype != "string"], np.nan)
    nullable |= original.takes(fields, filled, [at for at in gaps if fields[at].dtype == "string"], None)
    unseen = original.takes(fields, filled, texts, NEVER_SEEN)
    return tuple(
        msgspec.structs.replace(
            field,
            nullable=field.nullable or at in nullable,
            unseen="refuse" if at in texts and at not in unseen else "flag",
        )
        for at, field in enumerate(fields)
    )


_NULLABLE: Final = frozenset({"float64", "float32", "string"})


def _first_whole_row(fields: Sequence[Field], sample: Columns) -> dict[str, npt.NDArray[Any]]:
    """One row, from each column its first value that is not missing."""
    row = {}
    for field in fields:
        values = sample[field.name]
        row[field.name] = values[[int(np.argmax(~holes(values)))]]
    return row
