"""Scorecards: points for bands of numbers and for categories, added up. Many enterprise models are no more than that.

A scorecard is a table with the header ``characteristic,low,high,values,points``:

- a band of numbers has ``low`` (included) and ``high`` (not included); an empty one is open;
- categories are listed in ``values``, separated by ``|``;
- the words ``missing`` and ``otherwise`` in ``values`` stand for what is missing and for everything that no other row
  names;
- the characteristic ``base`` has points that everybody gets;
- ``@score``, ``@odds`` and ``@pdo``, all three or none, turn points into a probability: the odds at a score, and how
  many points double them.

Source for the scaling: N. Siddiqi, "Credit Risk Scorecards" (2006), chapter 6.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from tsavo.formats.originals import Original
from tsavo.vocabulary import Columns, Field, Hints, Invalid, SourceFormat, TooLarge, Unreadable

if TYPE_CHECKING:
    from tsavo.formats.compilation import Compiled

__all__ = ["HEADER", "Characteristic", "Scaling", "Scorecard", "open_model", "read_scorecard"]

HEADER: Final = ("characteristic", "low", "high", "values", "points")
MISSING: Final = "missing"
OTHERWISE: Final = "otherwise"
_BASE: Final = "base"
_SCALING: Final = ("@score", "@odds", "@pdo")
_MOST_ROWS: Final = 10_000
_MOST_BYTES: Final = 16 << 20


class Scaling(NamedTuple):
    """`odds` to one at `score` points; `pdo` points double the odds."""

    score: float
    odds: float
    pdo: float


class Characteristic(msgspec.Struct, frozen=True):
    """One column of a scorecard.

    Attributes
    ----------
    edges, points
        For numbers: where one band ends and the next begins, ascending; and the points of the bands, one more than
        there are edges.
    values
        For text: category -> points.
    missing, otherwise
        Points for what is missing, and for what no other row names; ``None`` when the scorecard does not say.
    """

    name: str
    edges: tuple[float, ...] = ()
    points: tuple[float, ...] = ()
    values: dict[str, float] = {}
    missing: float | None = None
    otherwise: float | None = None

    @property
    def is_text(self) -> bool:
        """Whether it is about categories."""
        return bool(self.values)


class Scorecard(Original):
    """A scorecard that was read.

    Parameters
    ----------
    scaling
        How points become a probability, when the scorecard says it.
    """

    def __init__(
        self,
        characteristics: Sequence[Characteristic],
        base: float,
        scaling: Scaling | None,
        hints: Hints,
    ) -> None:
        self.framework = "scorecard"
        self.characteristics = tuple(characteristics)
        self.base = base
        self.scaling = scaling
        self.names = [part.name for part in characteristics]
        self.columns = len(self.names)
        self.declared = tuple(_declared(part) for part in characteristics)
        self.wants_text = any(part.is_text for part in characteristics)
        if scaling is None:
            self.task = "regression"
        else:
            self.task = "binary"
            self.classes = hints.classes or (0, 1)
            if len(self.classes) != 2:
                raise Invalid(
                    "a scorecard knows two classes",
                    field="classes",
                    found=list(self.classes)[:10],
                    expected="the class that the odds are against, and the one that they are for",
                )

    def predict(self, fields: Sequence[Field], columns: Columns) -> dict[str, npt.NDArray[Any]]:
        """``value`` [n]; or, with a scaling, ``label``, ``probabilities`` and ``points``.

        Raises
        ------
        ValueError
            For a value that no row of the scorecard is about.
        """
        rows = len(next(iter(columns.values())))
        total = np.full(rows, self.base)
        for field, part in zip(fields, self.characteristics, strict=True):
            total = total + _scored(part, np.asarray(columns[field.name]))
        if self.scaling is None:
            return {"value": total}
        odds = (total - self.scaling.score) * (math.log(2.0) / self.scaling.pdo) + math.log(self.scaling.odds)
        share = 1.0 / (1.0 + np.exp(-odds))
        table = np.array(self.classes, dtype=object if isinstance((self.classes or ("",))[0], str) else None)
        return {
            "label": table[(share > 0.5).astype(np.int64)],
            "probabilities": np.stack([1.0 - share, share], axis=1),
            "points": total,
        }

    def compile(self, fields: Sequence[Field], *, float32: bool) -> Compiled:
        """See `Original.compile`."""
        from tsavo.formats.compilation import compile_graph
        from tsavo.formats.scorecard_graphs import scorecard_answers

        return compile_graph(
            lambda graph, table: scorecard_answers(graph, self, table), fields, float32=float32
        )

    def edges(self) -> dict[str, list[float]]:
        """See `Original.edges`."""
        return {part.name: list(part.edges) for part in self.characteristics if part.edges}


def _declared(part: Characteristic) -> Field:
    nullable = part.missing is not None or part.otherwise is not None
    if not part.is_text:
        return Field(part.name, "float64", nullable=nullable)
    return Field(
        part.name,
        "string",
        nullable=nullable,
        categories=tuple(sorted(part.values)),
        unseen="flag" if part.otherwise is not None else "refuse",
    )


def _scored(part: Characteristic, values: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    missing = part.missing if part.missing is not None else part.otherwise
    if part.is_text:
        points = [
            missing if value is None else part.values.get(value, part.otherwise) for value in values.tolist()
        ]
    else:
        numbers = values.astype(np.float64)
        band = np.searchsorted(np.asarray(part.edges), numbers, side="right")
        found = np.asarray(part.points)[np.minimum(band, len(part.edges))]
        points = [missing if gap else point for gap, point in zip(np.isnan(numbers), found, strict=True)]
    if any(point is None for point in points):
        raise ValueError(f"the scorecard has no row for a value of '{part.name}'")
    return np.array(points, np.float64)


def open_model(path: Path, source_format: SourceFormat, hints: Hints) -> Scorecard:
    """Read a scorecard file; see `read_scorecard`."""
    if path.stat().st_size > _MOST_BYTES:
        raise TooLarge(
            "the scorecard is too large", field="source", expected=f"at most {_MOST_BYTES >> 20} MiB"
        )
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise Unreadable(
            f"the {source_format} is not text in UTF-8", field="source", found=str(error)[:200]
        ) from error
    return read_scorecard(text, hints)


def read_scorecard(text: str, hints: Hints) -> Scorecard:
    """Read a scorecard.

    Raises
    ------
    Unreadable
        When it is not such a table.
    Invalid
        Naming the row: bands that overlap or leave a gap, categories that come twice, numbers and text in one
        characteristic, points that are no number.
    """
    try:
        rows = list(csv.reader(text.splitlines(), strict=True))
    except csv.Error as error:
        raise Unreadable(f"the scorecard is no CSV table: {error}", field="source") from error
    if not rows or tuple(cell.strip().lower() for cell in rows[0]) != HEADER:
        raise Unreadable(
            "not a scorecard",
            field="source",
            found=",".join(rows[0])[:200] if rows else "an empty file",
            expected=",".join(HEADER),
        )
    if len(rows) > _MOST_ROWS:
        raise TooLarge(
            "the scorecard has too many rows", field="source", found=len(rows), expected=f"{_MOST_ROWS}"
        )
    reader = _Reader()
    for number, cells in enumerate(rows[1:], 2):
        if any(cell.strip() for cell in cells):
            reader.read(number, [cell.strip() for cell in cells])
    return Scorecard(reader.characteristics(), reader.base, reader.scaling(), hints)


class _Band(NamedTuple):
    low: float
    high: float
    points: float
    row: int


class _Draft:
    """What was read of one characteristic so far."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.bands: list[_Band] = []
        self.values: dict[str, float] = {}
        self.special: dict[str, float] = {}


