"""What a version in a worker answers is what its model answers, or a reason that names what is wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OrdinalEncoder

from tests.runtimes.python_worker.models import FINE, Zoo, pool, rows, version
from tsavo.runtimes import PythonRuntime
from tsavo.vocabulary import Batch, Field, Output, Signature, Unavailable

MIXED = Signature(
    (
        Field("x", "float64", nullable=True),
        Field("n", "int64"),
        Field("ok", "bool"),
        Field("city", "string", nullable=True),
    ),
    (
        Output("label", "string"),
        Output("probabilities", "float64", 2),
        Output("count", "int64"),
        Output("yes", "bool"),
    ),
    "generic",
)


def with_zoo(folder: Path, test: Callable[[Zoo], Awaitable[None]]) -> None:
    async def run() -> None:
        workers = pool(folder, seconds=60.0)
        try:
            await test(Zoo(folder, workers))
        finally:
            await workers.close()

    asyncio.run(run())


def objects(*values: str | None) -> Any:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def test_columns_of_every_type_go_in_and_come_out(tmp_path: Path) -> None:
    body = (
        "missing = [city is None for city in columns['city']]\n"
        "return {'label': ['none' if gone else city for city, gone in zip(columns['city'], missing)],\n"
        "        'probabilities': np.stack([columns['x'], np.isnan(columns['x'])], axis=1),\n"
        "        'count': columns['n'].astype(np.int32), 'yes': ~columns['ok'], 'extra': columns['x']}"
    )
    batch = Batch(
        3,
        None,
        (
            np.array([0.1, np.nan, -np.inf]),
            np.array([1, -(2**31), 3]),
            np.array([True, False, True]),
            objects("Genève", None, "日本"),
        ),
    )

    async def test(zoo: Zoo) -> None:
        model = zoo.model("mixed", body, before="import numpy as np", signature=MIXED)
        label, probabilities, count, yes = await model.answer(batch)
        assert label.tolist() == ["Genève", "none", "日本"]
        assert probabilities.tobytes() == np.array([[0.1, 0], [np.nan, 1], [-np.inf, 0]]).tobytes()
        assert count.dtype == np.int64
        assert count.tolist() == [1, -(2**31), 3]
        assert yes.tolist() == [False, True, False]

    with_zoo(tmp_path, test)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("{'value': columns['x'][:1]}", r"'value' has the shape \[1\] instead of \[2\]"),
        ("{'value': np.ones((2, 3))}", r"\[2, 3\] instead of \[2\]"),
        ("{'value': np.ones((2, 3, 4))}", "no table"),
        ("{'other': columns['x']}", r"no output 'value', only \['other'\]"),
        ("{'value': ['a', 'b']}", "text instead of float64"),
        ("{'value': columns['x'].astype(complex)}", "neither numbers, booleans nor text"),
        ("{'value': [{}, {}]}", "model raised"),
        ("None", "model raised"),
        ("{}", "no output 'value'"),
        ("1 / 0", "model raised ZeroDivisionError: division by zero"),
    ],
)
def test_an_answer_that_is_none_is_refused_by_name(tmp_path: Path, answer: str, reason: str) -> None:
    async def test(zoo: Zoo) -> None:
        model = zoo.model("odd", f"return {answer}", before="import numpy as np")
        with pytest.raises(Unavailable, match=reason):
            await model.answer(rows((1.0, 2.0), (3.0, 4.0)))
        # It is alive, and not to blame for more than this.
        assert (model.state.name, model.state.failures) == ("ready", 0)

    with_zoo(tmp_path, test)


def test_more_than_was_asked_for_is_not_taken_in(tmp_path: Path) -> None:
    async def test(zoo: Zoo) -> None:
        model = zoo.model(
            "fat", "return {'value': columns['x'], 'more': np.ones(10**7)}", before="import numpy as np"
        )
        with pytest.raises(Unavailable, match="larger than"):
            await model.answer(FINE)

    with_zoo(tmp_path, test)


def test_labels_are_of_the_type_that_the_signature_says(tmp_path: Path) -> None:
    signature = Signature(FIELDS, (Output("label", "string"),), "multiclass", ("a", "b"))

    async def test(zoo: Zoo) -> None:
        model = zoo.model("m", "return {'label': [1 for _ in columns['x']]}", signature=signature)
        with pytest.raises(Unavailable, match="'label' is int64 instead of string"):
            await model.answer(FINE)

    with_zoo(tmp_path, test)


FIELDS = (Field("x", "float64"), Field("y", "float64"))


def test_scikit_learn_models_answer_in_a_worker_as_they_do_here(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    numbers = random.normal(size=(200, 2))
    target = (numbers[:, 0] > 0).astype(int)
    classifier = make_pipeline(FunctionTransformer(np.square), KNeighborsClassifier(3)).fit(numbers, target)
    texts = pd.DataFrame({"city": random.choice(["bern", "voi", "ham"], 50), "size": random.normal(size=50)})
    encoder = make_pipeline(OrdinalEncoder()).fit(texts)
    joblib.dump(classifier, tmp_path / "classifier")
    joblib.dump(encoder, tmp_path / "encoder")
    outputs = (Output("label", "int64"), Output("probabilities", "float64", 2))
    first = version("classifier", Signature(FIELDS, outputs, "binary", (0, 1)), "joblib")
    second = version(
        "encoder",
        Signature(
            (Field("city", "string"), Field("size", "float64")), (Output("value", "float64", 2),), "generic"
        ),
        "joblib",
    )

    async def test(zoo: Zoo) -> None:
        model = PythonRuntime(first, tmp_path / "classifier", zoo.workers)
        label, probabilities = await model.answer(Batch(200, numbers))
        assert label.tolist() == classifier.predict(numbers).tolist()
        assert probabilities.tobytes() == classifier.predict_proba(numbers).tobytes()
        other = PythonRuntime(second, tmp_path / "encoder", zoo.workers)
        (value,) = await other.answer(
            Batch(50, None, (texts["city"].to_numpy(object), texts["size"].to_numpy()))
        )
        assert value.tolist() == encoder.transform(texts).tolist()

    with_zoo(tmp_path, test)


def test_a_file_that_is_no_model_says_so(tmp_path: Path) -> None:
    (tmp_path / "broken").write_bytes(b"\x80\x04 nothing")
    broken = version("broken", source_format="joblib")

    async def test(zoo: Zoo) -> None:
        model = PythonRuntime(broken, tmp_path / "broken", zoo.workers)
        with pytest.raises(Unavailable, match="joblib file cannot be read"):
            await model.answer(FINE)
        gone = PythonRuntime(version("gone"), tmp_path / "gone", zoo.workers)
        with pytest.raises(Unavailable, match="gone@1"):
            await gone.answer(FINE)

    with_zoo(tmp_path, test)
