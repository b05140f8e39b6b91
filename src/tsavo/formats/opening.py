"""Opens a model file of any format as an `Original`. Only worker processes may call this."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, Final, cast

from tsavo.formats.originals import Original
from tsavo.formats.sniffing import check_trust
from tsavo.vocabulary import Hints, SourceFormat

__all__ = ["open_original", "original_of"]

# Who reads a format. Each module has ``open_model(path, source_format, hints) -> Original``.
_FILES: Final[dict[SourceFormat, str]] = {
    "xgboost": "tsavo.formats.xgboost_models",
    "lightgbm": "tsavo.formats.lightgbm_models",
    "catboost": "tsavo.formats.catboost_models",
    "torch-export": "tsavo.formats.torch_models",
    "torchscript": "tsavo.formats.torch_models",
    "pmml": "tsavo.formats.pmml_models",
    "scorecard": "tsavo.formats.scorecards",
    "mlflow": "tsavo.formats.mlflow_bundle",
    "python": "tsavo.formats.python_bundle",
}
# Who speaks to an object that was in a pickle, by the package of its class or of a class that it inherits from, the
# nearest first. Each module has ``wrap(model, hints) -> Original``.
_OBJECTS: Final[dict[str, str]] = {
    "sklearn": "tsavo.formats.sklearn_models",
    "xgboost": "tsavo.formats.xgboost_models",
    "lightgbm": "tsavo.formats.lightgbm_models",
    "catboost": "tsavo.formats.catboost_models",
    "torch": "tsavo.formats.torch_models",
    "statsmodels": "tsavo.formats.statsmodels_models",
}


def open_original(path: Path, source_format: SourceFormat, *, trusted: bool, hints: Hints) -> Original:
    """The model in a file, or in the unpacked folder of a bundle.

    Raises
    ------
    Untrusted
        For a format that can carry code, when nobody vouched for it.
    Unreadable, Invalid
        When it is damaged, or holds no model.
    """
    check_trust(source_format, trusted=trusted)
    reader = _FILES.get(source_format)
    if reader is not None:
        return cast("Original", import_module(reader).open_model(path, source_format, hints))
    from tsavo.formats.estimators import read_estimator

    return original_of(read_estimator(path, source_format, trusted=trusted), hints)


def original_of(model: Any, hints: Hints) -> Original:
    """The model that a pickle held.

    Raises
    ------
    Invalid
        When it is no model.
    """
    for cls in type(model).__mro__:
        found = _OBJECTS.get(cls.__module__.partition(".")[0])
        if found is not None:
            return cast("Original", import_module(found).wrap(model, hints))
    # What says how many columns it takes does as scikit-learn's estimators do, without being one.
    like_sklearn = hasattr(model, "n_features_in_")
    found = "tsavo.formats.sklearn_models" if like_sklearn else "tsavo.formats.callables"
    return cast("Original", import_module(found).wrap(model, hints))
