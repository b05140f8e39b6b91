from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from tsavo.formats.callables import CallableOriginal, wrap
from tsavo.vocabulary import Field, Hints, Invalid

FIELDS = (Field("a", "float64"), Field("b", "int64"))
COLUMNS = {"a": np.array([1.0, np.nan]), "b": np.array([10, 20])}
seen: list[type] = []


def frame(table: pd.DataFrame) -> Any:
    seen.append(type(table))
    return table.sum(axis=1)


def mapping(columns: dict[str, npt.NDArray[Any]]) -> Any:
    seen.append(type(columns))
    return columns["b"] * 2


def abstract_mapping(columns: Mapping[str, Any]) -> Any:
    seen.append(type(columns))
    return columns["b"] * 2


def matrix(rows: npt.NDArray[np.float64]) -> Any:
    seen.append(type(rows))
    return rows[:, 1]


@pytest.mark.parametrize(
    ("function", "form"),
    [(frame, pd.DataFrame), (mapping, dict), (abstract_mapping, dict), (matrix, np.ndarray)],
)
def test_the_annotation_says_what_it_gets(function: Callable[[Any], Any], form: type) -> None:
    seen.clear()
    original = wrap(function, Hints())
    original.predict(FIELDS, COLUMNS)
    original.predict(FIELDS, COLUMNS)
    assert seen == [form, form]


def test_annotations_that_are_types_and_not_text() -> None:
    def function(table: Any) -> Any:
        seen.append(type(table))
        return np.zeros(2)

    for annotation, form in ((pd.DataFrame, pd.DataFrame), (np.ndarray, np.ndarray), (dict, dict)):
        seen.clear()
        function.__annotations__["table"] = annotation
        wrap(function, Hints()).predict(FIELDS, COLUMNS)
        assert seen == [form]


@pytest.mark.parametrize(
    ("function", "form"),
    [
        (lambda table: table.iloc[:, 1], pd.DataFrame),
        (lambda columns: dict.__getitem__(columns, "b") * 1, dict),
        (lambda rows: rows[:, 1] * 1, np.ndarray),
    ],
)
def test_without_annotation_what_works_first_stays(function: Callable[[Any], Any], form: type) -> None:
    def recorded(given):  # type: ignore[no-untyped-def]
        values = function(given)
        seen.append(type(given))
        return values

    seen.clear()
    original = wrap(recorded, Hints())
    for _ in range(2):
        assert original.predict(FIELDS, COLUMNS)["value"].tolist() == [10, 20]
    assert seen == [form, form]


def test_when_nothing_works_the_first_error_comes_through() -> None:
    def broken(given):  # type: ignore[no-untyped-def]
        raise KeyError(type(given).__name__)

    with pytest.raises(KeyError, match="DataFrame"):
        wrap(broken, Hints()).predict(FIELDS, COLUMNS)


def test_an_error_about_values_does_not_change_the_form() -> None:
    def picky(given):  # type: ignore[no-untyped-def]
        if isinstance(given, pd.DataFrame):
            raise ValueError("missing values")
        return given["b"]

    with pytest.raises(ValueError, match="missing values"):
        wrap(picky, Hints()).predict(FIELDS, COLUMNS)


def test_what_the_person_says_about_it() -> None:
    hints = Hints(classes=("stay", "leave"), names=("a", "b"))
    original = CallableOriginal(lambda table: np.array([0.2, 0.9]), hints)
    assert (original.task, original.classes, original.names) == ("binary", ("stay", "leave"), ["a", "b"])
    outputs = original.predict(FIELDS, COLUMNS)
    assert outputs["label"].tolist() == ["stay", "leave"]
    np.testing.assert_array_equal(outputs["probabilities"], [[0.8, 0.2], [1 - 0.9, 0.9]])


def test_what_cannot_predict() -> None:
    class NoModel:
        pass

    for thing in (3, NoModel, NoModel(), {"a": 1}):
        with pytest.raises(Invalid, match="holds no model"):
            wrap(thing, Hints())
