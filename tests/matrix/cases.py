"""The whole table of combinations."""

from __future__ import annotations

from tests.matrix.boosters import CASES as BOOSTERS
from tests.matrix.case import Case
from tests.matrix.formulas import CASES as FORMULAS
from tests.matrix.onnx_files import CASES as ONNX_FILES
from tests.matrix.pmml_files import CASES as PMML_FILES
from tests.matrix.scikit_learn import CASES as SCIKIT_LEARN
from tests.matrix.torch_programs import CASES as TORCH_PROGRAMS

__all__ = ["CASES"]

CASES: tuple[Case, ...] = (*SCIKIT_LEARN, *BOOSTERS, *ONNX_FILES, *TORCH_PROGRAMS, *PMML_FILES, *FORMULAS)
