"""Models of gradient boosting libraries as the last step of a scikit-learn pipeline."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from tsavo.formats.answers import Answer
from tsavo.formats.catboost_graphs import catboost_answers
from tsavo.formats.catboost_models import wrap as wrap_catboost
from tsavo.formats.graph import Graph, Table
from tsavo.formats.lightgbm_graphs import lightgbm_answers
from tsavo.formats.lightgbm_models import wrap as wrap_lightgbm
from tsavo.formats.xgboost_graphs import xgboost_answers
from tsavo.formats.xgboost_models import wrap as wrap_xgboost
from tsavo.vocabulary import Hints

__all__ = ["BOOSTERS"]

_NO_HINTS: Final = Hints()

BOOSTERS: Final[dict[str, Callable[[Graph, Any, Table], tuple[Answer, ...]]]] = {
    "xgboost": lambda graph, model, table: xgboost_answers(graph, wrap_xgboost(model, _NO_HINTS), table),
    "lightgbm": lambda graph, model, table: lightgbm_answers(graph, wrap_lightgbm(model, _NO_HINTS), table),
    "catboost": lambda graph, model, table: catboost_answers(graph, wrap_catboost(model, _NO_HINTS), table),
}
"""Package -> what compiles its models."""
