"""Where marks stand in the small drawings that pages carry as SVG: plain numbers in, percentages out.

They are drawn on the server, so that they are there without JavaScript and cost no chart library.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from tsavo.vocabulary import Finding

__all__ = ["Bar", "Interval", "against_zero", "evidence_share", "on_scale", "trend_bars"]

_MARGIN: Final = 0.12


def evidence_share(evidence: float | None, threshold: float | None) -> float:
    """How far evidence has come, in % of a bar whose middle is the threshold; logarithmic, 0 where it is below 1.

    >>> evidence_share(1.0, 100.0), evidence_share(10.0, 100.0), evidence_share(100.0, 100.0)
    (0.0, 25.0, 50.0)
    >>> evidence_share(1e40, 100.0), evidence_share(0.0, 100.0), evidence_share(None, None)
    (100.0, 0.0, 0.0)
    """
    if evidence is None or threshold is None or threshold <= 1 or evidence <= 1:
        return 0.0
    return round(min(100.0, 50 * math.log10(evidence) / math.log10(threshold)), 2)


class Interval(NamedTuple):
    """A value with its bounds among marks, all in % of the drawing's width; ``None``: not known."""

    value: float
    low: float
    high: float
    reference: float | None
    tolerated: float | None


def on_scale(finding: Finding) -> Interval | None:
    """A loss with its interval, beside the reference's and the tolerated one; ``None`` when it has no interval.

    >>> from datetime import datetime, UTC
    >>> now = datetime(2026, 1, 1, tzinfo=UTC)
    >>> marks = {"tolerated": 0.3, "reference": 0.1}
    >>> on_scale(Finding("e", "p", "performance", "brier", "m@1", now, 9, 0.2, 0.1, 0.3, figures=marks))
    Interval(value=50.0, low=9.68, high=90.32, reference=9.68, tolerated=90.32)
    """
    value, low, high = finding.value, finding.low, finding.high
    if value is None or low is None or high is None:
        return None
    reference, tolerated = (_number(finding.figures.get(name)) for name in ("reference", "tolerated"))
    marks = [mark for mark in (value, low, high, reference, tolerated) if mark is not None]
    span = (max(marks) - min(marks)) or 1.0
    start, width = min(marks) - span * _MARGIN, span * (1 + 2 * _MARGIN)

    def place(mark: float) -> float:
        return round(100 * (mark - start) / width, 2)

    return Interval(
        place(value),
        place(low),
        place(high),
        None if reference is None else place(reference),
        None if tolerated is None else place(tolerated),
    )


def against_zero(finding: Finding) -> Interval | None:
    """A difference with its interval on a scale whose middle (50 %) is no difference.

    >>> from datetime import datetime, UTC
    >>> now = datetime(2026, 1, 1, tzinfo=UTC)
    >>> against_zero(Finding("e", "c", "comparison", "m@2 brier", "m@1", now, 9, -0.2, -0.4, 0.0))
    Interval(value=29.17, low=8.33, high=50.0, reference=None, tolerated=None)
    """
    value, low, high = finding.value, finding.low, finding.high
    if value is None or low is None or high is None:
        return None
    reach = max(abs(low), abs(high), abs(value)) * 1.2 or 1.0

    def place(mark: float) -> float:
        return round(50 + 50 * mark / reach, 2)

    return Interval(place(value), place(low), place(high), None, None)


class Bar(NamedTuple):
    """One bar: left edge, width and height in units of the drawing."""

    left: float
    width: float
    height: float


def trend_bars(counts: Sequence[int], width: float, height: float) -> list[Bar]:
    """Bars side by side, the highest as high as the drawing; nothing for a zero, and no less than 1 for a one.

    >>> trend_bars([0, 5, 10], 30, 20)
    [Bar(left=10.0, width=8.0, height=10.0), Bar(left=20.0, width=8.0, height=20.0)]
    """
    most = max(counts, default=0)
    step = width / max(1, len(counts))
    return [
        Bar(round(step * place, 2), round(step * 0.8, 2), round(max(1.0, height * count / most), 2))
        for place, count in enumerate(counts)
        if count
    ]


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
