from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from tsavo.formats.public_outputs import public_outputs, task_of
from tsavo.vocabulary import Hints, Invalid

TWO = Hints(classes=("n", "y"))
THREE = Hints(classes=(1, 2, 3))


def plain(given: Any, hints: Hints) -> dict[str, Any]:
    return {name: values.tolist() for name, values in public_outputs(given, hints).items()}


@pytest.mark.parametrize(
    ("given", "hints", "expected"),
    [
        (np.array([1.5, 2.5]), Hints(), {"value": [1.5, 2.5]}),
        (np.array([[1.0], [2.0]]), Hints(), {"value": [1.0, 2.0]}),
        (np.array([[1.0, 2.0]]), Hints(), {"value": [[1.0, 2.0]]}),
        ([1, 2], Hints(task="regression"), {"value": [1, 2]}),
        (["a", "b"], Hints(), {"label": ["a", "b"]}),
        (pd.Series([1.0]), Hints(task="anomaly"), {"score": [1.0]}),
        (pd.Series([1.0]), Hints(task="ranking"), {"score": [1.0]}),
        ([0, 2], Hints(task="clustering"), {"label": [0, 2]}),
        ([[0, 1]], Hints(task="multilabel"), {"label": [[0, 1]]}),
        ([0.25, 0.75], TWO, {"label": ["n", "y"], "probabilities": [[0.75, 0.25], [0.25, 0.75]]}),
        (["n", "y"], TWO, {"label": ["n", "y"]}),
        ([[0.5, 0.5]], TWO, {"label": ["n"], "probabilities": [[0.5, 0.5]]}),
        ([2, 3], THREE, {"label": [2, 3]}),
        ([[0.1, 0.2, 0.7]], THREE, {"label": [3], "probabilities": [[0.1, 0.2, 0.7]]}),
        ([1.0, 0.0], Hints(classes=(0.0, 1.0)), {"label": [1.0, 0.0]}),
        ([[0.1, 0.9]], Hints(task="binary"), {"probabilities": [[0.1, 0.9]]}),
        ([True], Hints(task="binary"), {"label": [True]}),
        (pd.DataFrame({"low": [1], "high": [2.5]}), Hints(), {"low": [1], "high": [2.5]}),
        ({"a": [1], "b": ["x"]}, TWO, {"a": [1], "b": ["x"]}),
    ],
)
def test_what_it_returns_decides(given: Any, hints: Hints, expected: dict[str, Any]) -> None:
    assert plain(given, hints) == expected


def test_types_become_the_few_that_signatures_have() -> None:
    frame = pd.DataFrame(
        {
            "small": np.array([1], np.int8),
            "half": np.array([1.5], np.float32),
            "flag": [True],
            "text": pd.Series(["a"], dtype="string"),
            "kind": pd.Categorical(["b"]),
            "maybe": pd.array([1], dtype="Int64"),
        }
    )
    kinds = {name: values.dtype for name, values in public_outputs(frame, Hints()).items()}
    assert kinds == {
        "small": np.dtype(np.int64),
        "half": np.dtype(np.float64),
        "flag": np.dtype(np.bool_),
        "text": np.dtype(object),
        "kind": np.dtype(object),
        "maybe": np.dtype(np.int64),
    }


def test_holes() -> None:
    assert plain(pd.Series(["a", None, np.nan], dtype=object), Hints()) == {"label": ["a", None, None]}
    assert plain(pd.Series(["a", None]), Hints()) == {"label": ["a", None]}
    values = public_outputs(pd.array([1, None], dtype="Int64"), Hints())["value"]
    np.testing.assert_array_equal(values, [1.0, np.nan])


def test_what_is_no_answer() -> None:
    with pytest.raises(Invalid, match="returned nothing"):
        public_outputs(None, Hints())
    with pytest.raises(Invalid, match="mixture"):
        public_outputs(["a", 1], Hints())
    with pytest.raises(Invalid, match="another number of probabilities"):
        public_outputs([[0.1, 0.2, 0.7]], TWO)


def test_the_task() -> None:
    assert [task_of(hints) for hints in (Hints(), TWO, THREE, Hints(task="ranking", classes=(1, 2)))] == [
        "generic",
        "binary",
        "multiclass",
        "ranking",
    ]
