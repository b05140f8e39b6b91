"""Scorecards: points against a plain reading of the table, row by row, and every way in which a table can be wrong."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.formats.boosted import agree
from tsavo.formats.opening import open_original
from tsavo.formats.scorecards import Scorecard, read_scorecard
from tsavo.formats.sniffing import sniff
from tsavo.vocabulary import Hints, Invalid, Unreadable

CARD = """characteristic,low,high,values,points
base,,,,200
age,,25,,-10.1
age,25,40,,15.2
age,40,,,30.3
age,,,missing,-5
income,,0,,-50
income,1000,,,20
income,,,otherwise,0.25
home,,,own|mortgage,25
home,,,rent,5
home,,,missing,-7
home,,,otherwise,-1
region,,,north,1
region,,,south,2
"""
SCALED = CARD + "@score,,,,600\n@odds,,,,50\n@pdo,,,,20\n"


def points_by_hand(age: float, income: float, home: str | None, region: str) -> float:
    total = 200.0
    total += -5 if math.isnan(age) else -10.1 if age < 25 else 15.2 if age < 40 else 30.3
    total += -50 if income < 0 else 20 if income >= 1000 else 0.25
    total += {"own": 25, "mortgage": 25, "rent": 5, None: -7}.get(home, -1)
    return total + {"north": 1, "south": 2}[region]


def rows() -> dict[str, np.ndarray[Any, Any]]:
    ages = [
        24.0,
        np.nextafter(25.0, 0),
        25.0,
        np.nextafter(25.0, 99),
        40.0,
        1e300,
        -1e300,
        math.nan,
        math.inf,
    ]
    incomes = [-1.0, np.nextafter(0.0, -1), -0.0, 0.0, 999.0, 1000.0, math.nan, 1e38, -math.inf]
    homes = ["own", "mortgage", "rent", None, "boat", "", "Own", "own", "rent"]
    regions = ["north", "south"]
    every = [(a, i, h, r) for a in ages for i in incomes for h in homes for r in regions]
    text = np.empty((2, len(every)), dtype=object)
    text[0], text[1] = [row[2] for row in every], [row[3] for row in every]
    return {
        "age": np.array([row[0] for row in every]),
        "income": np.array([row[1] for row in every]),
        "home": text[0],
        "region": text[1],
    }


def test_every_edge_of_every_band(tmp_path: Path) -> None:
    card = read_scorecard(CARD, Hints())
    assert card.declared is not None
    columns = rows()
    answers = agree(card, card.declared, columns, tmp_path, tolerance=0.0)
    expected = [points_by_hand(*row) for row in zip(*columns.values(), strict=True)]
    np.testing.assert_array_equal(answers["value"], expected)


def test_what_it_declares() -> None:
    card = read_scorecard(CARD, Hints())
    assert card.declared is not None
    told = [
        (field.name, field.dtype, field.nullable, field.unseen, field.categories) for field in card.declared
    ]
    assert told == [
        ("age", "float64", True, "flag", None),
        ("income", "float64", True, "flag", None),
        ("home", "string", True, "flag", ("mortgage", "own", "rent")),
        ("region", "string", False, "refuse", ("north", "south")),
    ]
    assert card.edges() == {"age": [25.0, 40.0], "income": [0.0, 1000.0]}


def test_points_become_a_probability(tmp_path: Path) -> None:
    card = read_scorecard(SCALED, Hints(classes=("bad", "good")))
    assert card.declared is not None
    columns = rows()
    answers = agree(card, card.declared, columns, tmp_path, tolerance=1e-14)
    points = np.array([points_by_hand(*row) for row in zip(*columns.values(), strict=True)])
    odds = 50 * 2 ** ((points - 600) / 20)
    np.testing.assert_allclose(answers["probabilities"][:, 1], odds / (1 + odds), rtol=1e-12)
    np.testing.assert_array_equal(answers["points"], points)
    np.testing.assert_array_equal(answers["label"], np.where(odds > 1, "good", "bad"))


def test_twenty_points_double_the_odds() -> None:
    text = "characteristic,low,high,values,points\nx,,0,,600\nx,0,,,620\n@score,,,,600\n@odds,,,,50\n@pdo,,,,20\n"
    card = read_scorecard(text, Hints())
    assert card.declared is not None
    good = card.predict(card.declared, {"x": np.array([-1.0, 1.0])})["probabilities"][:, 1]
    np.testing.assert_allclose(good / (1 - good), [50.0, 100.0])


def test_a_value_without_a_row_is_refused() -> None:
    card = read_scorecard(CARD, Hints())
    assert card.declared is not None
    good = {name: values[:1] for name, values in rows().items()}
    assert card.accepts(card.declared, good)
    assert not card.accepts(card.declared, {**good, "region": np.array(["west"], dtype=object)})
    assert not card.accepts(card.declared, {**good, "region": np.array([None], dtype=object)})


def test_a_file_is_known_by_its_first_line(tmp_path: Path) -> None:
    path = tmp_path / "card.csv"
    path.write_bytes(b"\xef\xbb\xbf" + CARD.replace("\n", "\r\n").encode())
    assert sniff(path.read_bytes()) == "scorecard"
    card = open_original(path, "scorecard", trusted=False, hints=Hints())
    assert isinstance(card, Scorecard)
    assert card.base == 200


HEAD = "characteristic,low,high,values,points\n"


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("x,,10,,1\nx,5,,,2\n", "row 3 of the scorecard: bands of 'x' overlap"),
        ("x,,10,,1\nx,20,,,2\n", "row 3 .* leave a gap"),
        ("x,,10,,1\n", "leave a gap"),
        ("x,5,,,1\n", "leave a gap"),
        ("x,10,5,,1\n", "row 2 .* ends before it begins"),
        ("x,,,a|a,1\n", "comes twice"),
        ("x,,,a,1\nx,,,a,2\n", "row 3 .* comes twice"),
        ("x,,,a||b,1\n", "empty category"),
        ("x,,,a,1\nx,1,2,,3\n", "bands and categories"),
        ("x,1,2,,3\nx,,,a,1\n", "bands and categories"),
        ("x,1,2,a,3\n", "a band and with values"),
        ("x,,,,nan\n", "'points' is no number"),
        ("x,,,,\n", "'points' is no number"),
        ("x,one,,,1\n", "'low' is no number"),
        ("x,,,missing,1\n", "without bands and categories"),
        ("x,,,missing,1\nx,,,missing,2\nx,,,,3\n", "two rows for 'missing'"),
        (",,,a,1\n", "without a characteristic"),
        ("base,,,,1\nbase,,,,2\nx,,,,3\n", "'base' comes twice"),
        ("base,1,,,1\nx,,,,3\n", "nothing but points"),
        ("@pdo,,,,20\nx,,,,3\n", "scaling of the scorecard is not complete"),
        ("@pdo,,,,-20\nx,,,,3\n", "not greater than zero"),
        ("x,,,1\n", "another number of cells"),
        ("base,,,,1\n", "no characteristics"),
    ],
)
def test_a_wrong_table_names_its_row(table: str, said: str) -> None:
    with pytest.raises(Invalid, match=said):
        read_scorecard(HEAD + table, Hints())


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", 'characteristic,low,high,values,points\n"x,,,,1\n'])
def test_what_is_no_scorecard(text: str) -> None:
    with pytest.raises(Unreadable):
        read_scorecard(text, Hints())


def test_three_classes_are_too_many() -> None:
    with pytest.raises(Invalid, match="two classes"):
        read_scorecard(SCALED, Hints(classes=("a", "b", "c")))


def test_one_band_for_all(tmp_path: Path) -> None:
    card = read_scorecard(HEAD + "x,,,,3\n", Hints())
    assert card.declared is not None
    answers = agree(card, card.declared, {"x": np.array([1.0, -5.0])}, tmp_path, tolerance=0.0)
    assert answers["value"].tolist() == [3.0, 3.0]