class _Reader:
    def __init__(self) -> None:
        self.base = 0.0
        self._drafts: dict[str, _Draft] = {}
        self._scaling: dict[str, float] = {}
        self._has_base = False

    def read(self, row: int, cells: list[str]) -> None:
        if len(cells) != len(HEADER):
            raise _wrong(row, "another number of cells than the header", len(cells), f"{len(HEADER)}")
        name, low, high, values, points_text = cells
        points = _number(row, "points", points_text)
        if name == _BASE or name in _SCALING:
            if low or high or values:
                raise _wrong(row, f"'{name}' has nothing but points", [low, high, values], "empty cells")
            self._one_of_a_kind(row, name, points)
            return
        if not name:
            raise _wrong(row, "a row without a characteristic", "", "the name of an input column")
        draft = self._drafts.setdefault(name, _Draft(name))
        if values and (low or high):
            raise _wrong(row, "a row with a band and with values", values, "one of the two")
        if values in {MISSING, OTHERWISE}:
            if values in draft.special:
                raise _wrong(row, f"'{name}' has two rows for '{values}'", values, "one")
            draft.special[values] = points
        elif values:
            self._categories(row, draft, values, points)
        else:
            self._band(row, draft, low, high, points)

    def _one_of_a_kind(self, row: int, name: str, points: float) -> None:
        if (name == _BASE and self._has_base) or name in self._scaling:
            raise _wrong(row, f"'{name}' comes twice", name, "one row")
        if name == _BASE:
            self.base, self._has_base = points, True
            return
        if name != "@score" and points <= 0:
            raise _wrong(row, f"'{name}' is not greater than zero", points, "a number above zero")
        self._scaling[name] = points

    def _categories(self, row: int, draft: _Draft, values: str, points: float) -> None:
        if draft.bands:
            raise _wrong(row, f"'{draft.name}' has bands and categories", values, "one of the two")
        for value in (part.strip() for part in values.split("|")):
            if not value:
                raise _wrong(row, "an empty category", values, "categories separated by |")
            if value in draft.values:
                raise _wrong(row, f"a category of '{draft.name}' comes twice", value, "each once")
            draft.values[value] = points

    def _band(self, row: int, draft: _Draft, low: str, high: str, points: float) -> None:
        if draft.values:
            raise _wrong(row, f"'{draft.name}' has bands and categories", [low, high], "one of the two")
        start = _number(row, "low", low) if low else -math.inf
        end = _number(row, "high", high) if high else math.inf
        if not start < end:
            raise _wrong(row, "a band that ends before it begins", [low, high], "low less than high")
        draft.bands.append(_Band(start, end, points, row))

    def scaling(self) -> Scaling | None:
        if not self._scaling:
            return None
        if len(self._scaling) != len(_SCALING):
            raise Invalid(
                "the scaling of the scorecard is not complete",
                field="source",
                found=sorted(self._scaling),
                expected="rows for @score, @odds and @pdo, or for none of them",
            )
        return Scaling(*(self._scaling[name] for name in _SCALING))

    def characteristics(self) -> list[Characteristic]:
        if not self._drafts:
            raise Invalid("the scorecard has no characteristics", field="source", expected="at least one")
        return [_finished(draft) for draft in self._drafts.values()]


