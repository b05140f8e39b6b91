"""Loads an ejected version from its folder, and gives it to MLflow."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy.typing as npt

from tsavo.formats.ejected.columns import as_columns, flattened, read_description

__all__ = ["Model"]

# Written out, so that both names are changed with the package's.
_RUNTIMES = {"onnx": "tsavo.formats.ejected.onnx_model", "python": "tsavo.formats.ejected.python_model"}


class Model:
    """An ejected version.

    Parameters
    ----------
    folder
        What ``tsavo eject`` wrote.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self.description = read_description(self.folder)
        self.signature = self.description["signature"]
        runtime = import_module(_RUNTIMES[self.description["runtime"]])
        self._runtime = runtime.load(self.folder, self.description)

    def answers(self, given: Any) -> dict[str, npt.NDArray[Any]]:
        """Column name -> [n] for every output; wide outputs become ``name.0``, ``name.1`` and so on.

        Parameters
        ----------
        given
            Column name -> values; a missing value is None or NaN.
        """
        return flattened(self.signature, self._runtime.predict(as_columns(self.signature, given)))

    def predict(self, table: Any, params: Any = None) -> Any:
        """The answers to a pandas DataFrame, as another one with the same index (MLflow calls this)."""
        import pandas

        columns = {str(name): table[name].tolist() for name in table.columns}
        return pandas.DataFrame(self.answers(columns), index=table.index)


def _load_pyfunc(path: str) -> Model:
    """MLflow's entry: the folder of the model."""
    return Model(path)
