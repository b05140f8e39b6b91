"""What the charts of an endpoint's page show: the time they cover, and the rows in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

from tsavo.lake import Lake
from tsavo.vocabulary import Invalid

__all__ = ["WINDOWS", "Series", "Window", "read_series"]

WINDOWS: Final[dict[str, timedelta]] = {
    "2min": timedelta(minutes=2),
    "10min": timedelta(minutes=10),
    "1h": timedelta(hours=1),
    "6h": timedelta(hours=6),
    "1d": timedelta(days=1),
    "7d": timedelta(days=7),
}
_BARS: Final = 60
_MINUTE: Final = timedelta(minutes=1)
_MOST_POINTS: Final = 20_000
# The shortest window that holds this share of a day's decisions is shown unless another one is asked for.
_MOST_OF_IT: Final = 0.9

Rows = list[dict[str, Any]]


class Window(NamedTuple):
    """A stretch of time, cut into buckets."""

    name: str
    start: datetime
    end: datetime

    @property
    def bucket(self) -> timedelta:
        """Length of a bucket: a sixtieth, and at least a second."""
        return max(timedelta(seconds=1), (self.end - self.start) / _BARS)


class Series(NamedTuple):
    """Traffic by bucket and role; points of the drift monitor as a whole and of performance, by minute."""

    window: Window
    traffic: Rows
    drift: Rows
    performance: Rows


def read_series(
    lake: Lake, endpoint: str, asked: str | None, *, last: datetime | None, now: datetime
) -> Series:
    """The charts' rows.

    Parameters
    ----------
    asked
        A key of `WINDOWS`, ending now; ``None``: the shortest that holds nearly all of the last busy day, ending
        with the last decision.
    last
        When the last decision was made.

    Raises
    ------
    Invalid
        For a window that there is none of.
    """
    if asked is not None and asked not in WINDOWS:
        raise Invalid("not a window of time", field="window", found=asked, expected=f"one of {list(WINDOWS)}")
    window = (
        _fitting(lake, endpoint, last or now) if asked is None else Window(asked, now - WINDOWS[asked], now)
    )
    since = window.start - _MINUTE
    until = window.end + _MINUTE
    drift = lake.points(endpoint, "drift", since, until, _MOST_POINTS, subject="").to_pylist()
    performance = lake.points(endpoint, "performance", since, until, _MOST_POINTS).to_pylist()
    traffic = lake.traffic(endpoint, window.start, window.bucket).to_pylist()
    return Series(window, traffic, most_by_minute(drift), mean_by_minute(performance))


def _fitting(lake: Lake, endpoint: str, end: datetime) -> Window:
    day = lake.traffic(endpoint, end - WINDOWS["1d"], _MINUTE).to_pylist()
    total = sum(row["decisions"] for row in day)
    for name, length in WINDOWS.items():
        # A bucket that the window's start falls into counts whole.
        inside = sum(row["decisions"] for row in day if row["time"] >= end - length - _MINUTE)
        if name == "1d" or (total and inside >= _MOST_OF_IT * total):
            return Window(name, end - length, end)
    raise AssertionError("a day holds all decisions of a day")


def mean_by_minute(points: Sequence[Mapping[str, Any]]) -> Rows:
    """One point a subject and minute; batches that share a minute weigh by their rows."""
    sums: dict[tuple[str, datetime], list[float]] = {}
    for point in points:
        weighed = sums.setdefault((point["subject"], point["time"]), [0.0, 0])
        weighed[0] += point["value"] * point["rows"]
        weighed[1] += point["rows"]
    return [
        {"subject": subject, "time": time, "value": total / rows, "rows": rows}
        for (subject, time), (total, rows) in sums.items()
        if rows
    ]


def most_by_minute(points: Sequence[Mapping[str, Any]]) -> Rows:
    """The highest point of each minute: evidence is a state, and what counts is how far it came."""
    found: dict[datetime, dict[str, Any]] = {}
    for point in points:
        known = found.get(point["time"])
        if known is None or point["value"] > known["value"]:
            found[point["time"]] = dict(point)
    return list(found.values())
