"""Python callables: a function, an object with ``predict``, or a class of such objects.

What a callable wants its columns as, the annotation of its first parameter says: a DataFrame, a numpy array
[n, columns], or a mapping (``dict``) of column name -> array [n]. Without an annotation a DataFrame is tried first,
then the mapping, then the array; what worked first stays.
"""

from __future__ import annotations

import inspect
import platform
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from tsavo.formats.bundle_modules import BundleModules
from tsavo.formats.originals import Original, as_frame, as_matrix, unlike_a_model
from tsavo.formats.public_outputs import public_outputs, task_of
from tsavo.vocabulary import Columns, Field, Hints

__all__ = ["CallableOriginal", "wrap"]

_Form: TypeAlias = Literal["frame", "mapping", "array"]

_EXPECTED: Final = "a function of a table, an object with 'predict', or a class of such objects"
_SAYS: Final[tuple[tuple[str, _Form], ...]] = (
    ("DataFrame", "frame"),
    ("NDArray", "array"),
    ("ndarray", "array"),
    ("ArrayLike", "array"),
    ("dict", "mapping"),
    ("Dict", "mapping"),
    ("Mapping", "mapping"),
)
# What code says that was given columns in a form that it does not expect.
_WRONG_FORM: Final = (TypeError, AttributeError, KeyError, IndexError, ImportError)


def wrap(model: Any, hints: Hints) -> CallableOriginal:
    """A callable that was in a pickle.

    Raises
    ------
    Invalid
        When it cannot predict.
    """
    return CallableOriginal(model, hints)


class CallableOriginal(Original):
    """Somebody's own code.

    Parameters
    ----------
    model
        A function; an object with ``predict``; or a class of such objects that is made without arguments.
    hints
        The task, the classes and the column names, which code does not say.
    modules
        The bundle that it came in, when it did.

    Raises
    ------
    Invalid
        When it is none of these.
    """

    uncompiled = "it is Python code of its author"

    def __init__(self, model: Any, hints: Hints, modules: BundleModules | None = None) -> None:
        self._call = _callable(model)
        self._modules = modules
        self._hints = hints
        self._form = _wanted(self._call)
        self.framework = f"python {platform.python_version()}"
        self.names = None if hints.names is None else list(hints.names)
        self.columns = None if hints.names is None else len(hints.names)
        self.task = task_of(hints)
        self.classes = hints.classes

    def predict(self, fields: Sequence[Field], columns: Columns) -> dict[str, npt.NDArray[Any]]:
        """What the code returns, by public name; see `Original.predict`."""
        if self._modules is not None:
            self._modules.enter()
        if self._form is not None:
            return public_outputs(self._call(_given(self._form, fields, columns)), self._hints)
        return self._tried(fields, columns)

    def _tried(self, fields: Sequence[Field], columns: Columns) -> dict[str, npt.NDArray[Any]]:
        first: Exception | None = None
        forms: tuple[_Form, ...] = ("frame", "mapping", "array")
        for form in forms:
            try:
                outputs = public_outputs(self._call(_given(form, fields, columns)), self._hints)
            except Exception as error:
                if not _is_wrong_form(error):
                    raise
                # Without pandas there is no frame to try, and its absence is not what is wrong.
                first = first if first is not None or isinstance(error, ImportError) else error
                continue
            self._form = form
            return outputs
        raise first or TypeError("it takes none of a DataFrame, a dict of columns and an array")


def _is_wrong_form(error: Exception) -> bool:
    return isinstance(error, _WRONG_FORM) or type(error).__name__ == "InvalidIndexError"  # pandas' own


def _given(form: _Form, fields: Sequence[Field], columns: Columns) -> Any:
    if form == "frame":
        return as_frame(fields, columns)
    if form == "array":
        return as_matrix(fields, columns)
    return {field.name: np.asarray(columns[field.name]) for field in fields}


def _callable(model: Any) -> Callable[[Any], Any]:
    made = model() if isinstance(model, type) and hasattr(model, "predict") else model
    if hasattr(made, "predict") and callable(made.predict):
        predict: Callable[[Any], Any] = made.predict
        return predict
    if callable(made) and not isinstance(made, type):
        return made  # type: ignore[no-any-return]
    raise unlike_a_model(model, _EXPECTED)


def _wanted(call: Callable[[Any], Any]) -> _Form | None:
    """The form that the annotation of the first parameter names."""
    try:
        parameters = list(inspect.signature(call).parameters.values())
    except (TypeError, ValueError):
        return None
    if not parameters:
        return None
    said = parameters[0].annotation
    if said is inspect.Parameter.empty:
        return None
    words = said if isinstance(said, str) else f"{getattr(said, '__qualname__', '')} {said}"
    # The outermost word counts: 'dict[str, NDArray]' is a mapping.
    named = [(words.index(name), form) for name, form in _SAYS if name in words]
    return min(named)[1] if named else None
