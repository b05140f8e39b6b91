from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tsavo.formats.opening import open_original
from tsavo.formats.originals import CannotCompile
from tsavo.formats.pmml_models import PMMLOriginal, open_model
from tsavo.formats.sniffing import sniff_file
from tsavo.vocabulary import Hints, Invalid, Unreadable

from .boosted import agree

FILES = Path(__file__).parent / "pmml"


def _columns(original: PMMLOriginal, rows: list[dict[str, str]]) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for field in original.declared or ():
        texts = [row[field.name] for row in rows]
        if field.dtype == "string":
            columns[field.name] = np.array([text or None for text in texts], dtype=object)
        else:
            columns[field.name] = np.array([float(text) if text else math.nan for text in texts])
    return columns


def _file(tmp_path: Path, body: str, head: str = "", version: str = "4.4") -> Path:
    path = tmp_path / "model.pmml"
    space = f"http://www.dmg.org/PMML-{version.replace('.', '_')}"
    path.write_text(
        f'{head}<PMML xmlns="{space}" version="{version}"><Header/>{body}</PMML>', encoding="utf-8"
    )
    return path


DICTIONARY = """<DataDictionary>
  <DataField name="x" optype="continuous" dataType="double"/>
  <DataField name="c" optype="categorical" dataType="string"><Value value="a"/><Value value="b"/></DataField>
  <DataField name="y" optype="continuous" dataType="double"/>
</DataDictionary>"""
SCHEMA = """<MiningSchema><MiningField name="x"/><MiningField name="c"/>
  <MiningField name="y" usageType="target"/></MiningSchema>"""
X = np.array([-2.0, 0.0, 0.5, 1.0, 3.0, 10.0])
C = np.array(["a", "b", "a", "b", "a", "b"], dtype=object)


def _opened(tmp_path: Path, model: str, extra: str = "") -> PMMLOriginal:
    return open_model(_file(tmp_path, DICTIONARY + extra + model), "pmml", Hints())


def _values(original: PMMLOriginal, tmp_path: Path, x: Any = X, c: Any = C) -> list[float]:
    """What numpy says, once the compiled graph has said the same."""
    assert original.declared is not None
    answers = agree(original, original.declared, {"x": x, "c": c}, tmp_path, tolerance=1e-12)
    values: list[float] = answers["value"].tolist()
    return values


def _derived(expression: str, data_type: str = "double") -> str:
    """A model whose value is a derived field."""
    field = f'<DerivedField name="d" optype="continuous" dataType="{data_type}">{expression}</DerivedField>'
    return f"""<RegressionModel functionName="regression">{SCHEMA}
      <LocalTransformations>{field}</LocalTransformations>
      <RegressionTable intercept="0"><NumericPredictor name="d" coefficient="1"/></RegressionTable>
    </RegressionModel>"""


