"""Rows at the edges of what a model takes, on which the compiled model is compared with the original too.

Reference rows show what is usual. What goes wrong between two implementations shows elsewhere: at a missing value, at a
category that nobody has seen, exactly on the threshold of a tree or one rounding step beside it, at numbers too large
for float32. Each edge row is a reference row in which one column was set to such a value; in rows of the kind
``thresholds`` some have every column on a threshold at once, which leads deep into trees.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final

import msgspec
import numpy as np
import numpy.typing as npt

from tsavo.formats.originals import NEVER_SEEN
from tsavo.formats.tables import evenly, holes, pick
from tsavo.vocabulary import NUMPY_DTYPES, Columns, Field

__all__ = ["EVERY_COLUMN", "KINDS", "EdgeRows", "edge_rows"]

EVERY_COLUMN: Final = -1

MISSING: Final = "missing"
UNSEEN: Final = "unseen"
KINDS: Final = (
    MISSING,
    UNSEEN,
    "empty text",
    "thresholds",
    "magnitudes",
    "beyond float32",
    "infinite",
    "whole numbers",
)
"""What the edge rows are about, in the order in which they come."""

_MOST_ROWS: Final = 4_000
_BASES: Final = 3
_TOGETHER: Final = 200
_MAGNITUDES: Final = (0.0, -0.0, 1.0, -1.0, 1e-300)
_BEYOND: Final = (1e300, -1e300)
# The second is the first whole number that float64 does not hold.
_WHOLE: Final = (0, 2**53 + 1, -(2**31), -1)


class EdgeRows(msgspec.Struct, frozen=True):
    """Edge rows of one kind.

    Attributes
    ----------
    kind
        One of `KINDS`.
    columns
        Name -> [rows].
    changed
        [rows] position of the field that was set, or `EVERY_COLUMN`.
    """

    kind: str
    columns: dict[str, npt.NDArray[Any]]
    changed: npt.NDArray[np.int64]

    @property
    def rows(self) -> int:
        """How many."""
        return len(self.changed)

    def only(self, chosen: Any) -> EdgeRows:
        """Some of the rows, chosen by a mask or by number."""
        return EdgeRows(self.kind, pick(self.columns, chosen), self.changed[chosen])


def edge_rows(
    fields: Sequence[Field], sample: Columns, edges: Mapping[str, Sequence[float]], reach: float = 1e38
) -> tuple[EdgeRows, ...]:
    """The edge rows of a model, kind by kind; the same every time.

    Parameters
    ----------
    fields
        Its inputs. Missing values are put only where a field is nullable, unseen text only where it may be flagged.
    sample
        Reference rows, name -> [n].
    edges
        Column -> values at which the model switches, as `Original.edges` gives them.
    reach
        The greatest magnitude that its arithmetic holds, as `Original.reach` gives it.

    Examples
    --------
    >>> fields = (Field("age", "float64", nullable=True),)
    >>> made = edge_rows(fields, {"age": np.array([30.0, 40.0])}, {"age": [35.5]})
    >>> [(part.kind, part.rows) for part in made]
    [('missing', 3), ('thresholds', 210), ('magnitudes', 7), ('beyond float32', 2), ('infinite', 2)]
    """
    if not fields:
        return ()
    most = max(_MOST_ROWS // (len(fields) * len(KINDS)), _BASES)
    magnitudes = partial(_magnitudes, (*_MAGNITUDES, reach, -reach))
    makers: tuple[_Maker, ...] = (
        _missing,
        _unseen,
        _empty,
        _thresholds,
        magnitudes,
        _beyond,
        _infinite,
        _whole,
    )
    made = []
    for kind, maker in zip(KINDS, makers, strict=True):
        set_to = [(at, values[:most]) for at, values in maker(fields, edges, most) if len(values)]
        if set_to:
            made.append(_spread(kind, fields, sample, set_to))
    return tuple(_with_all_at_once(part, fields, sample, edges) for part in made)


_Values = Iterator[tuple[int, Sequence[Any]]]
_Edges = Mapping[str, Sequence[float]]
_Maker = Callable[[Sequence[Field], _Edges, int], _Values]


def _missing(fields: Sequence[Field], _edges: _Edges, most: int) -> _Values:
    for at, field in enumerate(fields):
        if field.nullable:
            yield at, [None if field.dtype == "string" else np.nan] * min(most, _BASES)


def _unseen(fields: Sequence[Field], _edges: _Edges, most: int) -> _Values:
    for at, field in enumerate(fields):
        if field.dtype == "string" and field.unseen == "flag":
            # A known text in other letters is as strange to a model as any other.
            known = field.categories or ()
            strange = [NEVER_SEEN, "ÄÖ\u2003日本", *(text.swapcase() + " " for text in known[:1])][:most]
            yield at, strange if "" in known else [*strange, ""]


def _empty(fields: Sequence[Field], _edges: _Edges, _most: int) -> _Values:
    for at, field in enumerate(fields):
        if field.dtype == "string" and "" in (field.categories or ()):
            yield at, [""]


def _thresholds(fields: Sequence[Field], edges: _Edges, most: int) -> _Values:
    for at, field in enumerate(fields):
        if field.dtype not in {"string", "bool"} and (cuts := edges.get(field.name)):
            finite = np.unique(np.array([cut for cut in cuts if np.isfinite(cut)], np.float64))
            few = finite[evenly(len(finite), max(most // 10, 1))] if len(finite) else finite
            yield at, _around(few, field).tolist()


def _around(cuts: npt.NDArray[np.float64], field: Field) -> npt.NDArray[Any]:
    """The values themselves and those next to them: float64's, float32's, or whole numbers."""
    if field.dtype in {"int64", "int32"}:
        bounded = np.clip(cuts, -(2.0**31), 2.0**31 - 2)
        whole = np.concatenate([np.floor(bounded), np.floor(bounded) + 1, np.ceil(bounded) - 1])
        return np.unique(whole).astype(np.int64)
    with np.errstate(over="ignore"):
        rounded = cuts.astype(np.float32)
    down, up = np.float32(-np.inf), np.float32(np.inf)
    near = [
        cuts,
        np.nextafter(cuts, -np.inf),
        np.nextafter(cuts, np.inf),
        rounded,
        np.nextafter(rounded, down),
        np.nextafter(rounded, up),
        # Half-way between two float32: where rounding goes one way or the other.
        *(
            (rounded.astype(np.float64) + np.nextafter(rounded, way).astype(np.float64)) / 2
            for way in (down, up)
        ),
        cuts * (1 - 1e-9),
        cuts * (1 + 1e-9),
    ]
    values = np.stack([part.astype(np.float64) for part in near], axis=1).ravel()
    return values[np.isfinite(values)]


def _magnitudes(values: Sequence[float], fields: Sequence[Field], _edges: _Edges, _most: int) -> _Values:
    for at, field in enumerate(fields):
        if field.dtype in {"float64", "float32"}:
            yield at, values


def _beyond(fields: Sequence[Field], _edges: _Edges, _most: int) -> _Values:
    for at, field in enumerate(fields):
        if field.dtype == "float64":
            yield at, _BEYOND


def _infinite(fields: Sequence[Field], _edges: _Edges, _most: int) -> _Values:
    for at, field in enumerate(fields):
        if field.dtype in {"float64", "float32"}:
            yield at, (np.inf, -np.inf)


def _whole(fields: Sequence[Field], _edges: _Edges, _most: int) -> _Values:
    for at, field in enumerate(fields):
        if field.dtype == "int64":
            yield at, _WHOLE
        elif field.dtype == "int32":
            yield at, [value for value in _WHOLE if abs(value) <= 2**31]
        elif field.dtype == "bool":
            yield at, (True, False)


def _spread(
    kind: str, fields: Sequence[Field], sample: Columns, set_to: Sequence[tuple[int, Sequence[Any]]]
) -> EdgeRows:
    """One row for each value; the rest of it comes from the reference rows in turn."""
    changed = np.concatenate([np.full(len(values), at, np.int64) for at, values in set_to])
    columns = pick(sample, _bases(sample, len(changed)))
    for at, values in set_to:
        field = fields[at]
        column = columns[field.name] = _writable(columns[field.name], field)
        given: npt.NDArray[Any] = np.empty(len(values), dtype=column.dtype)
        given[:] = values
        column[changed == at] = given
    return EdgeRows(kind, columns, changed)


def _bases(sample: Columns, rows: int) -> npt.NDArray[np.int64]:
    """Numbers of reference rows, those without gaps first: a gap beside the edge would say less."""
    there = len(next(iter(sample.values())))
    gaps = np.zeros(there, np.bool_)
    for values in sample.values():
        gaps |= holes(values)
    whole = np.flatnonzero(~gaps)
    choice = whole if len(whole) else np.arange(there)
    # A step that shares no factor with most lengths visits them all.
    return choice[np.arange(rows) * 7919 % len(choice)]


def _writable(values: npt.NDArray[Any], field: Field) -> npt.NDArray[Any]:
    return np.array(values, dtype=NUMPY_DTYPES[field.dtype])


def _with_all_at_once(part: EdgeRows, fields: Sequence[Field], sample: Columns, edges: _Edges) -> EdgeRows:
    """Threshold rows, and rows in which every column that has thresholds stands at one of them."""
    if part.kind != "thresholds":
        return part
    columns = pick(sample, _bases(sample, _TOGETHER))
    for at in np.unique(part.changed).tolist():
        field = fields[at]
        values = part.columns[field.name][part.changed == at]
        mixed = (np.arange(_TOGETHER) * 104_729 + at * 7919) % len(values)
        columns[field.name] = _writable(columns[field.name], field)
        columns[field.name][:] = values[mixed]
    together = np.full(_TOGETHER, EVERY_COLUMN, np.int64)
    return EdgeRows(
        part.kind,
        {name: np.concatenate([values, columns[name]]) for name, values in part.columns.items()},
        np.concatenate([part.changed, together]),
    )
