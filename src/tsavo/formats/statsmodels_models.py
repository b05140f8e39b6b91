"""statsmodels: fitted results out of pickles.

A model that was fitted on arrays has the columns of its design matrix, without the constant that was added to it. One
that was fitted by a formula takes the columns which the formula names, and stays with statsmodels, which evaluates the
formula.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from tsavo.formats.boosted_meaning import Meaning, answers_to
from tsavo.formats.originals import CannotCompile, Original, as_frame, as_matrix, unlike_a_model
from tsavo.vocabulary import Columns, Field, Hints, Refused, Task

if TYPE_CHECKING:
    from tsavo.formats.compilation import Compiled

__all__ = ["StatsmodelsOriginal", "wrap"]

_BINARY: Final = frozenset({"Logit", "Probit"})


def wrap(model: Any, hints: Hints) -> StatsmodelsOriginal:
    """Fitted results.

    Raises
    ------
    Invalid
        When it is not what ``fit`` gave.
    Refused
        For results that cannot score a row alone: time series, and models with an offset or exposure.
    """
    if not (hasattr(model, "predict") and hasattr(model, "model") and hasattr(model, "params")):
        raise unlike_a_model(model, "what the 'fit' of a statsmodels model gave")
    if ".tsa." in type(model).__module__ or ".tsa." in type(model.model).__module__:
        raise Refused(
            "a time series model forecasts from its own past and scores no rows",
            field="source",
            found=type(model.model).__name__,
            expected="a model that predicts each row from its columns",
            next_step="register a function that calls it, with --trust",
        )
    return StatsmodelsOriginal(model, hints)


class StatsmodelsOriginal(Original):
    """Fitted results of one model."""

    def __init__(self, results: Any, hints: Hints) -> None:
        import statsmodels

        self.results = results
        self.framework = f"statsmodels {statsmodels.__version__}"
        self.model: Any = results.model
        self.kind = type(self.model).__name__
        _refuse_offsets(self.model)
        self.formula: str | None = getattr(self.model, "formula", None)
        self.constant = self._constant()
        if self.formula is not None:
            self.names = variables_of(self.formula)
            # What types its columns have, only real rows can tell.
            self.wants_text = True
        else:
            named = [str(name) for name in self.model.exog_names]
            exog = getattr(self.model, "exog", None)
            # Parameters of the distribution are named after those of the columns.
            named = named[: len(named) - getattr(self.model, "k_extra", 0) if exog is None else exog.shape[1]]
            self.names = [name for at, name in enumerate(named) if at != self.constant]
        if hints.names is not None:
            self.names = list(hints.names)
        self.columns = len(self.names)
        self.meaning = _meaning(self.model, self.kind, hints)
        self.task: Task = self.meaning.task
        self.classes = self.meaning.classes

    def _constant(self) -> int | None:
        """Where the design matrix has the constant that was added to it."""
        if self.formula is not None or not getattr(self.model, "k_constant", 0):
            return None
        at = getattr(self.model.data, "const_idx", None)
        # A column of the data may happen to be constant; statsmodels names the added one so.
        return None if at is None or self.model.exog_names[int(at)] != "const" else int(at)

    def predict(self, fields: Sequence[Field], columns: Columns) -> dict[str, npt.NDArray[Any]]:
        """See `Original.predict`."""
        if self.formula is not None:
            predicted = self.results.predict(as_frame(fields, columns, self.names, hole=None))
        else:
            matrix = as_matrix(fields, columns).astype(np.float64)
            if self.constant is not None:
                matrix = np.insert(matrix, self.constant, 1.0, axis=1)
            predicted = self.results.predict(matrix)
        return answers_to(self.meaning, np.asarray(predicted, np.float64))

    def compile(self, fields: Sequence[Field], *, float32: bool) -> Compiled:
        """See `Original.compile`."""
        from tsavo.formats.compilation import compile_graph
        from tsavo.formats.statsmodels_graphs import statsmodels_answers

        if self.formula is not None:
            raise CannotCompile("its formula is evaluated by statsmodels")
        return compile_graph(
            lambda graph, table: statsmodels_answers(graph, self, table), fields, float32=float32
        )


def variables_of(formula: str) -> list[str]:
    """The columns that the right side of a formula names, in order.

    >>> variables_of("price ~ np.log(area) + C(town) * rooms - 1 + Q('built in')")
    ['area', 'town', 'rooms', 'built in']
    """
    right = formula.rpartition("~")[2].replace(":", "*")
    found: dict[str, None] = {}
    try:
        tree = ast.parse(right.strip(), mode="eval")
    except SyntaxError as error:
        raise Refused(
            "the formula cannot be read", field="source", found=formula[:200], expected="y ~ a + b"
        ) from error
    _visit(tree.body, found)
    return list(found)


def _visit(node: ast.AST, found: dict[str, None]) -> None:
    if isinstance(node, ast.Name):
        found[node.id] = None
        return
    if isinstance(node, ast.Call):
        if isinstance(node.func, ast.Name) and node.func.id == "Q" and isinstance(node.args[0], ast.Constant):
            found[str(node.args[0].value)] = None
            return
        # Arguments by name are options such as df=4 or Treatment('a').
        children: list[ast.AST] = [*(node.args[:1] if isinstance(node.func, ast.Name) else node.args)]
    else:
        children = list(ast.iter_child_nodes(node))
    for child in children:
        _visit(child, found)


def _refuse_offsets(model: Any) -> None:
    for name in ("offset", "exposure"):
        values = getattr(model, name, None)
        if values is not None and np.size(values) and np.any(np.asarray(values, np.float64) != 0.0):
            raise Refused(
                f"the model was fitted with an {name}, which belongs to each row and is no column",
                field="source",
                found=name,
                expected="a model whose columns are all in its design matrix",
                next_step="register a function that hands it over, with --trust",
            )


def _meaning(model: Any, kind: str, hints: Hints) -> Meaning:
    if kind == "MNLogit":
        groups = int(model.J)
        return Meaning("multiclass", "softmax", groups, hints.classes or tuple(range(groups)))
    family = type(getattr(model, "family", None)).__name__
    if kind in _BINARY or (family == "Binomial" and _zero_or_one(model)):
        return Meaning("binary", "sigmoid", 1, hints.classes or (0, 1))
    return Meaning("regression", "identity", 1)


def _zero_or_one(model: Any) -> bool:
    endog = getattr(model, "endog", None)
    return endog is None or bool(np.isin(np.asarray(endog), (0, 1)).all())
