"""Opens a model file of any format as an `Original`. Only worker processes may call this."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from tsavo.formats.originals import Original
from tsavo.formats.sniffing import check_trust
from tsavo.vocabulary import Field, Hints, SourceFormat

__all__ = ["OpenedSource", "open_original", "open_source", "original_in", "original_of"]

_BUNDLES: Final[frozenset[SourceFormat]] = frozenset({"mlflow", "python"})

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


class OpenedSource(msgspec.Struct, frozen=True):
    """What is inside a source: for a bundle the model in its folder, else the file itself.

    Attributes
    ----------
    hints
        What the person said, completed by what the bundle says.
    declared
        The inputs as the bundle declares them.
    example
        Rows that came with the bundle, as Parquet.
    """

    path: Path
    format: SourceFormat
    hints: Hints
    declared: tuple[Field, ...] | None = None
    example: Path | None = None


def open_source(
    path: Path, source_format: SourceFormat, folder: Path, *, trusted: bool, hints: Hints
) -> OpenedSource:
    """Look into a source; a bundle is unpacked into a new folder inside `folder`.

    Raises
    ------
    Untrusted
        For a format, outside or inside, that can carry code, when nobody vouched for it.
    Unreadable, Invalid, TooLarge
        For a bundle that is damaged or plays tricks.
    """
    check_trust(source_format, trusted=trusted)
    if source_format not in _BUNDLES:
        return OpenedSource(path, source_format, hints)
    from tsavo.formats.bundles import unpack

    inside = unpack(path, folder / "bundle")
    if source_format == "mlflow":
        from tsavo.formats.mlflow_bundle import resolve

        found = resolve(inside)
        check_trust(found.format, trusted=trusted)
        return OpenedSource(
            found.path, found.format, _merged(hints, found.hints), found.declared, found.example
        )
    from tsavo.formats.python_bundle import read_manifest

    manifest = read_manifest(inside)
    told = Hints(requirements=manifest.requirements, python=manifest.python)
    return OpenedSource(inside, "python", _merged(hints, told))


def original_in(opened: OpenedSource, *, trusted: bool) -> Original:
    """The model in a source that was looked into; see `open_original`."""
    original = open_original(opened.path, opened.format, trusted=trusted, hints=opened.hints)
    if opened.declared is None:
        return original
    from tsavo.formats.mlflow_bundle import with_declared

    return with_declared(original, opened.declared)


def _merged(said: Hints, found: Hints) -> Hints:
    """What the person says goes before what the source says."""
    return Hints(
        task=said.task or found.task,
        classes=said.classes or found.classes,
        names=said.names or found.names,
        units={**found.units, **said.units},
        requirements=said.requirements or found.requirements,
        python=said.python or found.python,
    )


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
