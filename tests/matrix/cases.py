"""The whole table of combinations."""

from __future__ import annotations

from tests.matrix.boosters import CASES as BOOSTERS
from tests.matrix.case import Case
from tests.matrix.formulas import CASES as FORMULAS
from tests.matrix.onnx_files import CASES as ONNX_FILES
from tests.matrix.scikit_learn import CASES as SCIKIT_LEARN

__all__ = ["CASES"]

CASES: tuple[Case, ...] = (*SCIKIT_LEARN, *BOOSTERS, *ONNX_FILES, *FORMULAS)