@pytest.mark.parametrize("name", ["logistic", "linear", "tree", "boosting"])
def test_a_file_of_another_program_answers_as_scikit_learn_did(name: str, tmp_path: Path) -> None:
    path = FILES / f"{name}.pmml"
    assert sniff_file(path) == "pmml"
    original = open_original(path, "pmml", trusted=False, hints=Hints())
    assert isinstance(original, PMMLOriginal)
    assert original.declared is not None
    with (FILES / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    answers = agree(original, original.declared, _columns(original, rows), tmp_path, tolerance=1e-12)
    if original.classes is None:
        np.testing.assert_allclose(
            answers["value"], [float(row["expected.value"]) for row in rows], rtol=1e-12
        )
        return
    assert answers["label"].tolist() == [row["expected.label"] for row in rows]
    expected = [[float(row[f"expected.{label}"]) for label in original.classes] for row in rows]
    np.testing.assert_allclose(answers["probabilities"], expected, rtol=1e-12, atol=1e-15)


def test_what_a_file_declares() -> None:
    original = open_model(FILES / "logistic.pmml", "pmml", Hints())
    assert original.declared is not None
    assert [(field.name, field.dtype) for field in original.declared] == [
        ("age", "float64"),
        ("income", "float64"),
        ("city", "string"),
    ]
    assert (original.task, original.classes) == ("binary", ("leave", "stay"))


def test_a_category_that_is_not_allowed_is_refused() -> None:
    original = open_model(FILES / "logistic.pmml", "pmml", Hints())
    columns = {"age": np.array([30.0]), "income": np.array([1.0]), "city": np.array(["Rom"], dtype=object)}
    with pytest.raises(Invalid, match="Bern"):
        original.predict(original.declared or (), columns)


# Expression -> what it is of X and C, by hand.
EXPRESSIONS: dict[str, tuple[str, list[float]]] = {
    "a line between points": (
        '<NormContinuous field="x"><LinearNorm orig="0" norm="0"/><LinearNorm orig="1" norm="10"/>'
        '<LinearNorm orig="3" norm="20"/></NormContinuous>',
        [-20, 0, 5, 10, 20, 55],
    ),
    "outliers at the ends": (
        '<NormContinuous field="x" outliers="asExtremeValues"><LinearNorm orig="0" norm="1"/>'
        '<LinearNorm orig="1" norm="2"/></NormContinuous>',
        [1, 1, 1.5, 2, 2, 2],
    ),
    "one of a category": ('<NormDiscrete field="c" value="b"/>', [0, 1, 0, 1, 0, 1]),
    "bins": (
        '<Discretize field="x" defaultValue="9" dataType="double">'
        '<DiscretizeBin binValue="1"><Interval closure="openClosed" rightMargin="0"/></DiscretizeBin>'
        '<DiscretizeBin binValue="2"><Interval closure="openOpen" leftMargin="0" rightMargin="3"/></DiscretizeBin>'
        "</Discretize>",
        [1, 1, 2, 2, 9, 9],
    ),
    "a table": (
        '<MapValues outputColumn="out" dataType="double" defaultValue="-1"><FieldColumnPair field="c" column="in"/>'
        "<InlineTable><row><in>a</in><out>7</out></row></InlineTable></MapValues>",
        [7, -1, 7, -1, 7, -1],
    ),
    "arithmetic": (
        '<Apply function="+"><Apply function="*"><FieldRef field="x"/><Constant>2</Constant></Apply>'
        '<Apply function="pow"><FieldRef field="x"/><Constant>2</Constant></Apply></Apply>',
        [0, 0, 1.25, 3, 15, 120],
    ),
    "a condition": (
        '<Apply function="if"><Apply function="and"><Apply function="greaterThan"><FieldRef field="x"/>'
        '<Constant>0</Constant></Apply><Apply function="equal"><FieldRef field="c"/>'
        '<Constant dataType="string">a</Constant></Apply></Apply>'
        '<FieldRef field="x"/><Constant>-1</Constant></Apply>',
        [-1, -1, 0.5, -1, 3, -1],
    ),
    "functions": (
        '<Apply function="max"><Apply function="abs"><FieldRef field="x"/></Apply>'
        '<Apply function="floor"><FieldRef field="x"/></Apply><Constant>1</Constant></Apply>',
        [2, 1, 1, 1, 3, 10],
    ),
}


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_an_expression(name: str, tmp_path: Path) -> None:
    expression, expected = EXPRESSIONS[name]
    assert _values(_opened(tmp_path, _derived(expression)), tmp_path) == pytest.approx(expected, abs=1e-12)


def _regression(link: str) -> str:
    return f"""<RegressionModel functionName="regression" normalizationMethod="{link}">{SCHEMA}
      <RegressionTable intercept="0.5"><NumericPredictor name="x" coefficient="0.25"/></RegressionTable>
    </RegressionModel>"""


@pytest.mark.parametrize(
    ("link", "formula"),
    [
        ("none", lambda y: y),
        ("logit", lambda y: 1 / (1 + math.exp(-y))),
        ("exp", math.exp),
        ("cloglog", lambda y: 1 - math.exp(-math.exp(y))),
        ("loglog", lambda y: math.exp(-math.exp(-y))),
    ],
)
def test_a_normalization(link: str, formula: Any, tmp_path: Path) -> None:
    values = _values(_opened(tmp_path, _regression(link)), tmp_path)
    assert values == pytest.approx([formula(0.5 + 0.25 * x) for x in X.tolist()])


def test_probit_runs_and_says_why_it_is_not_compiled(tmp_path: Path) -> None:
    original = _opened(tmp_path, _regression("probit"))
    value = original.predict(original.declared or (), {"x": np.array([2.0]), "c": C[:1]})["value"]
    assert value.tolist() == pytest.approx([0.5 * (1 + math.erf(1 / math.sqrt(2)))])
    with pytest.raises(CannotCompile, match="float32"):
        original.compile(original.declared or (), float32=False)


def _tree(strategy: str, last: str = "returnNullPrediction") -> str:
    return f"""<TreeModel functionName="regression" missingValueStrategy="{strategy}" noTrueChildStrategy="{last}">
      {SCHEMA}<Node id="0" score="5" defaultChild="2"><True/>
        <Node id="1" score="1"><SimplePredicate field="x" operator="lessOrEqual" value="0.5"/></Node>
        <Node id="2" score="2"><CompoundPredicate booleanOperator="and">
          <SimplePredicate field="x" operator="greaterThan" value="0.5"/>
          <SimpleSetPredicate field="c" booleanOperator="isIn"><Array type="string">"a"</Array></SimpleSetPredicate>
        </CompoundPredicate></Node></Node></TreeModel>"""


def test_a_tree_without_a_true_child(tmp_path: Path) -> None:
    assert _values(_opened(tmp_path, _tree("none", "returnLastPrediction")), tmp_path) == [1, 1, 1, 5, 2, 5]
    original = _opened(tmp_path, _tree("none"))
    with pytest.raises(ValueError, match="no answer"):
        original.predict(original.declared or (), {"x": X, "c": C})


@pytest.mark.parametrize(("strategy", "expected"), [("lastPrediction", 5), ("defaultChild", 2), ("none", 5)])
def test_a_missing_value_in_a_tree(strategy: str, expected: float, tmp_path: Path) -> None:
    original = _opened(tmp_path, _tree(strategy, "returnLastPrediction"))
    assert _values(original, tmp_path, np.array([np.nan]), np.array(["a"], dtype=object)) == [expected]


def test_a_missing_value_is_replaced(tmp_path: Path) -> None:
    model = _regression("none").replace('name="x"/>', 'name="x" missingValueReplacement="6"/>', 1)
    original = _opened(tmp_path, model)
    assert _values(original, tmp_path, np.array([np.nan, 2.0]), C[:2]) == [2.0, 1.0]
    bare = _opened(tmp_path, _regression("none"))
    assert not bare.accepts(bare.declared or (), {"x": np.array([np.nan]), "c": C[:1]})


def _segments(method: str) -> str:
    parts = "".join(
        f'<Segment weight="{weight}"><SimplePredicate field="x" operator="greaterOrEqual" value="{edge}"/>'
        f'<RegressionModel functionName="regression">{SCHEMA}<RegressionTable intercept="{value}"/></RegressionModel>'
        "</Segment>"
        for weight, edge, value in ((1, 1, 10), (3, -9, 20))
    )
    return f"""<MiningModel functionName="regression">{SCHEMA}
      <Segmentation multipleModelMethod="{method}">{parts}</Segmentation></MiningModel>"""


@pytest.mark.parametrize(
    ("method", "low", "high"),
    [("sum", 20, 30), ("average", 20, 15), ("weightedAverage", 20, 17.5), ("selectFirst", 20, 10)],
)
def test_segments(method: str, low: float, high: float, tmp_path: Path) -> None:
    assert _values(_opened(tmp_path, _segments(method)), tmp_path) == [low, low, low, high, high, high]


def test_votes(tmp_path: Path) -> None:
    parts = "".join(
        f'<Segment><True/><TreeModel functionName="classification">{SCHEMA}<Node score="no"><True/>'
        f'<Node score="yes"><SimplePredicate field="x" operator="greaterThan" value="{edge}"/></Node>'
        f'<Node score="no"><SimplePredicate field="x" operator="lessOrEqual" value="{edge}"/></Node></Node>'
        "</TreeModel></Segment>"
        for edge in (0, 0.7, 5)
    )
    model = f"""<MiningModel functionName="classification">{SCHEMA}
      <Segmentation multipleModelMethod="majorityVote">{parts}</Segmentation></MiningModel>"""
    dictionary = DICTIONARY.replace(
        '"y" optype="continuous" dataType="double"', '"y" optype="categorical" dataType="string"'
    )
    original = open_model(_file(tmp_path, dictionary + model), "pmml", Hints())
    assert original.classes is not None
    answers = agree(original, original.declared or (), {"x": X, "c": C}, tmp_path, tolerance=1e-12)
    assert answers["label"].tolist() == ["no", "no", "no", "yes", "yes", "yes"]
    yes = list(original.classes).index("yes")
    assert answers["probabilities"][:, yes] == pytest.approx([0, 0, 1 / 3, 2 / 3, 2 / 3, 1])


def test_a_scorecard_adds_points(tmp_path: Path) -> None:
    original = _opened(
        tmp_path,
        f"""<Scorecard functionName="regression" initialScore="100" useReasonCodes="true">{SCHEMA}<Characteristics>
        <Characteristic name="x" reasonCode="X" baselineScore="3"><Attribute partialScore="-5">
          <SimplePredicate field="x" operator="lessThan" value="1"/></Attribute>
          <Attribute partialScore="8"><True/></Attribute></Characteristic>
        <Characteristic name="c"><Attribute partialScore="1"><SimplePredicate field="c" operator="equal" value="a"/>
          </Attribute><Attribute partialScore="2"><True/></Attribute></Characteristic>
        </Characteristics></Scorecard>""",
    )
    assert _values(original, tmp_path) == [96, 97, 96, 110, 109, 110]


BOMB = '<!DOCTYPE p [<!ENTITY a "lol"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
OUTSIDE = '<!DOCTYPE p [<!ENTITY a SYSTEM "file:///etc/hostname">]>'


@pytest.mark.parametrize("head", [BOMB, OUTSIDE, '<!DOCTYPE p SYSTEM "other.dtd">'])
def test_document_types_and_entities_are_refused(head: str, tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match="entities"):
        open_model(_file(tmp_path, DICTIONARY + _regression("none"), head), "pmml", Hints())


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("<Extension>" * 5000 + "</Extension>" * 5000, "nested"),
        (f'{DICTIONARY}<NeuralNetwork functionName="regression">{SCHEMA}</NeuralNetwork>', "NeuralNetwork"),
        (DICTIONARY + _derived('<Aggregate field="x" function="sum"/>'), "Aggregate"),
        (DICTIONARY + _derived('<Apply function="system"><FieldRef field="x"/></Apply>'), "system"),
        (DICTIONARY + _derived('<FieldRef field="d"/>'), "from itself"),
        (DICTIONARY + _derived('<FieldRef field="nowhere"/>'), "nowhere"),
        (
            DICTIONARY
            + _derived('<Apply function="abs">' * 150 + '<FieldRef field="q"/>' + "</Apply>" * 150),
            "'q'",
        ),
        (
            DICTIONARY
            + "<TransformationDictionary>"
            + "".join(
                f'<DerivedField name="d{at}" dataType="double"><FieldRef field="d{at + 1}"/></DerivedField>'
                for at in range(2000)
            )
            + "</TransformationDictionary>"
            + _derived('<FieldRef field="d0"/>'),
            "deep",
        ),
        (DICTIONARY + _tree("aggregateNodes"), "aggregateNodes"),
        (DICTIONARY + _segments("median"), "median"),
        (DICTIONARY + _regression("none").replace('"0.25"', '"much"'), "much"),
        (f'{DICTIONARY}<o:x xmlns:o="urn:other"/>', "another vocabulary"),
    ],
)
def test_what_is_not_read_is_named(body: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match=told):
        open_model(_file(tmp_path, body), "pmml", Hints())


def test_a_version_before_4_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Unreadable, match=r"4\.0 to 4\.4"):
        open_model(_file(tmp_path, DICTIONARY + _regression("none"), version="3.2"), "pmml", Hints())


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_cut_file_is_unreadable(share: float, tmp_path: Path) -> None:
    content = (FILES / "boosting.pmml").read_bytes()
    path = tmp_path / "cut.pmml"
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(Unreadable):
        open_model(path, "pmml", Hints())
