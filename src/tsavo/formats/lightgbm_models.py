"""LightGBM: boosters and its scikit-learn wrappers, from model text or from pickles.

The text carries no code. It does not name the classes, and it numbers text categories as pandas did when it was fitted;
that list stands at its end.

Source: LightGBM's ``src/io/tree.cpp`` as documented in "Parameters" and "Python API", model text version 4.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from tsavo.formats.boosted_meaning import Link, Meaning, answers_to
from tsavo.formats.originals import CannotCompile, Original, unlike_a_model
from tsavo.vocabulary import Columns, Field, Hints, Invalid, SourceFormat, Task, Unreadable

if TYPE_CHECKING:
    from tsavo.formats.compilation import Compiled

__all__ = ["LightGBMOriginal", "open_model", "wrap"]

_OBJECTIVES: Final[dict[str, tuple[Task, Link]]] = {
    "binary": ("binary", "sigmoid"),
    "multiclass": ("multiclass", "softmax"),
    "multiclassova": ("multiclass", "one-against-rest"),
    "cross_entropy": ("regression", "sigmoid"),
    "cross_entropy_lambda": ("regression", "log1p-exp"),
    "poisson": ("regression", "exp"),
    "gamma": ("regression", "exp"),
    "tweedie": ("regression", "exp"),
    "lambdarank": ("ranking", "identity"),
    "rank_xendcg": ("ranking", "identity"),
}


def open_model(path: Path, source_format: SourceFormat, hints: Hints) -> LightGBMOriginal:
    """Read a file that ``Booster.save_model`` wrote.

    Raises
    ------
    Unreadable
        When LightGBM does not take it, or its numbers do not fit together.
    """
    import lightgbm

    try:
        text = path.read_text("utf-8")
        _check(text)
        return LightGBMOriginal(lightgbm.Booster(model_str=text), hints)
    except (lightgbm.basic.LightGBMError, ValueError, KeyError, IndexError) as error:
        raise Unreadable(
            f"the {source_format} file cannot be read",
            field="source",
            found=str(error)[:300],
            expected="a complete text as LightGBM's 'save_model' writes it",
            next_step="save the model again",
        ) from error


def wrap(model: Any, hints: Hints) -> LightGBMOriginal:
    """A booster or a fitted wrapper from a pickle.

    Raises
    ------
    Invalid
        When it is neither, or not fitted.
    """
    if hasattr(model, "fitted_"):
        if not model.fitted_:
            raise unlike_a_model(model, "a model that was fitted")
        classes = hints.classes
        if classes is None and hasattr(model, "classes_"):
            classes = tuple(np.asarray(model.classes_).tolist())
        return LightGBMOriginal(model.booster_, Hints(hints.task, classes, hints.names, hints.units))
    if type(model).__name__ != "Booster":
        raise unlike_a_model(model, "a LightGBM Booster, LGBMClassifier, LGBMRegressor or LGBMRanker")
    return LightGBMOriginal(model, hints)


class LightGBMOriginal(Original):
    """A booster.

    Parameters
    ----------
    booster
        A ``lightgbm.Booster``.
    """

    def __init__(self, booster: Any, hints: Hints) -> None:
        import lightgbm

        self.booster = booster
        self.framework = f"lightgbm {lightgbm.__version__}"
        self.text: str = booster.model_to_string()
        self.header = header_of(self.text)
        self.names = list(hints.names) if hints.names is not None else _given_names(booster)
        self.columns = int(booster.num_feature())
        self.meaning = _meaning(self.header, hints)
        self.task, self.classes = self.meaning.task, self.meaning.classes
        self.categories = _categories(self.header, booster.pandas_categorical)
        self.wants_text = any(
            isinstance(value, str) for values in self.categories.values() for value in values
        )

    def predict(self, fields: Sequence[Field], columns: Columns) -> dict[str, npt.NDArray[Any]]:
        """See `Original.predict`."""
        rows = len(next(iter(columns.values())))
        matrix = np.empty((rows, len(fields)))
        for at, field in enumerate(fields):
            values = np.asarray(columns[field.name])
            known = self.categories.get(at)
            matrix[:, at] = values if known is None else _numbered(values, known)
        predicted = self.booster.predict(matrix, num_threads=1)
        return answers_to(self.meaning, predicted)

    def compile(self, fields: Sequence[Field], *, float32: bool) -> Compiled:
        """See `Original.compile`."""
        from tsavo.formats.compilation import compile_graph
        from tsavo.formats.lightgbm_graphs import lightgbm_answers

        return compile_graph(
            lambda graph, table: lightgbm_answers(graph, self, table), fields, float32=float32
        )

    def edges(self) -> dict[str, list[float]]:
        """See `Original.edges`."""
        names = self.names or [f"x{at}" for at in range(self.columns or 0)]
        found: dict[str, set[float]] = {}
        for tree in trees_of(self.text):
            kinds = tree.get("decision_type", "").split()
            for feature, threshold, kind in zip(
                tree.get("split_feature", "").split(), tree.get("threshold", "").split(), kinds, strict=True
            ):
                if not int(kind) & 1:
                    found.setdefault(names[int(feature)], set()).add(float(threshold))
        return {name: sorted(values) for name, values in found.items()}


def _given_names(booster: Any) -> list[str] | None:
    """The names of its columns; ``None`` when they are those that LightGBM makes up for an array."""
    names = list(booster.feature_name())
    return None if names == [f"Column_{at}" for at in range(len(names))] else names


def header_of(text: str) -> dict[str, str]:
    """Key -> value of the lines before the first tree; a line that is a word alone has an empty value."""
    head = text.partition("\nTree=")[0]
    return {key: value for key, _, value in (line.partition("=") for line in head.splitlines())}


def trees_of(text: str) -> list[dict[str, str]]:
    """Key -> value of the lines of each tree."""
    body = text.partition("\nend of trees")[0]
    blocks = body.split("\nTree=")[1:]
    return [
        {key: value for key, _, value in (line.partition("=") for line in block.splitlines())}
        for block in blocks
    ]


def _check(text: str) -> None:
    """Refuse numbers that lead out of their lists, before LightGBM follows them."""
    if "\nend of trees" not in text:
        raise ValueError("it ends before its trees do")
    if "\nparameters:" in text and "\nend of parameters" not in text:
        raise ValueError("it ends before its parameters do")
    features = int(header_of(text)["max_feature_idx"]) + 1
    for tree in trees_of(text):
        leaves = int(tree["num_leaves"])
        if leaves < 1 or len(tree["leaf_value"].split()) != leaves:
            raise ValueError("a tree has another number of leaves than it says")
        for side in ("left_child", "right_child"):
            children = [int(child) for child in tree.get(side, "").split()]
            if len(children) != leaves - 1 or any(not -leaves <= child < leaves - 1 for child in children):
                raise ValueError("a tree has children that do not exist")
        if any(not 0 <= int(feature) < features for feature in tree.get("split_feature", "").split()):
            raise ValueError("a tree splits on a feature that does not exist")
        _check_acyclic(tree, leaves)


def _check_acyclic(tree: dict[str, str], leaves: int) -> None:
    left = [int(child) for child in tree.get("left_child", "").split()]
    right = [int(child) for child in tree.get("right_child", "").split()]
    waiting = [0] if leaves > 1 else []
    visited = 0
    while waiting:
        node = waiting.pop()
        visited += 1
        if visited > leaves:
            raise ValueError("a tree goes in circles")
        waiting += [child for child in (left[node], right[node]) if child >= 0]


def _meaning(header: dict[str, str], hints: Hints) -> Meaning:
    words = header.get("objective", "").split()
    told = dict(word.partition(":")[::2] for word in words[1:])
    task, link = _OBJECTIVES.get(words[0] if words else "", ("regression", "identity"))
    groups = int(header.get("num_tree_per_iteration", "1"))
    scale = float(told.get("sigmoid", 1.0))
    if not math.isfinite(scale):
        raise ValueError("the scale of its sigmoid is not finite")
    if task == "regression" and "sqrt" in words:
        link = "square"
    if task == "multiclass":
        return Meaning(
            task, link, groups, _fitting(hints.classes or tuple(range(groups)), groups), scale=scale
        )
    if task == "binary":
        return Meaning(task, link, 1, _fitting(hints.classes or (0, 1), 2), scale=scale)
    if hints.task == "ranking":
        task = "ranking"
    return Meaning(task, link, groups)


def _fitting(classes: tuple[Any, ...], groups: int) -> tuple[Any, ...]:
    if len(classes) != groups:
        raise Invalid(
            "the number of classes is not the model's",
            field="classes",
            found=list(classes)[:20],
            expected=f"{groups} class labels",
        )
    return classes


def _categories(header: dict[str, str], known: list[list[Any]] | None) -> dict[int, list[Any]]:
    """Feature -> the categories that pandas numbered, in order."""
    if not known:
        return {}
    # Ranges of numbers are in brackets; categories are listed.
    infos = header.get("feature_infos", "").split()
    places = [at for at, info in enumerate(infos) if not info.startswith("[") and info != "none"]
    if len(places) != len(known):
        raise Invalid(
            "the model does not say which columns its text categories belong to",
            field="source",
            found=f"{len(known)} lists of categories, {len(places)} columns of categories",
            expected="as many of one as of the other",
            next_step="fit it without columns that have a single category",
        )
    return dict(zip(places, known, strict=True))


def _numbered(values: npt.NDArray[Any], known: list[Any]) -> npt.NDArray[np.float64]:
    """The place of each value among the known ones; NaN for others, as LightGBM does it with pandas' categories."""
    places = {value: float(at) for at, value in enumerate(known)}
    return np.array([places.get(value, math.nan) for value in values.tolist()], np.float64)


def refuse_linear(tree: dict[str, str]) -> None:
    """Raise `CannotCompile` for leaves that hold linear models."""
    if tree.get("is_linear", "0").strip() != "0":
        raise CannotCompile("its leaves hold linear models (linear_tree)")
