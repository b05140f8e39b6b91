"""A model that is not compiled, asked in its own framework as the Python worker asks it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy.typing as npt

from tsavo.formats.opening import open_source, original_in
from tsavo.formats.originals import Original
from tsavo.vocabulary import Hints, Signature

__all__ = ["load"]


def load(folder: Path, description: Mapping[str, Any]) -> PythonModel:
    """The model in ``source/``. Whoever calls this runs the code that the file carries."""
    hints = msgspec.convert(description["hints"], Hints)
    # Only a bundle is unpacked into it.
    scratch = tempfile.TemporaryDirectory(prefix="ejected-")
    source = folder / description["source"]
    opened = open_source(source, description["format"], Path(scratch.name), trusted=True, hints=hints)
    original = original_in(opened, trusted=True)
    return PythonModel(original, msgspec.convert(description["signature"], Signature), scratch)


class PythonModel:
    """Answers as the original does.

    Parameters
    ----------
    scratch
        The folder that a bundle was unpacked into; it is removed with the model.
    """

    def __init__(
        self, original: Original, signature: Signature, scratch: tempfile.TemporaryDirectory[str]
    ) -> None:
        self._original = original
        self._signature = signature
        self._scratch = scratch

    def predict(self, columns: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
        """Outputs by name: [n], or [n, width] for wide ones."""
        return self._original.predict(self._signature.inputs, columns)
