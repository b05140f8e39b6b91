"""What a comparison on reference rows would let through, and edge rows do not."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import pytest
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType
from sklearn.ensemble import GradientBoostingRegressor, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from tsavo.formats.answers import Answer
from tsavo.formats.compilation import Compiled, compile_estimator
from tsavo.formats.layout import GraphInput
from tsavo.formats.onnx_graphs import name_outputs
from tsavo.formats.sklearn_models import SklearnOriginal
from tsavo.runtimes.compiling import compile_checked
from tsavo.runtimes.describing import PreparedVersion, describe
from tsavo.runtimes.reference import ReferenceRows
from tsavo.vocabulary import Disagreement, Field, Hints, Output, Refused

RANDOM = np.random.default_rng(5)
X = RANDOM.normal(size=(400, 4)) * 1000
TWO = (X[:, 0] + X[:, 1] > 300).astype(np.int64)
REAL = X[:, 0] + X[:, 1] * np.sign(X[:, 2])
FIELDS = tuple(Field(f"x{at}", "float64") for at in range(4))


def rows_of(table: npt.NDArray[Any]) -> ReferenceRows:
    return ReferenceRows({f"x{at}": table[:, at].copy() for at in range(table.shape[1])})


def prepare(original: SklearnOriginal, table: npt.NDArray[Any], folder: Path) -> PreparedVersion:
    described = describe(original, rows_of(table), Hints())
    return compile_checked(original, described, folder / "artifact.onnx")


class Naive(SklearnOriginal):
    """First compiled as converters do by default: everything rounded to float32."""

    always = False

    def compile(self, fields: Sequence[Field], *, float32: bool) -> Compiled:
        if float32 and not self.always:
            return super().compile(fields, float32=False)
        graph = convert_sklearn(
            self.estimator,
            initial_types=[("X", FloatTensorType([None, len(fields)]))],
            options={"zipmap": False} if self.classes else None,
            target_opset={"": 19, "ai.onnx.ml": 3},
        )
        inner = [output.name for output in graph.graph.output]
        answers = (
            (Answer("label", "", "int64"), Answer("probabilities", "", "float32", 2))
            if self.classes
            else (Answer("value", "", "float32"),)
        )
        outputs = tuple(
            (name, Output(answer.name, answer.dtype, answer.width))
            for name, answer in zip(inner, answers, strict=True)
        )
        layout = (GraphInput("X", "float32", tuple(range(len(fields)))),)
        return Compiled(name_outputs(graph, outputs, layout), answers, {}, "float32 throughout")


class OnlyNaive(Naive):
    always = True


TREES = [
    (RandomForestClassifier(20, random_state=0), TWO),
    (GradientBoostingRegressor(n_estimators=20, random_state=0), REAL),
]


@pytest.mark.parametrize(("trees", "target"), TREES, ids=["forest", "boosting"])
def test_a_threshold_that_flips_in_float32_is_found_and_the_other_road_taken(
    trees: Any, target: npt.NDArray[Any], tmp_path: Path
) -> None:
    model = make_pipeline(StandardScaler(), trees).fit(X, target)
    output = "probabilities" if target is TWO else "value"
    # The trap: on rows like those of the training data nothing shows.
    expected = OnlyNaive(model).predict(FIELDS, rows_of(X[:50]).columns)[output]
    np.testing.assert_allclose(naively(model, X[:50])[output], expected, rtol=1e-5, atol=1e-5)
    with pytest.raises(Disagreement, match="generated rows that try thresholds"):
        prepare(OnlyNaive(model), X[:50], tmp_path)

    version = prepare(Naive(model), X[:50], tmp_path)
    assert version.checks[0].figures["precision"] == "float64"
    assert version.checks[0].figures["edges"]["thresholds"] > 100
    near = rows_of(on_thresholds(Naive(model))).columns
    expected = OnlyNaive(model).predict(FIELDS, near)[output]
    np.testing.assert_allclose(version.answer(near)[output], expected, rtol=1e-12, atol=1e-12)
    assert not np.allclose(
        naively(model, on_thresholds(Naive(model)))[output], expected, rtol=1e-5, atol=1e-5
    )


def naively(model: Any, table: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
    """What the graph in float32 answers."""
    compiled = OnlyNaive(model).compile(FIELDS, float32=False)
    session = onnxruntime.InferenceSession(compiled.model.SerializeToString())
    given = session.run(None, {session.get_inputs()[0].name: table.astype(np.float32)})
    return dict(zip([output.name for output in session.get_outputs()], given, strict=True))


def on_thresholds(original: SklearnOriginal) -> npt.NDArray[Any]:
    """[500, 4]: rows of values exactly on thresholds, and one rounding step beside them."""
    columns = []
    for cuts in original.edges().values():
        values = np.concatenate([cuts, np.nextafter(cuts, np.inf), np.nextafter(cuts, -np.inf)])
        columns.append(values[np.arange(500) * 7919 % len(values)])
    return np.stack(columns, axis=1)


class Otherwise(SklearnOriginal):
    """Its compiled form is that of another model."""

    other: Any = None

    def compile(self, fields: Sequence[Field], *, float32: bool) -> Compiled:
        return compile_estimator(self.other, fields, float32=float32)


def test_the_signature_promises_no_missing_values_where_the_two_differ(tmp_path: Path) -> None:
    model, other = (
        make_pipeline(SimpleImputer(strategy="constant", fill_value=fill), Ridge()).fit(X, REAL)
        for fill in (0.0, 500.0)
    )
    original = Otherwise(model)
    original.other = other
    version = prepare(original, X[:60], tmp_path)
    assert not any(field.nullable for field in version.signature.inputs)
    original.other = model
    version = prepare(original, X[:60], tmp_path)
    assert all(field.nullable for field in version.signature.inputs)


@pytest.mark.parametrize(("share", "unseen"), [(0.0, "flag"), (1.0, "refuse")])
def test_the_signature_refuses_unseen_text_where_the_two_differ(
    share: float, unseen: str, tmp_path: Path
) -> None:
    """`share` of the answer to what is in no category comes from somewhere else."""
    cities = np.array(["Bern", "Voi", "Ham"], dtype=object)[np.arange(90) % 3]
    model, other = (
        make_pipeline(OneHotEncoder(handle_unknown="ignore"), Ridge()).fit(
            cities.reshape(-1, 1), np.arange(90) % 3
        )
        for _ in range(2)
    )
    # The columns of a known city sum to one; moving weight to the intercept changes unseen ones alone.
    other[-1].coef_ -= share
    other[-1].intercept_ += share
    original = Otherwise(model)
    original.other = other
    described = describe(original, ReferenceRows({"city": cities}), Hints())
    version = compile_checked(original, described, tmp_path / "artifact.onnx")
    assert version.signature.inputs[0].unseen == unseen


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (KNeighborsClassifier().fit(X, TWO), "it looks for the nearest rows of its training data"),
        (make_pipeline(FunctionTransformer(np.sinh), Ridge()).fit(X / 1000, REAL), "function of its own"),
    ],
    ids=["neighbours", "function"],
)
def test_why_a_model_is_not_compiled_is_told_in_words_for_people(
    model: Any, reason: str, tmp_path: Path
) -> None:
    with pytest.raises(Refused, match=reason) as refusal:
        prepare(SklearnOriginal(model), X[:60] / 1000, tmp_path)
    assert not re.search(r"Error|Traceback|skl2onnx|onnxruntime|0x", str(refusal.value))