def _finished(draft: _Draft) -> Characteristic:
    missing, otherwise = draft.special.get(MISSING), draft.special.get(OTHERWISE)
    if draft.values:
        return Characteristic(draft.name, values=draft.values, missing=missing, otherwise=otherwise)
    bands = sorted(draft.bands)
    if not bands:
        raise Invalid(
            "a characteristic without bands and categories",
            field="source",
            found=draft.name,
            expected=f"rows for it besides '{MISSING}' and '{OTHERWISE}'",
        )
    edges: list[float] = []
    points: list[float] = []
    reached = -math.inf
    for band in bands:
        if band.low < reached:
            raise _wrong(
                band.row, f"bands of '{draft.name}' overlap", band.low, f"a low of at least {reached:g}"
            )
        if band.low > reached:
            edges, points = _gap(draft, band.row, reached, band.low, otherwise, edges, points)
        points.append(band.points)
        reached = band.high
        if band.high < math.inf:
            edges.append(band.high)
    if reached < math.inf:
        edges, points = _gap(draft, bands[-1].row, reached, math.inf, otherwise, edges, points)
    return Characteristic(draft.name, tuple(edges), tuple(points), missing=missing, otherwise=otherwise)


def _gap(
    draft: _Draft,
    row: int,
    low: float,
    high: float,
    otherwise: float | None,
    edges: list[float],
    points: list[float],
) -> tuple[list[float], list[float]]:
    """What no band covers gets the points of everything else."""
    if otherwise is None:
        raise _wrong(
            row,
            f"the bands of '{draft.name}' leave a gap",
            f"nothing from {low:g} to {high:g}",
            f"bands side by side, or a row with '{OTHERWISE}'",
        )
    return ([*edges, high] if high < math.inf else edges), [*points, otherwise]


def _number(row: int, column: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise _wrong(row, f"'{column}' is no number", text, "a finite number")
    return number


def _wrong(row: int, reason: str, found: Any, expected: str) -> Invalid:
    return Invalid(f"row {row} of the scorecard: {reason}", field="source", found=found, expected=expected)
